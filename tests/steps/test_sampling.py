"""The sampler's steps: a real ledger and real records, with runs and sensors that the test moves."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from snapenv.errors import EngineMissingError, WriteError
from snapenv.launch.records import write_end, write_record
from snapenv.model.launch import RunEnd, RunState
from snapenv.model.sampling import GpuReading, Load, Utilization
from snapenv.model.usage import Beat, UsageEvent, UsageRun, UsedGpu
from snapenv.ports import Services
from snapenv.steps.launching import LaunchRequest, prepare
from snapenv.steps.sampling import Sampler
from snapenv.usage.ledger import Ledger, open_ledger
from tests.fakes import SENSORS_START_MS as NOVEMBER
from tests.fakes import FakeRuns, FakeSensors
from tests.samples import sample_run_record
from tests.small_disk import mounted
from tests.workflows.services import services as fake_services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


GPU = "GPU-0"
RUN = UsageRun(
    key="k",
    run="261128-192551-4f2a",
    kind="run",
    user="ann",
    host=os.uname().nodename,
    gpus=(UsedGpu(uuid=GPU, model="NVIDIA H200"),),
    gpus_asked="0",
    started_ms=NOVEMBER,
)
KEEPER = (4321, 99)  # a PID, and when it started
HOUR_MS = 3_600_000


class NoEngineRuns(FakeRuns):
    """Runs of an engine that does not answer."""

    def state(self, run: str) -> RunState | None:
        raise EngineMissingError(f"nothing answers for {run}", hint="Start it.")


@dataclass
class EndingRuns(FakeRuns):
    """Runs whose command writes down their end, and takes them away, as somebody looks."""

    ledger: Ledger | None = None

    def state(self, run: str) -> RunState | None:
        del run
        assert self.ledger
        self.ledger.change_run("k", ended_ms=NOVEMBER + 16_000, duration_ms=16_000, exit_code=7)
        return None


@dataclass
class Place:
    """A ledger, and all that a sampler works with."""

    ledger: Ledger
    services: Services
    sensors: FakeSensors = field(default_factory=FakeSensors)

    def sampler(self) -> Sampler:
        return Sampler(self.ledger, self.services, self.sensors, interval_ms=15_000)

    @property
    def runs(self) -> FakeRuns:
        assert isinstance(self.services.processes, FakeRuns)
        return self.services.processes

    def begin(self, run: UsageRun = RUN, *, detached: bool = True, **record: Any) -> None:  # noqa: ANN401
        """Let a run begin: in the ledger, in the records, and as a process."""
        written = sample_run_record(run.run, detached=detached, **record)
        write_record(self.services.state or Path(), written)
        self.ledger.put_run(run)
        self.runs.states[run.run] = RunState(run=run.run, status="running", pid=7)

    def begin_beat(self) -> None:
        """Leave the sign of life of the command that begins the run."""
        at, (pid, ticks) = self.sensors.at, KEEPER
        beat = Beat(
            key="k", at_ms=at.wall_ms, boot_ms=at.boot_ms, boot_id="boot-1", pid=pid, ticks=ticks
        )
        self.ledger.beat(beat)

    def end(self, code: int | None, *, finished: str | None = None) -> None:
        """Let the process of the run end."""
        self.runs.states[RUN.run] = RunState(
            run=RUN.run, status="exited", exit_code=code, finished=finished
        )

    def run(self) -> UsageRun:
        run = self.ledger.run("k")
        assert run
        return run

    def allocated_ms(self) -> int:
        return sum(row.allocated_ms for row in self.ledger.run_gpus_of("k"))

    def covered_ms(self) -> int:
        return sum(row.covered_ms for row in self.ledger.run_gpus_of("k"))

    def events(self) -> list[tuple[str, int, int | None]]:
        return [(one.kind, one.at_ms - NOVEMBER, one.value) for one in self.told()]

    def told(self) -> tuple[UsageEvent, ...]:
        return self.ledger.events_of("k")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_ledger(tmp_path / "usage.sqlite3") as ledger:
        made = Place(ledger, replace(fake_services(), state=tmp_path / "state"))
        made.sensors.readings = (reading(80),)
        made.sensors.ticks = dict((KEEPER,))
        yield made


def reading(*percents: float, ages_ms: Sequence[int] = (), **more: Any) -> GpuReading:  # noqa: ANN401
    ages = ages_ms or [0] * len(percents)
    return GpuReading(
        gpu=GPU,
        number="0",
        model="NVIDIA H200",
        util_source="nvml",
        utilizations=tuple(map(Utilization, ages, percents)),
        **more,
    )


def looks(place: Place, sampler: Sampler, *elapsed_ms: int) -> list[bool]:
    going = list[bool]()
    for one in elapsed_ms:
        place.sensors.later(one)
        going.append(sampler.sample())
    return going


def test_a_run_is_looked_at_until_its_end_and_its_gpus_time_is_its_own(place: Place) -> None:
    place.begin()
    sampler = place.sampler()

    assert looks(place, sampler, 200, 15_000, 15_000) == [True, True, True]
    assert sampler.pids == (7,)
    assert (place.allocated_ms(), place.covered_ms()) == (30_200, 30_200)
    place.end(3)
    assert looks(place, sampler, 4000) == [False]

    run = place.run()
    assert (run.exit_code, run.ended_ms, run.duration_ms) == (3, NOVEMBER + 34_200, 34_200)
    assert place.allocated_ms() == 34_200
    (row,) = place.ledger.run_gpus_of("k")
    assert row.buckets == (0, 0, 0, 0, 0, 0, 0, 0, row.covered_ms, 0)
    assert len(place.ledger.samples("k")) == 4
    assert place.events() == []


def test_a_command_that_waits_for_the_end_closes_the_run_itself(place: Place) -> None:
    place.begin(detached=False)
    sampler = place.sampler()
    looks(place, sampler, 0, 10_000)
    place.end(3)

    assert looks(place, sampler, 0) == [True]
    assert sampler.pids == ()
    assert sampler.patience_s(15.0) < 1
    place.ledger.change_run(
        "k", ended_ms=NOVEMBER + 9000, duration_ms=9000, exit_code=3, failure="x"
    )
    assert looks(place, sampler, 500) == [False]

    assert place.run().failure == "x"
    assert (place.allocated_ms(), place.covered_ms()) == (9000, 9000)


def test_a_command_that_was_killed_does_not_and_the_sampler_does(place: Place) -> None:
    place.begin(detached=False)
    place.begin_beat()
    sampler = place.sampler()
    looks(place, sampler, 0, 10_000)
    place.sensors.ticks.clear()
    place.end(137)

    looks(place, sampler, 0)

    run = place.run()
    assert (run.exit_code, run.duration_ms) == (137, 10_000)
    assert place.allocated_ms() == 10_000


def test_a_run_that_its_command_is_about_to_start_goes_on(place: Place) -> None:
    place.begin(detached=False)
    place.begin_beat()
    sampler = place.sampler()
    del place.runs.states[RUN.run]

    looks(place, sampler, 0)
    place.runs.states[RUN.run] = RunState(run=RUN.run, status="created")
    looks(place, sampler, 15_000)

    assert (place.run().ended_ms, place.told()) == (None, ())

    place.sensors.ticks = {}
    looks(place, sampler, 15_000)

    assert [event.kind for event in place.told()] == ["orphaned"]
    assert place.run().ended_ms == NOVEMBER + 30_000


def test_a_command_that_hangs_is_not_waited_for_for_ever(place: Place) -> None:
    place.begin(detached=False)
    place.begin_beat()
    sampler = place.sampler()
    looks(place, sampler, 0, 10_000)
    place.end(1)

    looks(place, sampler, 0, 9000)
    assert place.run().ended_ms is None
    looks(place, sampler, 1000)

    assert place.run().duration_ms == 10_000


def test_a_sampler_that_was_killed_costs_no_allocated_time(place: Place) -> None:
    place.begin()
    looks(place, place.sampler(), 0, 15_000, 15_000)

    looks(place, place.sampler(), 20_000)

    assert (place.allocated_ms(), place.covered_ms()) == (50_000, 50_000)
    assert place.events() == []


def test_a_sampler_that_was_away_for_long_leaves_a_gap(place: Place) -> None:
    place.begin()
    looks(place, place.sampler(), 0, 15_000)

    looks(place, place.sampler(), HOUR_MS)

    assert (place.allocated_ms(), place.covered_ms()) == (HOUR_MS + 15_000, 15_000)
    assert place.events() == [("gap", 15_000, HOUR_MS)]


def test_a_run_that_ended_unwatched_is_closed_at_the_last_sign_of_its_life(place: Place) -> None:
    place.begin()
    looks(place, place.sampler(), 0, 15_000)
    place.end(None)

    assert looks(place, place.sampler(), HOUR_MS) == [False]

    run = place.run()
    assert (run.exit_code, run.ended_ms, run.duration_ms) == (None, NOVEMBER + 15_000, 15_000)
    assert run.cause
    assert place.allocated_ms() == 15_000
    assert place.events() == [("orphaned", 15_000, None)]


def test_an_end_that_its_engine_knows_is_taken_hours_later(place: Place) -> None:
    place.begin()
    looks(place, place.sampler(), 0, 15_000)
    place.end(0, finished="2026-11-18T11:06:59Z")  # 19 s after its start

    looks(place, place.sampler(), HOUR_MS)

    run = place.run()
    assert (run.exit_code, run.ended_ms, run.duration_ms) == (0, NOVEMBER + 19_000, 19_000)
    assert (place.allocated_ms(), place.covered_ms()) == (19_000, 15_000)
    assert place.events() == []


def test_a_run_of_which_nothing_is_left_is_closed_likewise(place: Place) -> None:
    place.begin()
    looks(place, place.sampler(), 0, 15_000)
    place.runs.states.clear()

    looks(place, place.sampler(), HOUR_MS)

    assert place.run().duration_ms == 15_000


def test_an_end_that_its_command_writes_during_a_look_is_kept(place: Place) -> None:
    place.begin(detached=False)
    looks(place, place.sampler(), 0, 15_000)
    place.services = replace(place.services, processes=EndingRuns(ledger=place.ledger))

    looks(place, place.sampler(), 2000)

    run = place.run()
    assert (run.exit_code, run.ended_ms, run.duration_ms) == (7, NOVEMBER + 16_000, 16_000)
    assert place.events() == []
    assert place.allocated_ms() == 16_000


def test_a_restart_of_the_machine_ends_what_its_engine_does_not_know(place: Place) -> None:
    place.services = replace(place.services, containers=NoEngineRuns())
    place.begin(engine="unix:///docker.sock")
    looks(place, place.sampler(), 0, 15_000)
    assert place.run().ended_ms is None

    place.sensors.boot, place.sensors.at = "boot-2", replace(place.sensors.at, boot_ms=9000)
    looks(place, place.sampler(), HOUR_MS)

    assert place.run().duration_ms == 15_000
    assert place.events() == [("orphaned", 15_000, None)]


def test_an_engine_that_is_away_ends_no_run(place: Place) -> None:
    place.services = replace(place.services, containers=NoEngineRuns())
    place.begin(engine="unix:///docker.sock")

    assert looks(place, place.sampler(), 0, 15_000, 15_000) == [True, True, True]

    assert place.covered_ms() == 30_000


def test_what_a_command_runs_without_a_record_ends_with_it(place: Place) -> None:
    place.ledger.put_run(replace(RUN, kind="verify"))
    place.begin_beat()
    pid, _ = KEEPER
    looks(place, place.sampler(), 0, 15_000)
    sampler = place.sampler()

    assert looks(place, sampler, 15_000) == [True]
    assert sampler.pids == (pid,)
    place.sensors.ticks[pid] = 12_345  # another process with its number
    looks(place, sampler, 9000)

    assert place.run().duration_ms == 39_000
    assert place.allocated_ms() == place.covered_ms() == 39_000
    assert [kind for kind, _, _ in place.events()] == ["orphaned"]


def test_a_sampler_that_slept_does_not_guess_when_a_run_has_ended(place: Place) -> None:
    place.begin()
    sampler = place.sampler()
    looks(place, sampler, 0, 15_000)
    place.end(None)

    looks(place, sampler, HOUR_MS)

    assert place.run().duration_ms == 15_000


def test_an_end_that_cannot_be_written_down_is_tried_again(place: Place) -> None:
    place.begin()
    sampler = place.sampler()
    looks(place, sampler, 0, 15_000)
    place.end(3)
    in_its_place = (place.services.state or Path()) / "runs" / RUN.run / "end.json"
    in_its_place.mkdir()

    assert looks(place, sampler, 4000) == [True]
    in_its_place.rmdir()
    assert looks(place, sampler, 300) == [False]

    assert (place.run().exit_code, place.run().duration_ms) == (3, 19_300)


def test_a_run_that_was_over_before_anybody_looked_is_counted(place: Place) -> None:
    place.ledger.put_run(replace(RUN, ended_ms=NOVEMBER + 700, duration_ms=700, exit_code=0))

    assert looks(place, place.sampler(), 60_000) == [False]

    assert (place.allocated_ms(), place.covered_ms()) == (700, 0)


def test_what_is_seen_late_of_the_end_is_not_the_runs(place: Place) -> None:
    place.begin()
    sampler = place.sampler()
    looks(place, sampler, 0)
    place.sensors.readings = (reading(100, 100, 10, ages_ms=(14_000, 9000, 2000)),)
    place.ledger.change_run("k", ended_ms=NOVEMBER + 6000, duration_ms=6000, exit_code=0)

    looks(place, sampler, 15_000)

    (row,) = place.ledger.run_gpus_of("k")
    assert row.buckets == (0,) * 9 + (6000,)


def test_runs_of_other_machines_and_schedulers_are_left_alone(place: Place) -> None:
    place.ledger.put_run(replace(RUN, key="a", host="elsewhere"))
    place.ledger.put_run(replace(RUN, key="b", source="slurm"))

    assert looks(place, place.sampler(), 0) == [False]

    assert all(place.ledger.run(key).ended_ms is None for key in "ab")  # type: ignore[union-attr]


@pytest.mark.parametrize("jump_ms", [-HOUR_MS, 24 * HOUR_MS])
def test_a_clock_that_jumps_changes_no_duration(place: Place, jump_ms: int) -> None:
    place.begin()
    sampler = place.sampler()
    looks(place, sampler, 0, 15_000)
    place.sensors.later(15_000, jump_ms=jump_ms)
    sampler.sample()
    place.end(0)

    looks(place, sampler, 5000)

    assert place.run().duration_ms == 35_000
    assert place.allocated_ms() == 35_000
    assert [(kind, value) for kind, _, value in place.events()] == [("clock", jump_ms)]


def test_gpus_are_found_by_the_processes_of_a_run_that_names_none(place: Place) -> None:
    place.begin(replace(RUN, gpus=(), gpus_asked=None))
    place.sensors.loads[7] = Load(pids=frozenset({7, 8}), cpu_ms=400, memory_bytes=9)
    sampler = place.sampler()
    looks(place, sampler, 0, 15_000)
    assert place.ledger.run_gpus_of("k") == ()

    place.sensors.readings = (reading(80, pids=frozenset({8})),)
    looks(place, sampler, 15_000)

    assert place.run().gpus == RUN.gpus
    (row,) = place.ledger.run_gpus_of("k")
    assert (row.allocated_ms, row.cpu_ms, row.host_memory_peak_bytes) == (15_000, 400, 9)
    place.end(0)
    looks(place, sampler, 15_000)
    assert place.allocated_ms() == place.run().duration_ms == 45_000


def test_a_process_of_the_run_that_has_just_ended_is_nobody_elses(place: Place) -> None:
    place.begin()
    place.sensors.loads[7] = Load(pids=frozenset({7, 9}), cpu_ms=0, memory_bytes=0)
    place.sensors.readings = (reading(80, pids=frozenset({8})),)
    sampler = place.sampler()
    looks(place, sampler, 0, 15_000)
    assert place.told() == ()

    place.sensors.ticks[8] = 1
    looks(place, sampler, 15_000)

    assert [event.kind for event in place.told()] == ["shared"]


def test_what_the_machine_has_is_noted_and_old_samples_are_forgotten(place: Place) -> None:
    place.begin()
    sampler = place.sampler()
    looks(place, sampler, 0)
    assert [one.gpu for one in place.ledger.machine_gpus()] == [GPU]

    looks(place, sampler, 91 * 24 * HOUR_MS)

    assert [one.at_ms for one in place.ledger.samples("k")] == [place.sensors.at.wall_ms]
    (seen,) = place.ledger.machine_gpus()
    assert (seen.first_ms, seen.last_ms) == (NOVEMBER, place.sensors.at.wall_ms)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "2m")


def test_the_machines_monitoring_is_told_of_a_run_until_its_end(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "told").mkdir()
    place.begin(textfile=str(tmp_path / "told"), job_mapping=str(tmp_path / "told"))
    sampler = place.sampler()
    looks(place, sampler, 0, 15_000)

    assert (tmp_path / "told" / "0").read_text() == f"{RUN.run}\n"
    lines = (tmp_path / "told" / f"snapenv-{RUN.run}.prom").read_text().splitlines()
    assert f'snapenv_run_gpu_seconds_total{{run="{RUN.run}",UUID="GPU-0"}} 15' in lines

    place.end(0)
    looks(place, sampler, 0)

    assert list((tmp_path / "told").iterdir()) == []


@pytest.mark.parametrize("option", ["textfile", "job_mapping"])
def test_a_folder_for_monitoring_that_cannot_be_written_stops_the_start(
    tmp_path: Path, option: str
) -> None:
    plain = LaunchRequest(
        kind="run",
        ref="tag",
        repository="snapenv",
        argv=("true",),
        folder=tmp_path,
        runs=tmp_path / "runs",
    )
    request = replace(plain, **{option: tmp_path / "none"})

    with pytest.raises(WriteError, match=str(tmp_path / "none")):
        prepare(request, fake_services())


def test_a_full_disk_ends_no_run_and_leaves_a_gap_of_samples_alone(
    small_disk: Path, tmp_path: Path
) -> None:
    with open_ledger(small_disk / "usage.sqlite3") as ledger:
        place = Place(ledger, replace(fake_services(), state=tmp_path / "state"))
        place.sensors.readings = (reading(80, throttle=4),)
        place.begin()
        sampler = place.sampler()
        looks(place, sampler, 0, 15_000)
        filling = small_disk / "filling"
        with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

        assert looks(place, sampler, *[15_000] * 399) == [True] * 399
        place.sensors.later(15_000, jump_ms=30 * 24 * HOUR_MS)  # into another month
        assert sampler.sample()
        filling.unlink()
        looks(place, sampler, 15_000, 15_000)

        assert place.allocated_ms() == place.covered_ms()
        assert place.allocated_ms() == 15_000 * 403
        ((gap, _, lost_ms),) = [one for one in place.events() if one[0] == "gap"]
        assert (gap, (lost_ms or 0) > 300 * 15_000) == ("gap", True)
        assert len(place.ledger.samples("k")) < 403


def test_the_end_that_a_command_wrote_before_it_was_killed_is_taken(place: Place) -> None:
    place.begin(detached=False)
    sampler = place.sampler()
    looks(place, sampler, 0)
    place.end(1)
    end = RunEnd(exit_code=1, finished="2026-11-18T00:00:09Z", cause="out of memory")
    write_end(place.services.state or Path(), RUN.run, end)

    looks(place, sampler, 9000, 11_000)

    assert (place.run().exit_code, place.run().cause) == (1, "out of memory")
