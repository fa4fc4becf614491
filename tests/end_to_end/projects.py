"""Folders with data and a training program, in which snapenv runs with a state of its own."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from snapenv_train.images import make_data
from tests.command import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
    """One of them, for an environment that snapenv run takes."""

    def __init__(self, folder: Path, environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
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
        own = () if "--resume" in words else ("--env", "PYTHONPYCACHEPREFIX=")
        process = subprocess.Popen(
            [sys.executable, "-m", "snapenv", "run", *own, *words],
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
