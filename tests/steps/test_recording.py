"""What the ledger knows of runs: a real ledger, with runs in memory and clocks that the test moves."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.causes import Cause
from snapenv.errors import StartError
from snapenv.launch.records import list_records, milliseconds
from snapenv.launch.settings import MARK
from snapenv.model.launch import Counted, Gpu, RunEnd
from snapenv.model.sampling import Moment
from snapenv.model.usage import RunGpu, UsageRun, UsedGpu
from snapenv.ports import Completed, Services
from snapenv.steps.recording import end_usage, using, when_ended
from snapenv.usage.ledger import VERSION, open_ledger
from snapenv.workflows.ps import list_runs
from snapenv.workflows.run import Run, run
from snapenv.workflows.stop import stop
from tests.fakes import FakeRuns, FakeSensors, FakeTarget
from tests.workflows.services import services

if TYPE_CHECKING:
    from snapenv.model.launch import Ended, Launch
    from snapenv.usage.ledger import Ledger

MINUTE_MS = 60_000
GPU = Gpu(number=0, uuid="GPU-0", name="NVIDIA H200")


@dataclass
class Lasting(FakeRuns):
    """Runs during which something happens."""

    meanwhile: Callable[[], None] = lambda: None

    def run(self, launch: Launch) -> Ended:
        self._begin(launch)
        self.meanwhile()
        return self._end(launch.run)


@dataclass
class Place:
    """A project, a venv, and a ledger."""

    folder: Path
    runs: Lasting = field(default_factory=Lasting)
    sensors: FakeSensors = field(default_factory=FakeSensors)
    said: list[str] = field(default_factory=list)
    woken: int = 0  # how often the sampler was

    def __post_init__(self) -> None:
        python = self.folder / "env/bin/python"
        python.parent.mkdir(parents=True)
        python.touch()
        self.sensors.ticks = {os.getpid(): 77}

    @property
    def services(self) -> Services:
        answer = Completed(exit_code=0, stdout=f"{MARK}null\n", stderr="")
        return replace(
            services(here=FakeTarget(answers={"/env/bin/python": answer})),
            processes=self.runs,
            state=self.folder / "state",
            gpus=lambda: (GPU,),
            sensors=self.sensors,
            start_sampler=self.wake,
            warn=self.said.append,
        )

    def wake(self) -> None:
        self.woken += 1

    def request(self, **changes: object) -> Run:
        asked = Run(
            ref=str(self.folder / "env"),
            repository="snapenv",
            argv=("train", "epochs=3"),
            folder=self.folder,
            runs=self.folder / "runs",
        )
        return replace(asked, **changes)

    def run(self, **changes: object) -> int:
        return run(self.request(**changes), self.services, self.said.append).exit_code

    @property
    def path(self) -> Path:
        return self.folder / "state" / "usage.sqlite3"

    def ledger(self) -> Ledger:
        return open_ledger(self.path)

    def written(self) -> tuple[UsageRun, ...]:
        if not self.path.is_file():
            return ()
        with self.ledger() as ledger:
            return ledger.runs(0, 1 << 62)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_run_leaves_one_record(place: Place) -> None:
    place.runs.meanwhile = lambda: place.sensors.later(90 * MINUTE_MS)

    place.run(project="vision", purpose="ablation", model="yolov8n")

    (record,) = list_records(place.folder / "state")
    assert record.counted
    (written,) = place.written()
    assert written == UsageRun(
        key=record.counted.key,
        rev=2,
        run=record.run,
        kind="run",
        user=record.user,
        project="vision",
        purpose="ablation",
        model="yolov8n",
        command=record.launch.argv,
        host=os.uname().nodename,
        gpus=(UsedGpu(uuid="GPU-0", model="NVIDIA H200"),),
        gpus_asked="all",
        started_ms=record.counted.started_ms,
        ended_ms=record.counted.started_ms + 90 * MINUTE_MS,
        duration_ms=90 * MINUTE_MS,
        exit_code=0,
    )
    assert place.woken == 2
    assert place.said == []


def test_no_change_of_the_clock_makes_a_run_longer(place: Place) -> None:
    place.runs.meanwhile = lambda: place.sensors.later(MINUTE_MS, jump_ms=-3_600_000)

    place.run()

    (written,) = place.written()
    assert written.duration_ms == MINUTE_MS
    assert written.ended_ms == written.started_ms + MINUTE_MS - 3_600_000


def test_the_time_of_its_gpus_is_the_runs_own_by_month(place: Place) -> None:
    end = milliseconds("2026-12-01T00:00:00Z")
    assert end
    place.sensors.at = Moment(wall_ms=end - MINUTE_MS, boot_ms=5)
    place.runs.meanwhile = lambda: place.sensors.later(3 * MINUTE_MS)

    place.run()

    (written,) = place.written()
    with place.ledger() as ledger:
        rows = ledger.run_gpus_of(written.key)
    assert [(row.month, row.gpu, row.model, row.allocated_ms) for row in rows] == [
        ("2026-11", "GPU-0", "NVIDIA H200", MINUTE_MS),
        ("2026-12", "GPU-0", "NVIDIA H200", 2 * MINUTE_MS),
    ]


@pytest.mark.parametrize(("code", "failure"), [(0, None), (7, "unknown"), (137, "killed")])
def test_a_failure_is_counted_by_a_word(place: Place, code: int, failure: str | None) -> None:
    place.runs.exit_code = code

    assert place.run() == code

    (written,) = place.written()
    assert (written.exit_code, written.failure) == (code, failure)
    assert (written.cause is not None) == (failure == "killed")


def test_what_was_not_started_is_a_failure_of_no_time(place: Place) -> None:
    place.runs.refusal = StartError("it did not start", hint="See it.")

    with pytest.raises(StartError):
        place.run()

    (written,) = place.written()
    assert (written.exit_code, written.failure, written.duration_ms) == (125, "start", 0)
    assert written.cause == wording("it did not start")
    assert list_records(place.folder / "state") == ()


def test_secrets_of_a_command_are_not_written_down(place: Place) -> None:
    words = ("train", "--api-key", "s3cr3t-of-ann", "url=https://ann:pass-w0rd@example.com/x")

    place.run(argv=(*words, "again=t0ken-of-ann"), variables={"WANDB_API_KEY": "t0ken-of-ann"})

    (written,) = place.written()
    assert written.command == (
        *("train", "--api-key", "****", "url=https://ann:****@example.com/x", "again=****"),
    )
    assert b"s3cr3t-of-ann" not in place.path.read_bytes()


def newer(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    open_ledger(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {VERSION + 1}")


def damaged(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this is no database, " * 999)


def folder(path: Path) -> None:
    path.mkdir(parents=True)


@pytest.mark.parametrize("spoil", [newer, damaged, folder])
def test_a_ledger_that_cannot_be_written_stops_no_run(
    place: Place, spoil: Callable[[Path], None]
) -> None:
    spoil(place.path)

    assert place.run() == 0

    (note,) = place.said
    assert "usage.sqlite3" in note
    assert len(place.runs.launches) == 1
    assert len(list_records(place.folder / "state")) == 1


def test_what_could_not_be_written_at_the_start_is_written_at_the_end(place: Place) -> None:
    folder(place.path)

    def mend() -> None:
        place.path.rmdir()
        place.sensors.later(MINUTE_MS)

    place.runs.meanwhile = mend

    place.run(project="vision")

    (written,) = place.written()
    assert (written.project, written.exit_code, written.duration_ms) == ("vision", 0, MINUTE_MS)
    with place.ledger() as ledger:
        (event,) = ledger.events_of(written.key)
        (row,) = ledger.run_gpus_of(written.key)
    assert (event.kind, event.at_ms, event.value) == ("gap", written.started_ms, MINUTE_MS)
    assert (row.allocated_ms, row.covered_ms) == (MINUTE_MS, 0)
    assert len(place.said) == 1


def test_a_run_in_the_background_is_open_until_somebody_sees_its_end(place: Place) -> None:
    place.run(detached=True)
    (begun,) = place.written()
    name = begun.run
    place.runs.states[name] = replace(
        place.runs.states[name],
        status="exited",
        exit_code=3,
        finished=rfc3339(begun.started_ms + 500),
    )
    place.sensors.later(MINUTE_MS)

    list_runs(place.services, ended=False)

    (written,) = place.written()
    assert begun.ended_ms is None
    assert (written.exit_code, written.failure) == (3, "unknown")
    assert (written.ended_ms, written.duration_ms) == (begun.started_ms + 500, 500)


def rfc3339(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03}000000Z"


def test_what_was_stopped_is_no_failure_of_the_program(place: Place) -> None:
    place.run(detached=True)
    (begun,) = place.written()

    stop(begun.run, place.services, grace_s=None)

    (written,) = place.written()
    assert (written.exit_code, written.failure, written.cause) == (130, "stopped", None)


def test_an_end_that_the_sampler_saw_first_stays(place: Place) -> None:
    place.run(detached=True)
    (begun,) = place.written()
    with place.ledger() as ledger:
        ledger.change_run(begun.key, ended_ms=begun.started_ms + 9, duration_ms=9, exit_code=137)
    place.sensors.later(MINUTE_MS)
    (record,) = list_records(place.folder / "state")

    cause = Cause("it was killed", "See it.", "killed")
    end = RunEnd(exit_code=137, finished="", failure=cause.kind, cause=cause.reason)
    end_usage(record, end, place.services)
    end_usage(record, replace(end, exit_code=1), place.services)

    (written,) = place.written()
    assert (written.ended_ms, written.duration_ms) == (begun.started_ms + 9, 9)
    assert (written.exit_code, written.failure) == (137, "killed")
    with place.ledger() as ledger:
        assert [row.allocated_ms for row in ledger.run_gpus_of(begun.key)] == [9]


def test_an_end_that_nobody_saw_gives_way_to_one_that_somebody_saw(place: Place) -> None:
    def give_up() -> None:
        (begun,) = place.written()
        with place.ledger() as ledger:
            ledger.change_run(begun.key, ended_ms=begun.started_ms, duration_ms=0, cause="lost")
        place.sensors.later(MINUTE_MS)

    place.runs.meanwhile = give_up
    place.run()

    (written,) = place.written()
    assert (written.exit_code, written.cause, written.duration_ms) == (0, None, MINUTE_MS)


def test_what_the_sampler_has_seen_is_kept(place: Place) -> None:
    seen = RunGpu(
        key="", gpu="GPU-0", month="2026-11", model="NVIDIA H200", allocated_ms=MINUTE_MS,
        covered_ms=MINUTE_MS, buckets=(0,) * 9 + (MINUTE_MS,), energy_mj=5,
    )  # fmt: skip

    def look() -> None:
        place.sensors.later(2 * MINUTE_MS)
        (run_,) = place.written()
        with place.ledger() as ledger:
            ledger.put_run_gpu(replace(seen, key=run_.key))

    place.runs.meanwhile = look
    place.run()

    (written,) = place.written()
    with place.ledger() as ledger:
        rows = ledger.run_gpus_of(written.key)
    assert rows == (replace(seen, key=written.key, allocated_ms=2 * MINUTE_MS),)


def test_a_sign_of_life_is_left_for_whoever_finds_no_end(place: Place) -> None:
    place.run(detached=True)

    (begun,) = place.written()
    with place.ledger() as ledger:
        beat = ledger.beats()[begun.key]
    assert (beat.pid, beat.ticks) == (os.getpid(), 77)
    assert (beat.at_ms, beat.boot_ms, beat.boot_id) == (begun.started_ms, 500_000, "boot-1")


def test_a_dry_run_is_not_counted(place: Place) -> None:
    place.run(dry_run=True)

    assert place.written() == ()


PROOF = UsageRun(
    key="", run="v", kind="verify", user="ann", host="", started_ms=0, gpus=(UsedGpu(uuid="GPU-0", model=""),)
)  # fmt: skip


def test_what_is_no_run_is_counted_too(place: Place) -> None:
    with using(PROOF, place.services) as ended:
        (begun,) = place.written()
        place.sensors.later(MINUTE_MS)
        ended(RunEnd(exit_code=1, finished="", failure="not-proved", cause="numpy differs"))

    (written,) = place.written()
    assert begun.ended_ms is None
    assert written.gpus == (UsedGpu(uuid="GPU-0", model="NVIDIA H200"),)
    assert (written.exit_code, written.failure, written.cause) == (1, "not-proved", "numpy differs")
    assert written.duration_ms == MINUTE_MS


@pytest.mark.parametrize(
    ("error", "code", "failure"),
    [
        (StartError("no room", hint="x"), 125, "start"),
        (KeyboardInterrupt(), 130, "stopped"),
        (ValueError("x"), 70, "bug"),
    ],
)
def test_what_is_no_run_and_fails_has_an_end(
    place: Place, error: BaseException, code: int, failure: str
) -> None:
    def fail() -> None:
        with using(PROOF, place.services):
            raise error

    with pytest.raises(type(error)):
        fail()

    (written,) = place.written()
    assert (written.exit_code, written.failure) == (code, failure)


@for_any(
    st.integers(0, 10**12),
    st.integers(0, 10**10),
    st.integers(-(10**10), 10**10),
    st.integers(0, 10**10),
)
def test_a_duration_is_by_the_clock_that_nobody_sets(
    boot_ms: int, lasted_ms: int, jump_ms: int, late_ms: int
) -> None:
    counted = Counted(key="k", started_ms=10**12, boot_ms=boot_ms, boot_id="a")
    end_wall_ms = 10**12 + lasted_ms + jump_ms
    now = Moment(wall_ms=end_wall_ms + late_ms, boot_ms=boot_ms + lasted_ms + late_ms)

    assert when_ended(counted, now, "a", end_wall_ms) == (end_wall_ms, lasted_ms)
    ended_ms, duration_ms = when_ended(counted, now, "another start", end_wall_ms)
    assert (ended_ms, duration_ms) == (end_wall_ms, max(lasted_ms + jump_ms, 0))
