"""A state folder whose runs are sampled by a real sampler, on GPUs that work as curves say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.launch.records import write_record
from snapenv.model.launch import InVenv, Launch
from snapenv.model.usage import UsageRun
from snapenv.targets.sampler_process import start_sampler
from snapenv.targets.venv_runs import VenvRuns
from snapenv.usage.ledger import open_ledger
from snapenv.usage.sampler_place import lock_path, pipe_path
from tests.samples import sample_run_record
from tests.targets.processes import is_running
from tests.working_gpus import working_gpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.usage.ledger import Ledger

INTERVAL_S = 0.25
RUN = "261128-192551-4f2a"
START = "from tests.sampled_machine import start; import sys; start(*sys.argv[1:])"


def start(state: str) -> None:
    """Start or wake the sampler of a state folder, as the command line does."""
    ledger = ledger_of(state)
    start_sampler(lock_path(ledger), pipe_path(ledger), os.environ)


def ledger_of(state: str | Path) -> Path:
    return Path(state) / "usage.sqlite3"


class Machine:
    """A state folder, and the environment of a sampler whose GPUs work."""

    def __init__(self, folder: Path, *curves: str) -> None:
        self.state = folder / "state" / "snapenv"
        self.state.mkdir(parents=True)
        self.environment = {
            **os.environ,
            **working_gpus(folder, *curves),
            "XDG_STATE_HOME": str(folder / "state"),
            "SNAPENV_SAMPLE_INTERVAL": str(INTERVAL_S),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        self.mark = f"{uuid.uuid4().hex}-"
        self.environment["STUB_MARK"] = self.mark
        self.runs = VenvRuns(self.state)

    def start_sampler(self) -> int:
        """Start the sampler, or wake the one there is; return its PID."""
        words = [sys.executable, "-c", START, str(self.state)]
        subprocess.run(words, env=self.environment, check=True)
        until(lambda: self.sampler_pid() is not None)
        return self.sampler_pid() or 0

    def sampler_pid(self) -> int | None:
        """Return the PID of the sampler that writes itself into its lock, while it lives."""
        lock = lock_path(ledger_of(self.state))
        text = lock.read_text() if lock.exists() else ""
        pid = int(text.split()[1].strip(",")) if text else None
        return pid if pid and is_running(pid) else None

    def begin(self, script: str, *, run: str = RUN, user: str = "ann") -> None:
        """Start a run in the background, and put it into the ledger."""
        launch = Launch(run=run, place=InVenv(folder=sys.prefix), argv=("sh", "-c", script))
        self.record(launch, user=user)
        self.runs.start(launch)

    def begin_on_gpu(self, *, code: int = 0, user: str = "ann") -> None:
        """Start a run on GPU 0 that goes on until it may end."""
        wait = f"while [ ! -e {self.state}/may-end ]; do sleep 0.1; done"
        self.begin(f"STUB_ON_GPU={self.mark}0 sh -c '{wait}'; exit {code}", user=user)

    def let_end(self) -> None:
        """Let that run end."""
        (self.state / "may-end").touch()

    def sampled(self, most: int, key: str = RUN) -> bool:
        """Return whether so many samples of a run are in the ledger."""
        with open_ledger(ledger_of(self.state)) as ledger:
            return len(ledger.samples(key)) >= most

    def record(self, launch: Launch, *, engine: str | None = None, user: str = "ann") -> None:
        """Write down that a run begins."""
        record = sample_run_record(launch.run, engine=engine, launch=launch)
        write_record(self.state, record)
        run = UsageRun(
            key=launch.run,
            run=launch.run,
            kind="run",
            user=user,
            host=os.uname().nodename,
            started_ms=round(time.time() * 1000),
        )
        with open_ledger(ledger_of(self.state)) as ledger:
            ledger.put_run(run)

    def ended(self, key: str = RUN) -> UsageRun:
        """Wait until a run has ended in the ledger, and its GPUs have all its time."""
        with open_ledger(ledger_of(self.state)) as ledger:
            until(lambda: _is_counted(ledger, key))
            run = ledger.run(key)
        assert run
        return run


def _is_counted(ledger: Ledger, key: str) -> bool:
    run = ledger.run(key)
    allocated = [row.allocated_ms for row in ledger.run_gpus_of(key)]
    return run is not None and run.ended_ms is not None and allocated == [run.duration_ms]


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    for _ in range(round(seconds / 0.05)):
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("it never holds")
