"""Plain Debian images, as --base-family slim names them: no Python, nothing that https needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engines.base import debootstrap
from tests.engines.push import Made, pack, push_once

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.place import Place

SUITES = {"bookworm": "debian:12-slim", "trixie": "debian:13-slim"}
_CHANGES = (
    'ENV PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"',
    'CMD ["bash"]',
)
# Tests reach the mirror of this machine alone, and it has no snapshots. The other is Debian's own.
_FILES = {
    "etc/apt/apt.conf.d/99snapshots": "#clear Acquire::Snapshots;\n",
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "force-unsafe-io\n",
}


def push_plain_base(place: Place, suite: str, *, engine: str, registry: str) -> str:
    """Return the name, in our registry, of a release of Debian as --mirror looks for it.

    Raises:
        UnavailableError: It cannot be made here.
    """

    def make(folder: Path) -> Made:
        root = folder / "root"
        debootstrap(suite, root, ())
        for name, text in _FILES.items():
            (root / name).write_text(text)
        return Made(tar=pack(root), changes=_CHANGES)

    return push_once(
        place,
        f"{registry}/library/{SUITES[suite]}",
        recipe=(suite, _CHANGES, _FILES),
        engine=engine,
        make=make,
    )
