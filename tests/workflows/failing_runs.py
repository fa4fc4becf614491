"""Runs that fail, and the records and folders that they leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.launch import InImage, Launch, Mount, RunRecord
from snapenv.workflows.run import Run
from tests.fakes import FakeRuns

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.launch import Ended


@dataclass
class Failing(FakeRuns):
    """Each run ends with the next of ``codes``, after ``before_end`` was done."""

    codes: list[int] = field(default_factory=list)
    before_end: Callable[[str], None] = lambda _: None

    def run(self, launch: Launch) -> Ended:
        self.exit_code = self.codes.pop(0)
        ended = super().run(launch)
        self.before_end(launch.run)
        return ended


def record(project: Path, run_: str = "first") -> RunRecord:
    mounts = (Mount(source=str(project), target=str(project)),)
    launch = Launch(
        run=run_,
        place=InImage(id="sha256:a", name="tag"),
        argv=("train",),
        folder=str(project),
        mounts=mounts,
        variables={"SNAPENV_SCRATCH": "/tmp/snapenv"},
    )
    return RunRecord(
        run=run_,
        kind="run",
        ref="tag",
        snapshot=None,
        created="2026-01-01T00:00:00Z",
        engine="unix:///x",
        results=str(project / "runs"),
        detached=False,
        launch=launch,
    )


def checkpoint(folder: Path, *, at: int = 1_800_000_000) -> Path:
    last = folder / "weights" / "last.pt"
    last.parent.mkdir(parents=True)
    last.touch()
    os.utime(last, (at, at))
    return folder


def request(project: Path, **fields: object) -> Run:
    asked = Run(ref="", repository="x", argv=(), folder=project, runs=project / "runs")
    return replace(asked, **fields)
