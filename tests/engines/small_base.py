"""The stand-in base without torch: a tenth of its size.

Pulling, saving, searching and probing an image take as long as it is large, and most tests ask
nothing of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engines.base import CONSTRAINTS, ENTRYPOINT, TAG, changes, debootstrap, write
from tests.engines.push import Made, pack, push_once

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.place import Place

NAME = "nvidia/small"
PACKAGES = ("ca-certificates", "python3", "python3-packaging", "python3-venv", "python3-yaml")
_CHANGES = changes("2.6.0")


def push_small_base(place: Place, *, engine: str, registry: str) -> str:
    """Return the small base's name in our registry, made and pushed if it is not there.

    Raises:
        UnavailableError: It cannot be made here.
    """

    def make(folder: Path) -> Made:
        root = folder / "root"
        debootstrap("trixie", root, PACKAGES)
        write(root / "etc/pip/constraint.txt", CONSTRAINTS, mode=0o644)
        write(root / "opt/nvidia/nvidia_entrypoint.sh", ENTRYPOINT, mode=0o755)
        return Made(tar=pack(root), changes=_CHANGES)

    return push_once(
        place,
        f"{registry}/{NAME}:{TAG}",
        recipe=(PACKAGES, CONSTRAINTS, ENTRYPOINT, _CHANGES),
        engine=engine,
        make=make,
    )
