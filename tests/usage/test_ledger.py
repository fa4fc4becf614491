from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import (
    LedgerError,
    LedgerVersionError,
    NotFoundError,
    PlaceBusyError,
    WriteError,
)
from snapenv.model.usage import Beat, Correction, EpochRow, MachineGpu
from snapenv.usage import ledger as ledger_module
from snapenv.usage.ledger import Ledger, ledger_path, open_ledger
from tests.steady import steady
from tests.usage.values import (
    GPU_MODEL,
    GPU_UUID,
    HOUR_MS,
    KEY,
    OTHER_KEY,
    STARTED_MS,
    sample_event,
    sample_run_gpu,
    sample_sample,
    sample_usage_run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = sample_usage_run()
OTHER = sample_usage_run(key=OTHER_KEY, run="261101-150000-1111", started_ms=STARTED_MS + HOUR_MS)
HOSTILE = "'\";drop table run;--"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "usage.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with open_ledger(path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("", "/state/usage.sqlite3"),
        ("/data/ledger.db", "/data/ledger.db"),
        ("~/ledger.db", "/home/ada/ledger.db"),
        ("postgresql://db.example.com/usage", "/state/usage.sqlite3"),
        ("postgres://db.example.com/usage", "/state/usage.sqlite3"),
        ("mysql://db.example.com/usage", "/state/usage.sqlite3"),
    ],
)
def test_a_variable_names_the_file_unless_it_is_the_address_of_a_server(
    named: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    path = ledger_path(tmp_path.__class__("/state"), {"SNAPENV_LEDGER": named})

    assert str(path) == expected


def test_only_its_user_may_read_a_new_ledger(ledger: Ledger) -> None:
    ledger.put_run(RUN)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in ledger.path.parent.iterdir()}

    assert modes == dict.fromkeys(
        ("usage.sqlite3", "usage.sqlite3-wal", "usage.sqlite3-shm"), 0o600
    )


def test_a_later_state_of_a_run_takes_the_place_of_an_earlier_one(ledger: Ledger) -> None:
    for rev, exit_code in ((1, None), (2, 137), (1, None)):
        ledger.put_run(sample_usage_run(rev=rev, exit_code=exit_code))

    assert ledger.run(KEY) == sample_usage_run(rev=2, exit_code=137)


def test_a_change_counts_and_keeps_the_rest(ledger: Ledger) -> None:
    ledger.put_run(RUN)

    changed = ledger.change_run(KEY, exit_code=1, failure="oom")

    assert changed == sample_usage_run(rev=2, exit_code=1, failure="oom")
    assert ledger.run(KEY) == changed


def test_an_end_that_was_seen_is_kept(ledger: Ledger) -> None:
    ledger.put_run(sample_usage_run(ended_ms=None, exit_code=None))

    guessed = ledger.end_run(KEY, ended_ms=8, exit_code=None)
    seen = ledger.end_run(KEY, ended_ms=9, exit_code=0)

    assert (guessed.rev, guessed.ended_ms, guessed.exit_code) == (2, 8, None)
    assert (seen.rev, seen.ended_ms, seen.exit_code) == (3, 9, 0)
    assert ledger.end_run(KEY, ended_ms=5, exit_code=None) == seen == ledger.run(KEY)


def test_a_run_that_is_not_there_cannot_be_changed(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=KEY):
        ledger.change_run(KEY, exit_code=1)


def test_a_run_is_found_by_its_id_the_latest_first(ledger: Ledger) -> None:
    ledger.put_run(OTHER)
    ledger.put_run(sample_usage_run(run=OTHER.run))

    assert ledger.find_run(OTHER.run) == OTHER
    assert ledger.find_run("another") is None


@pytest.mark.parametrize(
    ("since_h", "until_h", "expected"),
    [
        (0, 1, [KEY]),  # the end of a time is no part of it
        (1, 2, [KEY, OTHER_KEY]),
        (2, 3, [OTHER_KEY]),  # nor is the end of a run
        (-2, 0, []),
        (5, 6, [OTHER_KEY]),  # it goes on
    ],
)
def test_the_runs_of_a_time_are_those_that_went_on_in_it(
    ledger: Ledger, since_h: int, until_h: int, expected: list[str]
) -> None:
    ledger.put_run(sample_usage_run(key=OTHER_KEY, started_ms=STARTED_MS + HOUR_MS, ended_ms=None))
    ledger.put_run(RUN)

    runs = ledger.runs(STARTED_MS + since_h * HOUR_MS, STARTED_MS + until_h * HOUR_MS)

    assert [run.key for run in runs] == expected
    assert [run.key for run in ledger.open_runs()] == [OTHER_KEY]


def test_a_run_that_lasted_no_time_is_counted_when_it_started(ledger: Ledger) -> None:
    run = sample_usage_run(ended_ms=STARTED_MS, duration_ms=0)
    ledger.put_run(run)

    assert ledger.runs(STARTED_MS, STARTED_MS + 1) == (run,)
    assert ledger.runs(STARTED_MS - 1, STARTED_MS) == ()


def test_each_month_of_a_gpu_is_a_row_of_its_own(ledger: Ledger) -> None:
    rows = [sample_run_gpu(month=month) for month in ("2026-11", "2026-12", "2027-01")]
    for row in rows:
        ledger.put_run_gpu(row)
    ledger.put_run_gpu(sample_run_gpu(month="2026-12", allocated_ms=7))

    assert ledger.run_gpus("2026-11", "2026-12") == (
        rows[0],
        sample_run_gpu(month="2026-12", allocated_ms=7),
    )
    assert [row.month for row in ledger.run_gpus_of(KEY)] == ["2026-11", "2026-12", "2027-01"]


def test_a_correction_stands_beside_what_it_corrects(ledger: Ledger) -> None:
    correction = Correction(
        id="c", key=KEY, gpu=GPU_UUID, month="2026-11", at_ms=1, energy_mj=-5, reason="twice"
    )
    ledger.put_run_gpu(sample_run_gpu())

    with ledger.correcting() as add:
        add(correction)

    assert ledger.run_gpus("2026-11", "2026-11") == (sample_run_gpu(),)
    assert ledger.corrections("2026-11", "2026-11") == (correction,)
    assert ledger.corrections("2026-12", "2027-12") == ()


def test_who_adds_a_correction_knows_those_that_were_being_added(ledger: Ledger) -> None:
    correction = Correction(id="c", key=KEY, gpu=GPU_UUID, month="2026-11", at_ms=1, reason="")
    seen: list[tuple[Correction, ...]] = []

    def look() -> None:
        with open_ledger(ledger.path) as other, other.correcting():
            seen.append(other.corrections("2026-11", "2026-11"))

    another = threading.Thread(target=look)
    with ledger.correcting() as add:
        another.start()
        another.join(0.3)  # time to look, if it could
        add(correction)
    another.join()

    assert seen == [(correction,)]


def test_a_gpu_is_known_from_its_first_moment_to_its_last(ledger: Ledger) -> None:
    def gpu(first_ms: int, last_ms: int) -> MachineGpu:
        return MachineGpu(
            host="gpu-1", gpu=GPU_UUID, model=GPU_MODEL, first_ms=first_ms, last_ms=last_ms
        )

    for first_ms, last_ms in ((5, 6), (9, 9), (2, 3)):
        ledger.see_gpus([gpu(first_ms, last_ms)])

    assert ledger.machine_gpus() == (gpu(2, 9),)


def test_epochs_events_and_beats_are_found_by_their_run(ledger: Ledger) -> None:
    epochs = [EpochRow(key=KEY, attempt=1, epoch=n, at_ms=n, loss=1 / n) for n in (1, 2)]
    again = EpochRow(key=KEY, attempt=1, epoch=2, at_ms=9, loss=0.4)
    beat = Beat(key=KEY, at_ms=1, boot_ms=2, boot_id="b", pid=7, ticks=70)
    ledger.put_epochs([*epochs, again])
    ledger.add_event(sample_event())
    ledger.beat(beat)

    assert ledger.epochs(KEY) == (epochs[0], again)
    assert ledger.epochs(OTHER_KEY) == ()
    assert ledger.events_of(KEY) == (sample_event(),)
    assert ledger.events(STARTED_MS, STARTED_MS + 1) == (sample_event(),)
    assert ledger.events(STARTED_MS - 1, STARTED_MS) == ()
    assert ledger.beats() == {KEY: beat}


def test_samples_are_kept_until_they_are_old(ledger: Ledger) -> None:
    old = sample_sample(at_ms=1, util_source="nvml")
    new = sample_sample(at_ms=2, power_mw=700_000)
    other = sample_sample(at_ms=2, gpu="GPU-9", utilization=None)
    ledger.add_samples([old, new, other])
    ledger.add_samples([sample_sample(at_ms=2, power_mw=1)])  # seen twice
    ledger.put_epochs([EpochRow(key=KEY, attempt=1, epoch=1, at_ms=1, loss=None)])

    assert ledger.samples(KEY) == (old, new, other)
    ledger.forget_samples(2)

    assert ledger.samples(KEY) == (new, other)
    assert ledger.epochs(KEY) == ()


def test_what_was_not_handed_over_is_in_the_outbox_runs_first(ledger: Ledger) -> None:
    ledger.put_run_gpu(sample_run_gpu())
    ledger.put_run(RUN)
    ledger.put_run(OTHER)
    ledger.add_samples([sample_sample()])
    ledger.beat(Beat(key=KEY, at_ms=1, boot_ms=2, boot_id="b", pid=7, ticks=70))

    lines = ledger.outbox(10)

    assert [(line.table, json.loads(line.body)["key"]) for line in lines] == [
        ("run", KEY),
        ("run", OTHER_KEY),
        ("run_gpu", KEY),
    ]
    assert json.loads(lines[0].body)["usr"] == "ada"
    assert ledger.outbox(2) == lines[:2]
    ledger.handed_over([lines[0].id, lines[2].id])
    assert ledger.outbox(10) == (lines[1],)


def test_a_row_that_changed_while_it_was_handed_over_stays_in_the_outbox(ledger: Ledger) -> None:
    ledger.put_run(RUN)
    (line,) = ledger.outbox(1)
    ledger.change_run(KEY, exit_code=1)

    ledger.handed_over([line.id])

    (again,) = ledger.outbox(1)
    assert json.loads(again.body)["rev"] == 2
    assert again.id > line.id


def test_an_older_state_of_a_run_is_not_handed_over_again(ledger: Ledger) -> None:
    ledger.put_run(RUN)
    ledger.handed_over([line.id for line in ledger.outbox(1)])

    ledger.put_run(RUN)

    assert ledger.outbox(1) == ()


def test_sql_in_every_field_is_only_text(ledger: Ledger) -> None:
    fields: dict[str, Any] = {
        name: HOSTILE
        for name, value in ((name, getattr(RUN, name)) for name in RUN.__struct_fields__)
        if isinstance(value, str) and name != "source"
    }
    hostile = sample_usage_run(**fields, command=(HOSTILE,))
    ledger.put_run(hostile)
    ledger.put_run_gpu(sample_run_gpu(key=HOSTILE, gpu=HOSTILE, month=HOSTILE))
    ledger.add_event(sample_event(id=HOSTILE, key=HOSTILE, text=HOSTILE))
    ledger.add_samples([sample_sample(key=HOSTILE, gpu=HOSTILE)])

    assert ledger.run(HOSTILE) == hostile == ledger.find_run(HOSTILE)
    assert ledger.change_run(HOSTILE, project=HOSTILE * 2).project == HOSTILE * 2
    assert ledger.run_gpus(HOSTILE, HOSTILE) == ledger.run_gpus_of(HOSTILE)
    assert len(ledger.outbox(10)) == 3
    assert ledger.events_of(HOSTILE)[0].text == HOSTILE
    assert ledger.samples(HOSTILE)[0].gpu == HOSTILE


def test_a_ledger_of_a_newer_snapenv_is_refused_and_kept(path: Path) -> None:
    open_ledger(path).close()
    change(path, "pragma user_version = 99")

    for read_only in (True, False):
        with pytest.raises(LedgerVersionError, match="has version 99"):
            open_ledger(path, read_only=read_only)


def test_a_database_of_another_program_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    change(path, "create table run (key)")
    content = path.read_bytes()

    for read_only in (True, False):
        with pytest.raises(LedgerError, match="not a ledger"):
            open_ledger(path, read_only=read_only)
    assert path.read_bytes() == content


def test_a_damaged_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite3"
    path.write_bytes(b"no database at all" * 100)

    for read_only in (True, False):
        with pytest.raises(LedgerError, match=str(path)):
            open_ledger(path, read_only=read_only)
    assert path.read_bytes() == b"no database at all" * 100


def test_a_row_that_was_written_by_hand_is_named_by_its_table(ledger: Ledger) -> None:
    ledger.put_run(RUN)
    change(ledger.path, "update run set source = 'sacct'")

    with pytest.raises(LedgerError) as caught:
        ledger.run(KEY)

    assert steady(caught.value) == wording(
        "TMP/state/usage.sqlite3 has a row in run that no snapenv writes: Invalid enum value 'sacct' - at `$.source`"
    )


def test_a_number_that_the_ledger_cannot_hold_leaves_nothing(ledger: Ledger) -> None:
    epochs = [EpochRow(key=KEY, attempt=1, epoch=n, at_ms=n, loss=None) for n in (1, 2**63)]
    with pytest.raises(LedgerError):
        ledger.put_epochs(epochs)
    ledger.put_run(RUN)

    assert ledger.epochs(KEY) == ()
    assert ledger.run(KEY) == RUN


def test_there_is_nothing_to_read_before_the_first_run(path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_ledger(path, read_only=True)

    assert not path.exists()


def test_a_reader_sees_what_a_writer_that_is_open_wrote(ledger: Ledger) -> None:
    ledger.put_run(RUN)

    with open_ledger(ledger.path, read_only=True) as reader:
        assert reader.run(KEY) == RUN
        with pytest.raises(WriteError):
            reader.put_run(OTHER)


def test_a_ledger_that_another_process_keeps_to_itself_is_given_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_TIMEOUT_S", 0.1)
    with open_ledger(ledger.path) as other:
        other._connection.execute("begin immediate")

        with pytest.raises(PlaceBusyError), open_ledger(ledger.path) as second:
            second.put_run(RUN)


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


def test_what_a_process_opens_twice_is_not_taken_from_it_by_another_one(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite3"
    opens = (
        "import sys; from pathlib import Path; from snapenv.usage.ledger import open_ledger; "
        "open_ledger(Path(sys.argv[1])).close()"
    )

    with open_ledger(path) as first:
        first.put_run(RUN)
        open_ledger(path).close()  # as a step within the sampler does
        subprocess.run([sys.executable, "-c", opens, path], check=True)
        first.change_run(RUN.key, exit_code=7)

        with open_ledger(path) as second:
            assert second.run(RUN.key) == first.run(RUN.key)
    with open_ledger(path) as after:
        assert getattr(after.run(RUN.key), "exit_code", None) == 7
