"""Two environments that were one, and what has become of them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker import DockerClient

from snapenv.lock.store import read_snapshot
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL
from tests.command import Command
from tests.samples import TAG
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def working(tmp_path: Path) -> Venv:
    venv = Venv(tmp_path / "working").make()
    venv.install("click==8.1.7", "six==1.16.0")
    return venv


@pytest.fixture
def snapshot(working: Venv, tmp_path: Path) -> str:
    folder = tmp_path / "snapshot"
    words = ("--python", str(working.python), "--no-smoke", "-o", str(folder))
    Command().result("capture", *words)
    return str(folder)


def change(venv: Venv) -> None:
    """Install another version, edit a file, delete one, and leave one lying about."""
    venv.install("six==1.17.0")
    core = venv.site / "click" / "core.py"
    core.write_text(core.read_text() + "\nEDITED = True\n")
    (venv.site / "click" / "testing.py").unlink()
    (venv.site / "ours.py").write_text("ANSWER = 42\n")


def told(document: dict[str, Any]) -> dict[str, tuple[str, str | None, str | None]]:
    """Give each difference by its subject; of a content, which is a hash, only that there is."""
    return {
        one["subject"]: (
            one["group"],
            *(side and side.split(" ")[0] for side in (one["left"], one["right"])),
        )
        for one in document["result"]["differences"]
    }


CHANGES = {
    "click/core.py": ("behaviour", "as", "edited"),
    "click/testing.py": ("behaviour", "as", None),
    "ours.py": ("behaviour", None, "content"),
    "six": ("behaviour", "1.16.0", "1.17.0"),
}


def test_an_environment_is_the_snapshot_that_was_taken_of_it_until_it_is_changed(
    working: Venv, snapshot: str
) -> None:
    before = Command().document("diff", snapshot, str(working.python))
    change(working)
    after = Command().document("diff", snapshot, str(working.python))

    assert (before["exit_code"], told(before)) == (0, {})
    assert (after["exit_code"], told(after)) == (1, CHANGES)


def test_two_environments_differ_by_what_was_done_to_one(working: Venv, tmp_path: Path) -> None:
    other = Venv(tmp_path / "other").make()
    other.install("click==8.1.7", "six==1.16.0")
    change(other)

    done = Command().document("diff", str(working.folder), str(other.folder))

    assert told(done) == CHANGES


def test_the_active_environment_is_live(working: Venv, snapshot: str) -> None:
    active = Command({"VIRTUAL_ENV": str(working.folder)})

    done = active.result("diff", snapshot, "live")

    assert done["right"]["place"] == str(working.python)
    assert done["differences"] == []


def test_what_a_restore_brought_back_is_what_was_captured(working: Venv, tmp_path: Path) -> None:
    change(working)
    snapshot, into = tmp_path / "snapshot", tmp_path / "restored"
    words = ("--python", str(working.python), "--no-smoke", "-o", str(snapshot))
    Command().result("capture", *words)
    Command().result("restore", str(snapshot), "--engine", "venv", "--into", str(into))

    done = Command().document("diff", str(snapshot), str(into))

    assert done["ok"], done
    assert {one["group"] for one in done["result"]["differences"]} <= {"cosmetic"}


@pytest.fixture
def image(engine_host: str, snapshot: str) -> Iterator[str]:
    """An image that holds the snapshot where a build puts it, and nothing else."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(snapshot, IMAGE_SNAPSHOT.lstrip("/"))
    label = f"LABEL {SNAPSHOT_LABEL}={read_snapshot(Path(snapshot)).digest}"
    client = DockerClient(base_url=engine_host)
    client.api.import_image_from_data(
        stream.getvalue(), repository="snapenv-compared", tag=TAG, changes=[label]
    )
    yield f"snapenv-compared:{TAG}"
    client.images.remove(f"snapenv-compared:{TAG}")
    client.close()


@pytest.mark.docker
def test_an_image_is_compared_by_the_snapshot_in_it(
    engine_host: str, working: Venv, snapshot: str, image: str
) -> None:
    command = Command({"DOCKER_HOST": engine_host})
    change(working)

    same = command.document("diff", snapshot, TAG, "--repository", "snapenv-compared")
    other = command.document("diff", image, str(working.python))

    assert same["result"]["right"]["place"] == image
    assert (same["exit_code"], told(same)) == (0, {})
    assert (other["exit_code"], told(other)) == (1, CHANGES)
