"""The sampler as a process: real runs, a real ledger, and GPUs that work as curves say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.engine.runs import DockerRuns
from snapenv.kept import Kept
from snapenv.model.launch import RUN_LABEL, InImage, Launch
from snapenv.model.usage import UsedGpu
from snapenv.usage.ledger import open_ledger
from tests.engines.busybox import small_context
from tests.fakes import FakeTask
from tests.sampled_machine import INTERVAL_S, RUN, START, Machine, ledger_of, until
from tests.targets.processes import all_end
from tests.usage.team import new_team
from tests.working_gpus import IDLE, PULSES, gpu_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.postgres import Postgres


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, PULSES, IDLE)
    yield made
    made.runs.stop(RUN, 1)
    sampler = made.sampler_pid()
    if sampler:
        os.kill(sampler, signal.SIGKILL)
        assert all_end(sampler)


def test_a_run_is_sampled_from_outside_to_its_end(machine: Machine) -> None:
    machine.begin_on_gpu(code=4)
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(10) and is_busy_and_idle(machine))
    machine.let_end()

    run = machine.ended()

    assert (run.exit_code, run.gpus) == (4, (UsedGpu(uuid=gpu_uuid(0), model="NVIDIA H200"),))
    assert (run.ended_ms or 0) - run.started_ms == pytest.approx(run.duration_ms, abs=5)
    with open_ledger(ledger_of(machine.state)) as ledger:
        (row,) = ledger.run_gpus_of(RUN)
        samples = ledger.samples(RUN)
        machine_gpus = ledger.machine_gpus()
    duration_ms = row.allocated_ms
    assert duration_ms == run.duration_ms
    assert row.covered_ms >= 10 * INTERVAL_S * 1000 * 0.9
    assert row.buckets[0] + row.buckets[9] == row.covered_ms
    assert 0.12 < (row.energy_mj or 0) / (duration_ms * 1000) < 0.4  # of 120 and 400 watts
    assert (row.util_source, row.memory_peak_bytes) == ("nvml", 20_000 << 20)
    assert len(samples) >= 10
    assert [one.gpu for one in machine_gpus] == [gpu_uuid(0), gpu_uuid(1)]
    assert all_end(sampler)


def test_a_sampler_outlives_the_command_that_started_it(machine: Machine) -> None:
    machine.begin("sleep 60")
    words = [sys.executable, "-c", f"{START}; input()", str(machine.state)]
    with subprocess.Popen(
        words, env=machine.environment, stdin=subprocess.PIPE, start_new_session=True
    ) as starter:
        until(lambda: machine.sampler_pid() is not None)
        os.killpg(starter.pid, signal.SIGKILL)
    sampler = machine.sampler_pid()
    assert sampler

    machine.runs.signal(RUN, signal.SIGKILL)

    until(lambda: ended_at(machine) is not None)
    assert sampler == machine.sampler_pid()


def test_a_second_sampler_wakes_the_first_and_ends(machine: Machine) -> None:
    machine.environment["SNAPENV_SAMPLE_INTERVAL"] = "60"
    machine.begin("sleep 60")
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(1))
    machine.begin("sleep 60", run="second")

    assert machine.start_sampler() == sampler
    until(lambda: machine.sampled(1, "second"), 45)  # no minute later
    words = [sys.executable, "-m", "snapenv", "usage", "sample"]
    second = subprocess.run(words, env=machine.environment, timeout=300, check=False)

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
        (row,) = ledger.run_gpus_of(RUN)
        gaps = [one.value or 0 for one in ledger.events_of(RUN) if one.kind == "gap"]
    assert row.allocated_ms == run.duration_ms
    assert row.covered_ms >= row.allocated_ms - sum(gaps) - INTERVAL_S * 1000


def test_a_sampler_that_is_killed_is_started_again(machine: Machine) -> None:
    machine.begin_on_gpu()
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(2))

    os.kill(sampler, signal.SIGKILL)

    until(lambda: machine.sampler_pid() not in {None, sampler})
    with open_ledger(ledger_of(machine.state)) as ledger:
        before = len(ledger.samples(RUN))
    until(lambda: machine.sampled(before + 2))
    machine.let_end()

    until(lambda: ended_at(machine) is not None)


@pytest.mark.full
def test_a_run_that_ended_while_nobody_looked_is_closed_at_the_next_start(
    machine: Machine,
) -> None:
    machine.begin(f"STUB_ON_GPU={machine.mark}0 sleep 60")
    sampler = machine.start_sampler()
    until(lambda: machine.sampled(2))
    os.kill(sampler, signal.SIGKILL)
    state = machine.runs.state(RUN)
    assert state
    os.killpg(state.pid or 0, signal.SIGKILL)  # with the shell that would write its exit code
    assert all_end(sampler, state.pid or 0)
    time.sleep(1)

    machine.start_sampler()

    run = machine.ended()
    with open_ledger(ledger_of(machine.state)) as ledger:
        last = ledger.samples(RUN)[-1]
        events = [one.kind for one in ledger.events_of(RUN)]
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
        until(lambda: of_team.run(RUN) == run)
        until(lambda: of_team.run_gpus_of(RUN) == ledger.run_gpus_of(RUN))


@pytest.mark.docker
def test_a_container_is_sampled_to_its_end(machine: Machine, engine_host: str) -> None:
    image = DockerEngine().build(small_context(), FakeTask())
    machine.environment["DOCKER_HOST"] = engine_host
    launch = Launch(
        run=RUN,
        place=InImage(id=image.id, name="small"),
        argv=("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 60"),
        shm_bytes=1 << 20,
        labels={RUN_LABEL: RUN},
        variables={"STUB_ON_GPU": f"{machine.mark}1"},
    )
    machine.record(launch, engine=engine_host)
    container = f"snapenv-{RUN}"
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
        runs.remove(RUN)

    assert (run.exit_code, run.gpus[0].uuid) == (137, gpu_uuid(1))
    with open_ledger(ledger_of(machine.state)) as ledger:
        (row,) = ledger.run_gpus_of(RUN)
        last = ledger.samples(RUN)[-1]
    assert row.shared_ms == 0
    assert (row.cpu_ms or 0) > 5
    assert 0 < (row.host_memory_peak_bytes or 0) < 64 << 20
    assert last.at_ms <= (run.ended_ms or 0) <= last.at_ms + 5000


def is_busy_and_idle(machine: Machine) -> bool:
    """Return whether the GPU of the run was seen at work for a second, and idle for another."""
    with open_ledger(ledger_of(machine.state)) as ledger:
        return any(min(row.buckets[0], row.buckets[9]) > 1000 for row in ledger.run_gpus_of(RUN))


def cpu_ms_of(machine: Machine) -> int:
    with open_ledger(ledger_of(machine.state)) as ledger:
        return sum(row.cpu_ms or 0 for row in ledger.run_gpus_of(RUN))


def ended_at(machine: Machine) -> int | None:
    with open_ledger(ledger_of(machine.state)) as ledger:
        run = ledger.run(RUN)
    return run.ended_ms if run else None
