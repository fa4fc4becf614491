"""A disk that is full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system without a free byte; mounting it needs root."""
    folder = tmp_path / "full"
    folder.mkdir()
    if os.getuid() != 0:
        pytest.skip("not root: cannot mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], check=True)
    try:
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
