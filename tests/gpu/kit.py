"""The kit: packed groups of packages in a folder, and what they become on another machine.

Imports the standard library alone: there is nothing else where it is unpacked.
"""

from __future__ import annotations

import lzma
import shutil
import sys
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

UNPACKED = "unpacked"
FOR_PYTHON = "for-python"  # a file that says "3.12"
INTO = {  # the folder that a group becomes part of
    "tools": "tools",  # what snapenv itself needs
    "tune": "tools",
    "environment": "environment",  # what the measured environment lacks
    "exports": "environment",
    "another": "another",  # another ultralytics
}


def unpack_kit(kit: Path) -> Path:
    """Unpack what lies in a kit's folder, where that is not done; return the folder of it.

    A kit for another Python is left alone, and so is what is damaged: both are said.
    """
    try:
        return _unpack(kit)
    except (EOFError, OSError, lzma.LZMAError, tarfile.TarError) as error:
        print(f"the kit in {kit} cannot be unpacked: {error}", file=sys.stderr)
        shutil.rmtree(kit / UNPACKED, ignore_errors=True)
        return kit / UNPACKED


def _unpack(kit: Path) -> Path:
    unpacked = kit / UNPACKED
    packed = sorted(kit.glob("*.tar.xz"))
    here, made_for = "{}.{}".format(*sys.version_info), _python_of(kit)
    if packed and made_for not in {None, here}:
        print(f"the kit in {kit} is for Python {made_for}, and this is {here}", file=sys.stderr)
        return kit / "none"
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


def _python_of(kit: Path) -> str | None:
    named = kit / FOR_PYTHON
    return named.read_text().strip() if named.exists() else None
