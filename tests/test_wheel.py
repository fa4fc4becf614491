"""A wheel, installed into an empty environment, is the whole program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from snapenv import __version__
from snapenv.index.wheels import IndexWheels

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with the wheel alone."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as variables:
        for name, value in IndexWheels(None).variables().items():
            variables.setenv(name, value)
        uv("build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
        (wheel,) = folder.glob("*.whl")
        uv("venv", "--quiet", "--python", sys.executable, str(folder / "env"))
        uv("pip", "install", "--quiet", "--python", str(folder / "env"), str(wheel))
    return folder / "env"


def uv(*words: str) -> None:
    done = subprocess.run([find_uv_bin(), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_says_its_version(installed: Path) -> None:
    done = subprocess.run(
        [installed / "bin" / "snapenv", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"snapenv {__version__}\n"


def test_it_renders_files_from_its_own_templates(installed: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    uv("venv", "--quiet", "--python", sys.executable, str(empty))
    image = f"example.com/team/env:tag@sha256:{'5e' * 32}"

    for words in (
        ("capture", "--python", str(empty / "bin" / "python"), "-o", "snapshot"),
        ("render", "snapshot", "--image", image, "--as", "compose"),
    ):
        done = subprocess.run(
            [installed / "bin" / "snapenv", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    assert "FROM " in (tmp_path / "snapshot" / "Dockerfile").read_text(encoding="utf-8")
    assert f"image: {image}" in (tmp_path / "compose.yaml").read_text(encoding="utf-8")
    assert "SNAPENV_UID=1000" in (tmp_path / ".env").read_text(encoding="utf-8")


def test_it_holds_what_others_read_of_it(installed: Path) -> None:
    (package,) = installed.glob("lib/python*/site-packages/snapenv")
    (metadata,) = package.parent.glob("snapenv-*.dist-info")

    assert (package / "py.typed").exists()
    assert (package / "schemas" / "restore.json").exists()
    assert (package / "templates" / "report.html.j2").exists()
    assert (metadata / "licenses" / "LICENSE").exists()
