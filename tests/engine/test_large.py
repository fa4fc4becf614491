"""What is large is never whole in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.image import ImageRef

LIMIT_MIB = 100  # with Python and all of our own code; the file is of 286


def memory_mib(part: str, folder: Path, *words: str) -> int:
    """Return the memory that a process held at most, which took a large file through a part."""
    done = subprocess.run(
        (sys.executable, "-m", "tests.engine.large", part, str(folder), *words),
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(
    "part", ["store", "local", pytest.param("build", marks=pytest.mark.docker)]
)
def test_a_large_vendored_file_takes_no_memory(part: str, tmp_path: Path) -> None:
    assert memory_mib(part, tmp_path) < LIMIT_MIB


@pytest.mark.ssh
@pytest.mark.usefixtures("ssh")
def test_a_large_file_takes_no_memory_on_its_way_to_another_machine(tmp_path: Path) -> None:
    assert memory_mib("ssh", tmp_path) < LIMIT_MIB


@pytest.mark.docker
def test_a_large_file_takes_no_memory_on_its_way_into_a_container(
    base: ImageRef, tmp_path: Path
) -> None:
    assert memory_mib("container", tmp_path, str(base)) < LIMIT_MIB
