"""The Docker of Debian sid, with buildx, beside the system's own: in a root folder of its own.

Its sockets and data lie where everyone sees them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.ownership.staging import replace_file
from tests.engines.engine import Bridge, answers, make_bridge, storage_driver
from tests.engines.place import Service, UnavailableError, call, install, say
from tests.engines.sid import enter_words, make_sid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.engines.place import Place

SHARED = Path("/var/tmp")  # seen by these engines too, and where any user may go
_PACKAGES = ("ca-certificates", "docker-buildx", "docker-cli", "docker.io", "iptables")


@dataclass(frozen=True, kw_only=True, slots=True)
class Newer:
    """One engine of sid's: by its name, its network, and whether containerd keeps its images."""

    name: str
    bridge: Bridge
    containerd_store: bool


NEWER = Newer(
    name="docker28", bridge=Bridge("snapenvtest1", "192.168.212.1/24"), containerd_store=False
)
CONTAINERD = Newer(
    name="docker28c", bridge=Bridge("snapenvtest2", "192.168.213.1/24"), containerd_store=True
)


def newer_address(place: Place, newer: Newer) -> str:
    """Return where an engine listens, if it runs."""
    return f"unix://{place.run}/{newer.name}.sock"


def start_newer(place: Place, newer: Newer) -> str:
    """Return the address of an engine of sid's, started if it does not run.

    Raises:
        UnavailableError: It cannot run here.
    """
    address = newer_address(place, newer)
    service = _service(place, newer)
    if service.pid() is not None and answers(address):
        _let_out(newer.bridge)
        return address
    service.stop()
    install({"iptables": "iptables", "iproute2": "ip", "util-linux": "unshare"})
    root = make_sid(place, "sid", _PACKAGES)
    make_bridge(newer.bridge)
    say(f"starting sid's dockerd at {address}")
    enter = enter_words(root, (place.folder, place.run, SHARED))
    service.start((*enter, *_dockerd(place, newer)), answers=lambda: answers(address))
    _let_out(newer.bridge)
    return address


def _let_out(bridge: Bridge) -> None:
    """Let containers reach the network, although each engine that starts takes such rules away.

    None takes away those of the chain that is for a machine's owner.
    Source: https://docs.docker.com/engine/network/packet-filtering-firewalls/
    """
    answered = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    for rule in (("-i", bridge.name), ("-o", bridge.name, *answered)):
        words = ("DOCKER-USER", *rule, "-j", "ACCEPT")
        known = subprocess.run(("iptables", "-C", *words), capture_output=True, check=False)
        if known.returncode:
            call("iptables", "-I", *words)


def stop_newer(place: Place, newer: Newer) -> bool:
    """End an engine of sid's; False where it did not run."""
    return _service(place, newer).stop()


def buildx(place: Place, newer: Newer, context: bytes, *, name: str) -> None:
    """Run sid's own ``docker buildx build`` on a tar, in the root folder that its engine runs in.

    Raises:
        UnavailableError: It did not build.
    """
    pid = (place.run / f"{newer.name}.pid").read_text()
    enter = ("nsenter", "--target", pid, "--mount", "--root")
    docker = ("docker", "--host", newer_address(place, newer), "buildx", "build", "--load")
    network = ("--network", "host")  # as two engines cannot share the rules for forwarding
    done = subprocess.run(
        (*enter, *docker, *network, "--tag", name, "-"),
        input=context,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise UnavailableError(done.stderr.decode(errors="replace"))


@contextlib.contextmanager
def cdi_spec(place: Place, newer: Newer, spec: Mapping[str, object]) -> Iterator[None]:
    """Let a running engine find a CDI specification until the block ends.

    It lies in the /run of the engine's own mount namespace, where no other engine looks. What it
    names is found there too: the folders of the place are, under the same names.
    Source: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
    """
    pid = (place.run / f"{newer.name}.pid").read_text()
    folder = Path(f"/proc/{pid}/root/run/cdi")
    folder.mkdir(exist_ok=True)
    file = folder / "tests.json"
    replace_file(file, json.dumps(spec).encode())
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _dockerd(place: Place, newer: Newer) -> tuple[str, ...]:
    data, own = place.folder / newer.name, f"{place.run}/{newer.name}"
    data.mkdir(parents=True, exist_ok=True)
    config = place.folder / "dockerd.json"
    config.write_text("{}")  # else it reads the system's
    store = "true" if newer.containerd_store else "false"
    driver = storage_driver(data)
    return (
        "dockerd",
        f"--host={newer_address(place, newer)}",
        f"--data-root={data}",
        f"--exec-root={own}-exec",
        f"--pidfile={own}.own.pid",
        f"--bridge={newer.bridge.name}",
        f"--feature=containerd-snapshotter={store}",
        f"--storage-driver={'overlayfs' if newer.containerd_store else driver}",
        f"--config-file={config}",
    )


def _service(place: Place, newer: Newer) -> Service:
    return Service(
        name="dockerd",
        pid_file=place.run / f"{newer.name}.pid",
        log=place.folder / f"{newer.name}.log",
    )
