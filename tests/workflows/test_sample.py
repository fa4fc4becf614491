"""The sampler as a process: real runs, a real ledger, and GPUs that work as curves say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.engine.runs import DockerRuns
from snapenv.kept import Kept
from snapenv.launch.records import write_record
from snapenv.model.launch import RUN_LABEL, InImage, InVenv, Launch, RunRecord
from snapenv.model.usage import UsageRun, UsedGpu
from snapenv.targets.sampler_process import start_sampler
from snapenv.targets.venv_runs import VenvRuns
from snapenv.usage.ledger import open_ledger
from snapenv.usage.sampler_place import lock_path, pipe_path
from tests.engines.busybox import small_context
from tests.fakes import FakeTask
from tests.targets.processes import all_end, is_running
from tests.usage.team import new_team
from tests.working_gpus import IDLE, PULSES, gpu_uuid, working_gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.usage.ledger import Ledger
    from tests.engines.postgres import Postgres

_INTERVAL_S = 0.25
_RUN = "261128-192551-4f2a"
_START = "from tests.workflows.test_sample import start; import sys; start(*sys.argv[1:])"


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
            "SNAPENV_SAMPLE_INTERVAL": str(_INTERVAL_S),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.runs = VenvRuns(self.state)

    def start_sampler(self) -> int:
        """Start the sampler, or wake the one there is; return its PID."""
        words = [sys.executable, "-c", _START, str(self.state)]
        subprocess.run(words, env=self.environment, check=True)
        until(lambda: self.sampler_pid() is not None)
        return self.sampler_pid() or 0

    def sampler_pid(self) -> int | None:
        """Return the PID of the sampler that writes itself into its lock, while it lives."""
        lock = lock_path(ledger_of(self.state))
        text = lock.read_text() if lock.exists() else ""
        pid = int(text.split()[1].strip(",")) if text else None
        return pid if pid and is_running(pid) else None

    def begin(self, script: str, *, run: str = _RUN, user: str = "ann") -> None:
        """Start a run in the background, and put it into the ledger."""
        launch = Launch(run=run, place=InVenv(folder=sys.prefix), argv=("sh", "-c", script))
        self.record(launch, user=user)
        self.runs.start(launch)

    def begin_on_gpu(self, *, code: int = 0, user: str = "ann") -> None:
        """Start a run on GPU 0 that goes on until it may end."""
        wait = f"while [ ! -e {self.state}/may-end ]; do sleep 0.1; done"
        self.begin(f"STUB_ON_GPU=0 sh -c '{wait}'; exit {code}", user=user)

    def let_end(self) -> None:
        """Let that run end."""
        (self.state / "may-end").touch()

    def sampled(self, most: int, key: str = _RUN) -> bool:
        """Return whether so many samples of a run are in the ledger."""
        with open_ledger(ledger_of(self.state)) as ledger:
            return len(ledger.samples(key)) >= most

    def record(self, launch: Launch, *, engine: str | None = None, user: str = "ann") -> None:
        """Write down that a run begins."""
        record = RunRecord(
            run=launch.run,
            kind="run",
            ref="tag",
            snapshot=None,
            created="2026-11-18T00:00:00Z",
            engine=engine,
            results=None,
            detached=True,
            launch=launch,
        )
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

    def ended(self, key: str = _RUN) -> UsageRun:
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


def until(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    for _ in range(round(seconds / 0.05)):
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("it never holds")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, PULSES, IDLE)
    yield made
    made.runs.stop(_RUN, 1)
    sampler = made.sampler_pid()
    if sampler:
        os.kill(sampler, signal.SIGKILL)
        assert all_end(sampler)


def test_a_run_is_sampled_from_outside_to_its_end(machine: Machine) -> None:
    machine.begin_on_gpu(code=4)
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(10))
    machine.let_end()

    run = machine.ended()

    assert (run.exit_code, run.gpus) == (4, (UsedGpu(uuid=gpu_uuid(0), model="NVIDIA H200"),))
    assert (run.ended_ms or 0) - run.started_ms == pytest.approx(run.duration_ms, abs=5)
    with open_ledger(ledger_of(machine.state)) as ledger:
        (row,) = ledger.run_gpus_of(_RUN)
        samples = ledger.samples(_RUN)
        machine_gpus = ledger.machine_gpus()
    duration_ms = row.allocated_ms
    assert duration_ms == run.duration_ms
    assert row.covered_ms >= 10 * _INTERVAL_S * 1000 * 0.9
    assert row.buckets[0] + row.buckets[9] == row.covered_ms
    assert 0.25 < row.buckets[9] / row.covered_ms < 0.75
    assert 0.12 < (row.energy_mj or 0) / (duration_ms * 1000) < 0.4  # of 120 and 400 watts
    assert (row.util_source, row.memory_peak_bytes) == ("nvml", 20_000 << 20)
    assert len(samples) >= 10
    assert [one.gpu for one in machine_gpus] == [gpu_uuid(0), gpu_uuid(1)]
    assert all_end(sampler)


def test_a_sampler_outlives_the_command_that_started_it(machine: Machine) -> None:
    machine.begin("sleep 60")
    words = [sys.executable, "-c", f"{_START}; input()", str(machine.state)]
    with subprocess.Popen(
        words, env=machine.environment, stdin=subprocess.PIPE, start_new_session=True
    ) as starter:
        until(lambda: machine.sampler_pid() is not None)
        os.killpg(starter.pid, signal.SIGKILL)
    sampler = machine.sampler_pid()
    assert sampler

    machine.runs.signal(_RUN, signal.SIGKILL)

    until(lambda: ended_at(machine) is not None)
    assert sampler == machine.sampler_pid()


def test_a_second_sampler_wakes_the_first_and_ends(machine: Machine) -> None:
    machine.environment["SNAPENV_SAMPLE_INTERVAL"] = "60"
    machine.begin("sleep 60")
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(1))
    machine.begin("sleep 60", run="second")

    assert machine.start_sampler() == sampler
    until(lambda: machine.sampled(1, "second"), 10)  # no minute later
    words = [sys.executable, "-m", "snapenv", "usage", "sample"]
    second = subprocess.run(words, env=machine.environment, timeout=30, check=False)

    assert second.returncode == 0
    assert machine.sampler_pid() == sampler
    machine.runs.stop("second", 0)


def test_a_sampler_that_is_killed_costs_at_most_an_interval(machine: Machine) -> None:
    machine.begin_on_gpu()
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(4))
    os.kill(sampler, signal.SIGKILL)
    assert all_end(sampler)

    assert machine.start_sampler() != sampler
    until(lambda: machine.sampled(8))
    machine.let_end()

    run = machine.ended()
    with open_ledger(ledger_of(machine.state)) as ledger:
        (row,) = ledger.run_gpus_of(_RUN)
        gaps = [one.value or 0 for one in ledger.events_of(_RUN) if one.kind == "gap"]
    assert row.allocated_ms == run.duration_ms
    assert row.covered_ms >= row.allocated_ms - sum(gaps) - _INTERVAL_S * 1000


@pytest.mark.full
def test_a_run_that_ended_while_nobody_looked_is_closed_at_the_next_start(
    machine: Machine,
) -> None:
    machine.begin("STUB_ON_GPU=0 sleep 60")
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(2))
    os.kill(sampler, signal.SIGKILL)
    state = machine.runs.state(_RUN)
    assert state
    os.killpg(state.pid or 0, signal.SIGKILL)  # with the shell that would write its exit code
    assert all_end(sampler, state.pid or 0)
    time.sleep(1)

    machine.start_sampler()

    run = machine.ended()
    with open_ledger(ledger_of(machine.state)) as ledger:
        last = ledger.samples(_RUN)[-1]
        events = [one.kind for one in ledger.events_of(_RUN)]
    assert (run.exit_code, run.ended_ms) == (None, last.at_ms)
    assert events == ["orphaned"]


def test_what_is_sampled_is_handed_over_to_the_teams_ledger(
    machine: Machine, postgres: Postgres
) -> None:
    team = new_team(postgres)
    machine.environment["SNAPENV_LEDGER"] = team.url("ada")
    machine.begin_on_gpu(user="ada")
    machine.start_sampler()
    until(lambda: machine.sampled(2))
    machine.let_end()

    run = machine.ended()
    with team.open("ada") as of_team, open_ledger(ledger_of(machine.state)) as ledger:
        until(lambda: of_team.run(_RUN) == run)
        until(lambda: of_team.run_gpus_of(_RUN) == ledger.run_gpus_of(_RUN))


@pytest.mark.docker
def test_a_container_is_sampled_to_its_end(machine: Machine, engine_host: str) -> None:
    image = DockerEngine().build(small_context(), FakeTask())
    machine.environment["DOCKER_HOST"] = engine_host
    launch = Launch(
        run=_RUN,
        place=InImage(id=image.id, name="small"),
        argv=("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 60"),
        shm_bytes=1 << 20,
        labels={RUN_LABEL: _RUN},
        variables={"STUB_ON_GPU": "1"},
    )
    machine.record(launch, engine=engine_host)
    container = f"snapenv-{_RUN}"
    engine = DockerEngine()
    runs = DockerRuns(
        lambda: engine.client, engine.describe, print, Kept(machine.state), machine.state
    )
    runs.start(launch)
    try:
        machine.start_sampler()
        until(lambda: cpu_ms_of(machine) > 0)
        engine.client.kill(container, 9)

        run = machine.ended()
    finally:
        runs.remove(_RUN)

    assert (run.exit_code, run.gpus[0].uuid) == (137, gpu_uuid(1))
    with open_ledger(ledger_of(machine.state)) as ledger:
        (row,) = ledger.run_gpus_of(_RUN)
        last = ledger.samples(_RUN)[-1]
    assert row.shared_ms == 0
    assert (row.cpu_ms or 0) > 5
    assert 0 < (row.host_memory_peak_bytes or 0) < 64 << 20
    assert last.at_ms <= (run.ended_ms or 0) <= last.at_ms + 5000


def cpu_ms_of(machine: Machine) -> int:
    with open_ledger(ledger_of(machine.state)) as ledger:
        return sum(row.cpu_ms or 0 for row in ledger.run_gpus_of(_RUN))


def ended_at(machine: Machine) -> int | None:
    with open_ledger(ledger_of(machine.state)) as ledger:
        run = ledger.run(_RUN)
    return run.ended_ms if run else None
