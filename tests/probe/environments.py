"""Real environments for the probe to look at: venvs by uv, small wheels, libraries by cc."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv

from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution

WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True, slots=True)
class Venv:
    """A virtual environment without pip."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def site(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def install(self, *what: str | Path) -> None:
        """Install with uv, from the disk alone."""
        copied = ("--link-mode", "copy")  # what is edited here must not be the cache's own file
        offline = ("--offline", "--no-index")
        run_uv("pip", "install", *copied, *offline, "--python", self.python, *what)

    def look(self) -> Facts:
        return probe(LocalTarget(self.python))

    def find(self, name: str) -> Distribution:
        """Look, and give one distribution."""
        found = self.look().environment.find(name)
        assert found, f"{name} is not seen"
        return found


def make_venv(folder: Path, *options: str) -> Venv:
    run_uv("venv", "--offline", *options, folder)
    return Venv(folder)


def run_uv(*words: str | Path) -> None:
    subprocess.run([uv.find_uv_bin(), *words, "--no-config", "-q"], check=True)


def write_wheel(folder: Path, name: str, files: Mapping[str, str], *, version: str = "1.0") -> Path:
    """Write a pure wheel; the files of its .dist-info may be replaced by ``files``."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents = {f"{info}/METADATA": metadata, f"{info}/WHEEL": WHEEL, **files}
    lines = [f"{path},{record_hash(content)},{len(content)}" for path, content in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,\n"])
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in contents.items():
            archive.writestr(path, content)
    return wheel


def record_hash(content: str, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, content.encode()).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def compile_library(path: Path, source: str) -> Path:
    """Compile C to a shared library; skip the test where no compiler is."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", path],
        input=source.encode(),
        check=True,
    )
    return path
