"""Real environments for the probe to look at: venvs by uv, small wheels, libraries by cc."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv

from snapenv.kept import Kept
from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack, pack_compiled
from tests.fakes import ChangedFiles
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.carried import Content
    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution, Files

WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
INSTALLERS = ("uv", "pip")
PLAIN = {"plain/__init__.py": "ANSWER = 42\n", "plain/data.bin": "x" * 100_000}
WITH_SCRIPTS = {
    "plain.py": "def main(): pass\n",
    "plain-1.0.dist-info/entry_points.txt": "[console_scripts]\nmade = plain:main\n",
    "plain-1.0.data/scripts/written": "#!python\nprint('written')\n",
    "plain-1.0.data/scripts/shell.sh": "#!/bin/sh\necho shell\n",
    "plain-1.0.data/scripts/program": "\x7fELF, no text",
}
BACKEND = """
import glob, os, shutil
def build_wheel(folder, config_settings=None, metadata_directory=None):
    wheel, = glob.glob("*.whl")
    shutil.copy(wheel, folder)
    return os.path.basename(wheel)
build_editable = build_wheel
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


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
        return probe(
            ChangedFiles(LocalTarget(self.python), functools.partial(_with_bytecode, self.python))
        )

    def find(self, name: str) -> Distribution:
        """Look, and give one distribution."""
        found = self.look().environment.find(name)
        assert found, f"{name} is not seen"
        return found


def _with_bytecode(python: str, files: Mapping[str, Content]) -> Mapping[str, Content]:
    """Send the probe with its bytecode, as it is where its answers are kept.

    Compiling it takes longer than what it does in a small environment.
    """
    compiled, probe = _compiled(Path(python).resolve()), pack("snapenv_probe")
    return {name: compiled if it == probe else it for name, it in files.items()}


@functools.cache
def _compiled(python: Path) -> bytes:
    compiled = pack_compiled("snapenv_probe", LocalTarget(str(python)), Kept(None))
    assert compiled
    return compiled


def make_venv(folder: Path, *options: str) -> Venv:
    # Where none is named uv asks each Python that it finds, however slow that is to start.
    python = () if "--python" in options else ("--python", sys.executable)
    run_uv("venv", "--offline", *python, *options, folder)
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


def digest(contents: dict[str, str]) -> str:
    """Digest files as ``Files`` says, by another way than the probe's."""
    lines = (
        f"{path}\0{hashlib.sha256(content.encode()).hexdigest()}\n"
        for path, content in sorted(contents.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def files(venv: Venv, name: str = "plain") -> Files:
    found = venv.find(name).files
    assert found
    return found


def add_distribution(site: Path, name: str, record: str) -> None:
    """Put a .dist-info there by hand, as no installer would write it."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    info = f"{name}-1.0.dist-info"
    write_files(site, {f"{info}/METADATA": metadata, f"{info}/RECORD": record})


def bundled_pip() -> list[Path]:
    """Return the wheel of pip that comes with Python."""
    spec = importlib.util.find_spec("ensurepip")  # Debian keeps it apart, and the wheel elsewhere
    folders = [Path(spec.origin).parent / "_bundled"] if spec and spec.origin else []
    if debian := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.append(Path(debian))
    wheels = [wheel for folder in folders for wheel in folder.glob("pip-*.whl")][:1]
    if not wheels:
        pytest.skip("this Python brings no pip")
    return wheels


@functools.cache
def _with_pip() -> tempfile.TemporaryDirectory[str]:
    """Make an environment that holds pip, once; it goes with this process."""
    wheels = bundled_pip()
    place = tempfile.TemporaryDirectory(prefix="pip-of-tests-")
    make_venv(Path(place.name)).install(*wheels)
    return place


def install(venv: Venv, wheel: Path, installer: str) -> None:
    if installer == "uv":
        venv.install("--reinstall", wheel)
        return
    pip = (Venv(Path(_with_pip().name)).python, "-m", "pip", "--python", venv.python)
    offline = ("--no-index", "--force-reinstall", "--disable-pip-version-check", "-q")
    subprocess.run([*pip, "install", *offline, str(wheel)], check=True)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.unlink()  # else the file in uv's cache changes too
    path.write_text(text.replace(old, new))
    path.chmod(0o755)


def write_project(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write sources that build to one wheel, with a backend of their own."""
    write_files(folder, {"pyproject.toml": PROJECT, "backend.py": BACKEND})
    write_wheel(folder, name, files)
    return folder


def install_editable(
    venv: Venv, project: Path, leads: Path | str, files: Mapping[str, str] | None = None
) -> None:
    """Install a project editable, with a ``.pth`` to a folder."""
    wiring = {"__editable__.plain-1.0.pth": f"{leads}\n", **(files or {})}
    venv.install("--editable", write_project(project, "plain", wiring))


def make_repository(folder: Path) -> str:
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "All"]):
        subprocess.run([*git, *words], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; give its host and port."""
    handler = functools.partial(Quiet, directory=str(folder))
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"127.0.0.1:{server.server_address[1]}"
