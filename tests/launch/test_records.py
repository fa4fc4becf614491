from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import NotFoundError
from snapenv.launch import records
from snapenv.model.launch import InVenv, Launch, RunEnd, RunRecord

if TYPE_CHECKING:
    from pathlib import Path

RECORD = RunRecord(
    run="261128-192551-4f2a",
    kind="run",
    ref="train",
    snapshot=None,
    created="2026-11-28T19:25:51Z",
    engine=None,
    results="/home/ann/runs",
    detached=False,
    launch=Launch(run="261128-192551-4f2a", place=InVenv(folder="/env"), argv=("true",)),
)
END = RunEnd(exit_code=137, finished="2026-11-28T20:00:00Z", out_of_memory=True)


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records.write_record(tmp_path, RECORD)
    before = records.read_end(tmp_path, RECORD.run)
    records.write_end(tmp_path, RECORD.run, END)

    assert records.read_record(tmp_path, RECORD.run) == RECORD
    assert (before, records.read_end(tmp_path, RECORD.run)) == (None, END)


def test_nobody_else_may_read_a_record(tmp_path: Path) -> None:
    records.write_record(tmp_path, RECORD)
    folder = records.run_folder(tmp_path, RECORD.run)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "run.json").stat().st_mode) == 0o600


def test_the_newest_is_listed_first_and_damage_is_left_out(tmp_path: Path) -> None:
    newer = replace(RECORD, run="b", created="2026-11-29T00:00:00Z")
    for record in (RECORD, newer, replace(RECORD, run="damaged")):
        records.write_record(tmp_path, record)
    (records.run_folder(tmp_path, "damaged") / "run.json").write_text("{")

    assert records.list_records(tmp_path) == (newer, RECORD)


@pytest.mark.parametrize("run", ["nothing", "../../etc", ""])
def test_a_run_that_is_not_there_is_not_found(tmp_path: Path, run: str) -> None:
    with pytest.raises(NotFoundError):
        records.read_record(tmp_path, run)
