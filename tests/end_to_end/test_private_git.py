"""A package of a git host that only a key opens comes back when that host is gone."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import tomlkit

from tests.command import Command
from tests.engines.ssh import HOST
from tests.zoo.environment import Venv, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.ssh

PROJECT = {
    "pyproject.toml": (
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "secret-tool"\nversion = "1.0"\n'
    ),
    "secret_tool.py": "ANSWER = 42\n",
}


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(
        ("git", *identity, *words), cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.usefixtures("ssh")
def test_what_was_installed_over_ssh_is_restored_without_its_host(tmp_path: Path) -> None:
    repository = write(tmp_path / "repository", PROJECT)
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "one")
    commit = git(repository, "rev-parse", "HEAD")
    made = Venv(tmp_path / "one" / "venv").make()
    made.install(f"git+ssh://{getpass.getuser()}@{HOST}{repository}@{commit}")
    snapshot = tmp_path / "snapshot"

    captured = Command().run(
        *("capture", "--no-smoke", "--python", str(made.python), "-o", str(snapshot))
    )
    before = made.look()
    shutil.rmtree(repository)
    shutil.rmtree(made.folder)
    restored = Command().run(
        *("restore", str(snapshot), "--engine", "venv", "--into", str(tmp_path / "back"))
    )

    assert (captured.returncode, restored.returncode) == (0, 0), captured.stderr + restored.stderr
    lock = tomlkit.parse((snapshot / "snapenv.toml").read_text()).unwrap()
    (tool,) = lock["environment"]["distributions"]
    assert (tool["name"], tool["origin"], tool["proof"]) == ("secret-tool", "vcs", "vendored")
    assert tool["url"].startswith(f"git+ssh://{HOST}/")
    assert commit in tool["url"]
    assert getpass.getuser() + "@" not in (snapshot / "snapenv.toml").read_text()
    assert Venv(tmp_path / "back").look() == before
