"""Make and start the real parts, or stop them: ``python -m tests.engines [stop]``."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from tests.engines import slurm, spank
from tests.engines.apptainer import make_root
from tests.engines.base import push_base
from tests.engines.browser import find_browser
from tests.engines.engine import start_engine, stop_engine
from tests.engines.exact import make_exact
from tests.engines.newer_engine import CONTAINERD, NEWER, start_newer, stop_newer
from tests.engines.place import Place, UnavailableError, install, say
from tests.engines.plain_base import SUITES, push_plain_base
from tests.engines.postgres import find_programs
from tests.engines.prometheus import make_prometheus
from tests.engines.registry import start_registry, stop_registry
from tests.engines.rootless import start_rootless, stop_rootless
from tests.engines.slurm_accounting import find_accounting
from tests.engines.small_base import push_small_base
from tests.engines.ssh import start_sshd, stop_sshd

if TYPE_CHECKING:
    from collections.abc import Callable

# For stub libraries, for docker top, and for completion.
TOOLS = {
    "gcc": "cc",
    "libc6-dev": "/usr/include/stdio.h",
    "procps": "ps",
    "zsh": "zsh",
    "fish": "fish",
}
# What single tests ask for. A package that is installed while others run changes the machine under
# a probe, which rightly keeps no answer then.
SINGLE = {
    "busybox-static": "/bin/busybox",
    "e2fsprogs": "mkfs.ext4",
    "npm": "npm",
    "rsync": "rsync",
    "skopeo": "skopeo",
    "zstd": "zstd",
}


def main(words: list[str]) -> int:
    """Do what is asked; 1 where a part cannot be had here, 2 for a word that is not known."""
    place = Place.default()
    if words not in ([], ["stop"]):
        say(__doc__ or "")
        return 2
    try:
        with place.lock():
            stop(place) if words else start(place)
    except UnavailableError as error:
        say(f"not here: {error}")
        return 1
    return 0


def start(place: Place) -> None:
    """Start all parts and say how to use them."""
    install(TOOLS)
    engine = start_engine(place)
    registry = start_registry(place)
    base = push_base(place, engine=engine, registry=registry)
    push_small_base(place, engine=engine, registry=registry)
    for suite in SUITES:
        push_plain_base(place, suite, engine=engine, registry=registry)
    python = make_exact(place)
    start_sshd(place)
    install({**slurm.PACKAGES, **spank.PACKAGES})
    find_programs()
    make_root(place)
    make_prometheus(place)
    find_accounting(place)
    browser = find_browser(place)
    newer = [start_newer(place, one) for one in (NEWER, CONTAINERD)]
    rootless = start_rootless(place).address
    for package, program in SINGLE.items():
        with contextlib.suppress(UnavailableError):  # the tests that need it say so
            install({package: program})
    sys.stdout.write(
        f"export DOCKER_HOST={engine}\n# newer {' '.join(newer)}\n# rootless {rootless}\n"
        f"# registry {registry}\n# base {base}\n# exact {python}\n# browser {browser.program}\n"
    )


def stop(place: Place) -> None:
    """Stop what runs; what was made is kept."""
    parts: dict[str, Callable[[Place], bool]] = {
        "engine": stop_engine,
        "newer engine": lambda place: stop_newer(place, NEWER),
        "newer engine with containerd's store": lambda place: stop_newer(place, CONTAINERD),
        "rootless engine": stop_rootless,
        "registry": stop_registry,
        "sshd": stop_sshd,
    }
    for name, stopped in ((name, end(place)) for name, end in parts.items()):
        say(f"{name}: {'stopped' if stopped else 'did not run'}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
