"""The kit: packed groups of packages in a folder, and what they become on another machine.

Imports the standard library alone: there is nothing else where it is unpacked.
"""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

UNPACKED = "unpacked"
INTO = {  # the folder that a group becomes part of
    "tools": "tools",  # what snapenv itself needs
    "tune": "tools",
    "environment": "environment",  # what the measured environment lacks
    "exports": "environment",
    "another": "another",  # another ultralytics
}


def unpack_kit(kit: Path) -> Path:
    """Unpack what lies in a kit's folder, where that is not done; return the folder of it.

    Raises:
        tarfile.TarError: A file is damaged.
    """
    unpacked = kit / UNPACKED
    packed = sorted(kit.glob("*.tar.xz"))
    made_of = "".join(f"{path.name} {path.stat().st_size}\n" for path in packed)
    done = unpacked / "made-of"
    if packed and not (done.exists() and done.read_text() == made_of):
        shutil.rmtree(unpacked, ignore_errors=True)
        for path in packed:
            with tarfile.open(path) as archive:
                archive.extractall(
                    unpacked / INTO[path.name.removesuffix(".tar.xz")], filter="data"
                )
        done.write_text(made_of)
    return unpacked
