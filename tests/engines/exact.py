"""An environment as users have it: torch and ultralytics from the index, 5 GB."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from snapenv.index.wheels import IndexWheels
from tests.engines.place import UnavailableError, call, say

if TYPE_CHECKING:
    from tests.engines.place import Place

PINS = ("torch==2.11.0", "ultralytics==8.4.190", "opencv-python-headless")
OVERRIDES = "opencv-python ; sys_platform == 'never'\n"  # headless needs no display libraries


def make_exact(place: Place) -> Path:
    """Return the interpreter of the environment, made if it is not there.

    Raises:
        UnavailableError: The index does not answer.
    """
    folder = place.folder / "exact"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists() or ready.read_text() != repr(PINS):
        shutil.rmtree(folder, ignore_errors=True)
        say(f"making an environment with {', '.join(PINS)}")
        _make_venv(folder)
        _install(python)
        ready.write_text(repr(PINS))
    compile_bytecode(python)
    return python


def compile_bytecode(python: Path) -> None:
    """Compile what an environment has, once, as pip does and uv does not: it halves imports."""
    folder = python.parents[1]
    compiled = folder / ".compiled"
    if not compiled.exists():
        say(f"compiling {folder.name}")
        program = (str(python), "-m", "compileall", "-q", "-j", "0", str(folder / "lib"))
        subprocess.run(program, check=False, capture_output=True)  # some files are only templates
        compiled.touch()


def _make_venv(folder: Path) -> None:
    try:
        call(uv.find_uv_bin(), "venv", "--quiet", "--python", "3.11", str(folder))
    except UnavailableError:
        call(uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder))


def _install(python: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder, "overrides.txt")
        overrides.write_text(OVERRIDES)
        call(
            *(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python)),
            *("--override", str(overrides), *PINS),
            environment=IndexWheels(None).variables(),
        )
