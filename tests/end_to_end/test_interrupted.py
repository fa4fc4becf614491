"""A training that is killed goes on by itself, and one that is paused when it is asked to."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from snapenv_resume.files import damage
from snapenv_train.images import make_data
from tests.command import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.exact

EPOCHS = 3
TRAIN = """
import sys
from ultralytics import YOLO
YOLO("yolov8n.yaml").train(
    data="data/data.yaml", epochs=int(sys.argv[1]), imgsz=32, batch=8, workers=0, device="cpu",
    plots=False, amp=False, name="train",
)
"""


class Project:
    """A folder with data and a training program, and a snapenv of its own."""

    def __init__(self, folder: Path, environment: Path) -> None:
        self.folder, self.environment = folder, environment
        self.state = folder / "state"
        self.save_dir = folder / "runs" / "detect" / "train"
        self.program = Program(
            {"XDG_STATE_HOME": str(self.state), "XDG_CACHE_HOME": str(folder / "cache")}
        )
        make_data(folder / "data", 8)
        (folder / "train.py").write_text(TRAIN)

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "snapenv", "run", "--env", "PYTHONPYCACHEPREFIX=", *words],
            env={**outside_of_pytest(), **self.program.environment},
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def wait_for_epochs(self, count: int, process: subprocess.Popen[str]) -> None:
        while not (self.save_dir / "weights" / "last.pt").exists() or len(self.epochs()) < count:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    def epochs(self) -> list[int]:
        with (self.save_dir / "results.csv").open() as file:
            return [int(row[0]) for row in list(csv.reader(file))[1:]]

    def written(self, name: str) -> list[dict[str, Any]]:
        """Return what is written down of all runs, the oldest first."""
        paths = sorted((self.state / "snapenv" / "runs").glob(f"*/{name}"))
        return [json.loads(path.read_text()) for path in paths]


def outside_of_pytest() -> dict[str, str]:
    """Return the variables without pytest's: with it ultralytics writes to a folder of its own."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture
def project(exact_python: Path, tmp_path: Path) -> Project:
    return Project(tmp_path, exact_python.parents[1])


def test_a_killed_training_is_continued_to_its_end(project: Project) -> None:
    words = ("--restart", "on-failure:1", "--", "python", "train.py", str(EPOCHS))
    with project.running(str(project.environment), *words) as process:
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
    words = (str(project.environment), "--", "python", "train.py", "500")
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
