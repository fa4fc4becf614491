"""A disk that fills up soon."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def mounted(disk: Path, size: str) -> Iterator[Path]:
    """Mount a disk of so many bytes; under CI a machine that cannot is a failure."""
    disk.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk))
    mount = shutil.which("mount") or "mount"
    if os.geteuid() != 0 or subprocess.run((mount, *options), check=False).returncode != 0:
        if "CI" in os.environ:
            pytest.fail("a small disk cannot be mounted here, and CI must")
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(("umount", str(disk)), check=True)
