"""render, as a user types it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.lock.store import write_snapshot
from tests.command import Command
from tests.render.workloads import IMAGE
from tests.samples import sample_snapshot
from tests.steady import steady

if TYPE_CHECKING:
    from pathlib import Path

FILES = ["compose.yaml", "compose.gpu.yaml", ".env"]
AS_COMPOSE = ("render", "snapshot", "--image", str(IMAGE), "--as", "compose")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a snapshot in it."""
    write_snapshot(sample_snapshot(), tmp_path / "snapshot")
    return tmp_path


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "snapshot")


def test_files_are_written_where_they_are_used(project: Path) -> None:
    done = Command().run(*AS_COMPOSE, folder=project)

    assert done.returncode == 0, done.stderr
    assert written(project) == sorted(FILES)
    assert done.stderr.splitlines()[-1] == "next: docker compose up -d --wait"
    assert f"  image: {IMAGE}\n" in (project / "compose.yaml").read_text(encoding="utf-8")


def test_programs_are_told_what_was_written(project: Path) -> None:
    words = (*AS_COMPOSE[:1], str(project / "snapshot"), *AS_COMPOSE[2:])

    result = Command().result(*words, "--output", str(project / "new" / "place"))

    assert [file["path"] for file in result["files"]] == [
        str(project / "new" / "place" / name) for name in FILES
    ]
    assert result["image"] == str(IMAGE)
    assert result["snapshot"] == sample_snapshot().digest
    assert written(project / "new" / "place") == sorted(FILES)


def test_a_dry_run_prints_the_files_alone(project: Path) -> None:
    done = Command().run(*AS_COMPOSE, "--dry-run", folder=project)

    assert done.returncode == 0, done.stderr
    assert [line[4:-4] for line in done.stdout.splitlines() if line.startswith("==> ")] == FILES
    assert "next:" not in done.stderr
    assert written(project) == []


def test_nothing_that_is_there_is_replaced_unless_it_is_asked_for(project: Path) -> None:
    (project / ".env").write_text("MINE=1\n", encoding="utf-8")

    error = Command().error("place-taken", *AS_COMPOSE, folder=project)

    assert ".env exists already" in error
    assert written(project) == [".env"]

    done = Command().run(*AS_COMPOSE, "--force", folder=project)

    assert done.returncode == 0, done.stderr
    assert ".env is replaced" in done.stdout
    assert written(project) == sorted(FILES)
    assert "MINE" not in (project / ".env").read_text(encoding="utf-8")


def test_where_one_file_cannot_be_written_none_is(project: Path) -> None:
    (project / ".env").mkdir()

    Command().error("place-taken", *AS_COMPOSE, "--force", folder=project)

    assert written(project) == [".env"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("render", "snapshot", "--as", "heroku"), "'compose'"),
        (("render", "snapshot"), "--as"),
        (("render", "snapshot", "--as", "compose"), "--image"),
        ((*AS_COMPOSE[:3], "example.com/team/env:tag", *AS_COMPOSE[4:]), "is not pinned"),
        ((*AS_COMPOSE, "--data", "coco"), "--data coco"),
        ((*AS_COMPOSE, "--workdir", "~/project"), "--workdir ~/project"),
        ((*AS_COMPOSE, "--mount", "./data:/data"), "'./data'"),
        ((*AS_COMPOSE, "--mount", "/data:/opt/snapenv"), "/opt/snapenv"),
        ((*AS_COMPOSE, "--memory", "1g", "--shm-size", "2g"), "--shm-size"),
        ((*AS_COMPOSE, "--bind", "localhost"), "'localhost'"),
        ((*AS_COMPOSE, "--namespace", "team"), "--namespace is an option of --as kubernetes, not"),
        ((*AS_COMPOSE, "--gpus", "2"), "--gpus is an option of --as kubernetes and slurm"),
    ],
)
def test_what_no_file_can_say_is_refused_before_anything_is_written(
    project: Path, words: tuple[str, ...], named: str
) -> None:
    assert named in Command().error("usage", *words, folder=project)
    assert written(project) == []


def test_a_credential_of_this_machine_is_written_into_no_file(project: Path) -> None:
    words = (*AS_COMPOSE, "-e", "TOKEN=ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8")

    error = Command().error("leak", *words, folder=project)

    assert "compose.yaml line" in error
    assert written(project) == []


def test_a_full_disk_takes_none_of_the_files(project: Path, full_disk: Path) -> None:
    words = (*AS_COMPOSE[:1], str(project / "snapshot"), *AS_COMPOSE[2:])

    error = Command().error("write", *words, "-o", str(full_disk))

    assert steady(error) == wording("""\
error: cannot write TMP/full/compose.yaml: No space left on device
hint: Free some space or choose another place with -o; nothing was left behind.
""")
    assert written(full_disk) == ["filler"]


@pytest.mark.parametrize(
    ("target", "file"),
    [("prometheus", "snapenv.rules.yml"), ("grafana", "snapenv.dashboard.json")],
)
def test_monitoring_is_rendered_without_an_image(tmp_path: Path, target: str, file: str) -> None:
    result = Command().result("render", "--as", target, "--output", str(tmp_path))

    assert (result["image"], result["snapshot"]) == (None, None)
    assert [one["path"] for one in result["files"]] == [str(tmp_path / file)]
    assert written(tmp_path) == [file]


@pytest.mark.parametrize(
    "words",
    [
        ("--as", "compose"),
        (str(IMAGE), "--as", "grafana"),
        ("--as", "grafana", "--image", str(IMAGE)),
        ("--as", "prometheus", "--", "yolo", "train"),
    ],
)
def test_an_image_is_named_where_one_is_run_and_nowhere_else(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = Command().run("render", *words, folder=tmp_path)

    assert done.returncode == 2
    assert written(tmp_path) == []
