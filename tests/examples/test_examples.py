"""Each example runs as it is, as far as a machine without a GPU can."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from tests.command import EXIT_CODES, Command
from tests.engines.index_server import build_wheel, serve_index
from tests.engines.ssh import HOST
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
LOGIN = "reader:hunter2-canary-of-the-example"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    made = Venv(tmp_path_factory.mktemp("example") / "venv").make()
    made.install("markupsafe==3.0.2")
    return made


def run(
    script: str, *words: str, folder: Path, before: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run an example in a folder, with the snapenv of this environment on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*before, "sh", str(EXAMPLES / script), *words],
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.ssh
@pytest.mark.usefixtures("ssh")
def test_over_ssh(environment: Venv, tmp_path: Path) -> None:
    done = run("over_ssh.sh", HOST, str(environment.python), "back", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert Venv(tmp_path / "back").look() == environment.look()


@pytest.fixture
def private(tmp_path: Path) -> Iterator[tuple[Venv, str]]:
    """An environment with a package of an index behind a login, and that index's address."""
    with serve_index(build_wheel("inner_tool", "2.0")) as server:
        server.login = ("reader", LOGIN.partition(":")[2])
        made = Venv(tmp_path / "private").make()
        made.install("--extra-index-url", server.index_as(LOGIN), "inner-tool==2.0")
        yield made, server.index_as(LOGIN)


def test_a_private_index(private: tuple[Venv, str], tmp_path: Path) -> None:
    made, index = private
    work = tmp_path / "work"
    work.mkdir()

    done = run(
        *("private_index.sh", str(made.python), "back"),
        folder=work,
        PIP_EXTRA_INDEX_URL=index,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        UV_CACHE_DIR=str(tmp_path / "uv"),
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"inner-tool +2\.0 +from an index +proved by RECORD", done.stdout)
    assert Venv(work / "back").look() == made.look()
    password = LOGIN.partition(":")[2]
    assert password not in done.stdout + done.stderr
    snapshot = [path for path in (work / "snapshot").rglob("*") if path.is_file()]
    assert not any(password.encode() in path.read_bytes() for path in snapshot)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")
def test_an_air_gap(environment: Venv, tmp_path: Path) -> None:
    packed = run("air_gap.sh", "pack", str(environment.python), "env.tar.zst", folder=tmp_path)
    assert packed.returncode == 0, packed.stderr

    done = run(
        *("air_gap.sh", "unpack", "env.tar.zst", "back"),
        folder=tmp_path,
        before=("unshare", "--net"),
        HOME=str(tmp_path),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        UV_CACHE_DIR=str(tmp_path / "uv"),
    )

    assert done.returncode == 0, done.stderr
    assert Venv(tmp_path / "back").look() == environment.look()


@pytest.fixture(scope="module")
def snapshot(environment: Venv) -> Path:
    folder = environment.beside / "snapshot"
    Command().result("capture", "--python", str(environment.python), "-o", str(folder))
    return folder


def test_ci_passes_with_what_was_captured(snapshot: Path, tmp_path: Path) -> None:
    done = run("ci.sh", str(snapshot), "back", folder=tmp_path)

    assert (done.returncode, done.stdout) == (
        0,
        wording("the environment is the one that was captured\n"),
    )
    assert json.loads((tmp_path / "result.json").read_text())["ok"] is True
    assert "<html" in (tmp_path / "report.html").read_text()


def test_ci_fails_where_the_restore_does(tmp_path: Path) -> None:
    done = run("ci.sh", str(tmp_path / "none"), "back", folder=tmp_path)

    assert done.returncode == EXIT_CODES["not-found"]
    assert done.stdout == wording("the restore failed: see result.json\n")
    assert json.loads((tmp_path / "result.json").read_text())["error"]["kind"] == "not-found"


def test_ci_tries_once_more_what_failed_outside(tmp_path: Path) -> None:
    counted = tmp_path / "bin" / "snapenv"
    counted.parent.mkdir()
    counted.write_text("#!/bin/sh\necho {} && echo x >>tries && exit 4\n")
    counted.chmod(0o755)

    done = subprocess.run(
        ["sh", str(EXAMPLES / "ci.sh"), "snapshot", "back"],
        cwd=tmp_path,
        env={"PATH": f"{counted.parent}:{os.environ['PATH']}", "RETRY_SECONDS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 4
    assert (tmp_path / "tries").read_text() == "x\nx\n"


def test_the_workflow_runs_the_script_with_options_that_are_ours() -> None:
    text = (EXAMPLES / "github-actions.yml").read_text()

    assert "sh ci.sh snapshots/" in text
    assert re.findall(r"^ +(SNAPENV_\w+):", text, re.MULTILINE) == ["SNAPENV_DEVICE"]


def test_every_example_is_listed_and_run() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    run_here = Path(__file__).read_text()

    for path in EXAMPLES.iterdir():
        if path.suffix in {".sh", ".yml"}:
            assert f"({path.name})" in listed
            assert f'"{path.name}"' in run_here
