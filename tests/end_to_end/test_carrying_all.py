"""An environment whose every wheel travels comes back where there is no network at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import tomlkit

from snapenv.lock.store import read_snapshot
from tests.command import EXIT_CODES, Command
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = "from setuptools import setup\nsetup(name='ours', version='1.0', py_modules=['ours'])\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """Return an environment of two wheels of the index, one edited by hand, and one of our own."""
    made = Venv(tmp_path_factory.mktemp("all") / "venv").make()
    made.install("markupsafe==3.0.2", "click==8.1.8")
    made.install(str(own_project(made)))
    edited = made.site / "click" / "utils.py"
    edited.write_text(edited.read_text() + "\nEDITED = True\n")
    return made


@pytest.fixture(scope="module")
def snapshot(environment: Venv) -> Path:
    folder = environment.beside / "snapshot"
    words = ("capture", "--no-smoke", "--vendor=all", "--python", str(environment.python))
    Command().result(*words, "-o", str(folder))
    return folder


def own_project(made: Venv) -> Path:
    folder = made.beside / "ours"
    folder.mkdir()
    (folder / "setup.py").write_text(LOCAL)
    (folder / "ours.py").write_text("OURS = 1\n")
    return folder


def without_network(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run snapenv where there are no interfaces, from an empty home folder."""
    kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    return subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "snapenv", *words],
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")
def test_without_any_interface_a_venv_comes_back_with_its_edits(
    environment: Venv, snapshot: Path, tmp_path: Path
) -> None:
    into = tmp_path / "back"

    done = without_network(
        "restore", str(snapshot), "--engine", "venv", "--into", str(into), home=tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr
    restored = Venv(into)
    assert restored.look() == environment.look()
    assert restored.say("import click.utils, ours; print(click.utils.EDITED, ours.OURS)") == (
        "True 1\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")
def test_where_only_the_missing_travel_the_rest_needs_the_network(
    environment: Venv, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshot"
    words = ("capture", "--no-smoke", "--python", str(environment.python), "-o", str(folder))
    Command().result(*words)

    done = without_network(
        *("--json", "restore", str(folder), "--engine", "venv", "--into", str(tmp_path / "back")),
        home=tmp_path,
    )

    assert done.returncode == EXIT_CODES["install"]
    assert json.loads(done.stdout)["error"]["kind"] == "install"
    assert not (tmp_path / "back").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")
def test_one_file_with_all_wheels_brings_a_venv_back_without_any_interface(
    environment: Venv, snapshot: Path, tmp_path: Path
) -> None:
    few, file, into = tmp_path / "few", tmp_path / "env.tar.zst", tmp_path / "back"
    words = ("capture", "--no-smoke", "--python", str(environment.python), "-o", str(few))
    Command().result(*words)

    exported = Command().result("export", str(few), "-o", str(file), "--vendor=all")
    done = without_network(
        "restore", str(file), "--engine", "venv", "--into", str(into), home=tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert Venv(into).look() == environment.look()
    # the very snapshot that a capture with all wheels writes
    assert exported["snapshot"] == read_snapshot(snapshot).digest
    imported = Command().result("import", str(file), "-o", str(tmp_path / "folder"))
    assert imported["snapshot"] == exported["snapshot"]
    names = {path.name for path in (snapshot / "vendor").iterdir()}
    assert {path.name for path in (tmp_path / "folder" / "vendor").iterdir()} == names


def test_the_wheels_of_the_index_keep_their_hash_and_tell_their_address(snapshot: Path) -> None:
    lock = tomlkit.parse((snapshot / "pylock.toml").read_text()).unwrap()

    packages = {package["name"]: package for package in lock["packages"]}
    assert set(packages) == {"click", "markupsafe", "ours"}
    for name in ("click", "markupsafe"):
        tool = packages[name]["tool"]["snapenv"]
        assert tool["proof"] == "record"
        assert tool["url"].endswith(packages[name]["wheels"][0]["path"].removeprefix("vendor/"))
    assert packages["ours"]["tool"]["snapenv"] == {"proof": "vendored"}


def test_the_dockerfile_names_no_host_but_that_of_its_base(snapshot: Path) -> None:
    dockerfile = (snapshot / "Dockerfile").read_text()

    assert "://" not in dockerfile
    assert "COPY vendor/uv-" in dockerfile
    assert len(list((snapshot / "vendor").glob("uv-*.whl"))) == 1


def test_where_nothing_may_travel_what_no_index_has_is_named(
    environment: Venv, tmp_path: Path
) -> None:
    said = Command().error(
        *("lock", "capture", "--no-smoke", "--vendor=none", "--python", str(environment.python)),
        *("-o", str(tmp_path / "snapshot")),
    )

    assert "no index gives ours 1.0 back as it is installed" in said
    assert not (tmp_path / "snapshot").exists()
