"""A training that is killed goes on by itself, and one that is paused when it is asked to."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from snapenv_resume.files import damage
from tests.end_to_end.projects import EPOCHS, Project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.exact


@pytest.fixture
def project(exact_python: Path, tmp_path: Path) -> Project:
    return Project(tmp_path, str(exact_python.parents[1]))


def test_a_killed_training_is_continued_to_its_end(project: Project) -> None:
    words = ("--restart", "on-failure:1", "--", "python", "train.py", str(EPOCHS))
    with project.running(project.environment, *words) as process:
        project.wait_for_epochs(2, process)
        os.kill(project.written("process.json")[0]["pid"], signal.SIGKILL)
        _, err = process.communicate()

    first, second = project.written("run.json")
    assert process.returncode == 0, err
    assert "note: exit code 137: it was killed" in err
    assert f"note: restart 1 of 1, from {project.save_dir}" in err
    assert "continued, not identical" in err
    assert (second["resumed_from"], second["training"]) == (first["run"], str(project.save_dir))
    ends = project.written("end.json")
    assert [end["exit_code"] for end in ends] == [137, 0]
    assert ends[1]["continued"].endswith("continued, not identical")
    assert project.epochs() == list(range(1, EPOCHS + 1))

    again = project.program.run("run", "--resume", second["run"], folder=project.folder)

    assert again.returncode == 3
    assert "is finished: nothing is left to train" in again.stderr
    assert project.epochs() == list(range(1, EPOCHS + 1))


@pytest.mark.full
def test_a_paused_training_has_a_whole_checkpoint(project: Project) -> None:
    words = (project.environment, "--", "python", "train.py", "500")
    with project.running(*words) as process:
        project.wait_for_epochs(1, process)
        (record,) = project.written("run.json")
        stopped = project.program.document("stop", "--pause", record["run"])
        process.communicate()

    result = stopped["result"]
    kept = project.save_dir / "snapenv"
    assert [result["checkpoint"]] == [str(path) for path in kept.glob("kept-*.pt")]
    assert damage(next(kept.glob("kept-*.pt"))) is None
    assert result["exit_code"] == process.returncode == 130
    assert project.written("end.json")[0]["cause"] is None
