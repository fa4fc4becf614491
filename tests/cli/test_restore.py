"""``--report`` as a user gives it: when a page is written, and when nothing is begun for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.lock.store import write_snapshot
from tests.command import EXIT_CODES, Command
from tests.samples import TAG, sample_snapshot

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
SECRET = "dckr-pat-4f5c0a7e9b21d836"


def refused(folder: Path, page: Path) -> tuple[str, ...]:
    """Return the words of a restore that no machine without a GPU can do."""
    write_snapshot(sample_snapshot(), folder)
    venv = ("--engine", "venv", "--into", str(folder.parent / "venv"))
    return ("restore", str(folder), *venv, "--device", "63", "--report", str(page))


def test_a_refused_restore_leaves_a_page(tmp_path: Path) -> None:
    document = Command(NOWHERE).document(*refused(tmp_path / "s", tmp_path / "page.html"))

    page = (tmp_path / "page.html").read_text()
    assert document["exit_code"] == 1
    assert document["verdict"]["check"] == "gpu.present"
    assert document["verdict"]["summary"] in page
    assert TAG in page
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("command", ["restore", "verify"])
@pytest.mark.parametrize("place", ["gone/page.html", "s/snapenv.toml/page.html"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, command: str, place: str
) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "s")
    words = (command, str(tmp_path / "s"), "--report", str(tmp_path / place))

    said = Command(NOWHERE).error("write", *words)

    assert f"cannot write {tmp_path / place}" in said
    assert "--report" in said


def test_a_page_with_a_secret_is_not_written(tmp_path: Path) -> None:
    words = refused(tmp_path / SECRET, tmp_path / "page.html")

    done = Command({**NOWHERE, "REGISTRY_TOKEN": SECRET}).run(*words)

    assert done.returncode == EXIT_CODES["leak"]
    assert SECRET not in done.stdout + done.stderr
    assert not (tmp_path / "page.html").exists()
