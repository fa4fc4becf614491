"""Environments of one ultralytics on one torch, without any network.

For each torch there is one environment that stays, without ultralytics; each version of that is
put before it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import uv

from snapenv.index.wheels import IndexWheels
from snapenv.targets.local import LocalTarget
from tests.engines.exact import compile_bytecode
from tests.engines.place import Place, UnavailableError, call, say

ULTRALYTICS = (
    "8.0.100",
    "8.0.150",
    "8.0.200",
    "8.1.0",
    "8.1.47",
    "8.2.50",
    "8.3.0",
    "8.3.200",
    "8.4.0",
    "8.4.190",
)
OTHERS = (  # that one or the other version imports
    "opencv-python-headless",
    "matplotlib",
    "pillow",
    "pyyaml",
    "requests",
    "scipy",
    "tqdm",
    "pandas",
    "seaborn",
    "psutil",
    "py-cpuinfo",
    "thop",
    "ultralytics-thop",
    "hub-sdk",
    "polars",
    "setuptools<81",
)
LEFT_OUT = "opencv-python ; sys_platform == 'never'\ntriton ; sys_platform == 'never'\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Torch:
    """One release of torch, with what was current beside it."""

    version: str
    torchvision: str
    numpy: str
    python: str  # where uv finds it, else what the tests run on

    @property
    def pins(self) -> tuple[str, ...]:
        return (f"torch=={self.version}", f"torchvision=={self.torchvision}", self.numpy, *OTHERS)


OLD = Torch(version="2.4.1", torchvision="0.19.1", numpy="numpy<2", python="3.8")
MIDDLE = Torch(version="2.6.0", torchvision="0.21.0", numpy="numpy<2.3", python="3.10")
NEW = Torch(version="2.11.0", torchvision="0.26.0", numpy="numpy", python="3.11")


def make_torch(torch: Torch, place: Place) -> Path:
    """Return the interpreter of an environment with one torch, made if it is not there.

    Raises:
        UnavailableError: The index does not answer.
    """
    folder = place.folder / f"torch-{torch.version}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists() and ready.read_text() == repr(torch):
        compile_bytecode(python)
        return python
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making an environment with torch {torch.version}")
    try:
        call(uv.find_uv_bin(), "venv", "--quiet", "--python", torch.python, str(folder))
    except UnavailableError:
        call(uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder))
    with tempfile.TemporaryDirectory() as beside:
        overrides = Path(beside, "overrides.txt")
        overrides.write_text(LEFT_OUT)
        _install(python, "--override", str(overrides), *torch.pins)
    ready.write_text(repr(torch))
    compile_bytecode(python)
    return python


def put_ultralytics(python: Path, version: str, folder: Path) -> LocalTarget:
    """Return a target with one ultralytics before the environment, and without any network."""
    _install(python, "--no-deps", "--target", str(folder / "site"), f"ultralytics=={version}")
    alone = "unshare --net" if os.geteuid() == 0 else "unshare --map-root-user --net"
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/site exec {alone} {python} "$@"\n')
    script.chmod(0o755)
    return LocalTarget(str(script))


def _install(python: Path, *words: str) -> None:
    call(
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), *words),
        environment=IndexWheels(None).variables(),
    )
