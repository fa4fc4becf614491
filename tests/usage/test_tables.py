from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.usage.tables import MACHINE_GPU, RUN, RUN_GPU, TABLES, Table
from tests.usage.strategies import any_of
from tests.usage.values import sample_run_gpu, sample_usage_run


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_any_value_comes_back_from_its_row(table: Table[Any], data: st.DataObject) -> None:
    value = data.draw(any_of(table.kind))
    with sqlite3.connect(":memory:") as database:
        database.execute(table.create()[0])

        database.execute(table.upsert(), table.to_row(value))
        (row,) = database.execute(f"select {table.names} from {table.name}")

    database.close()
    assert table.from_row(row) == value


def test_what_is_in_a_ledger_is_changed_only_with_its_version() -> None:
    columns = {
        name: " ".join(column.name for column in table.columns) for name, table in TABLES.items()
    }

    assert columns == wording(
        {
            "run": "key rev run source kind usr project purpose model command tag image snapshot host gpus gpus_asked cpus memory_bytes shm_bytes max_cost max_duration_ms started_ms ended_ms duration_ms exit_code failure cause resumed_from training",
            "run_gpu": "key gpu month model allocated_ms covered_ms b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 util_source energy_mj memory_peak_bytes power_peak_mw throttled_ms shared_ms cpu_ms host_memory_peak_bytes",
            "event": "id key at_ms kind value text",
            "correction": "id key gpu month at_ms allocated_ms b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 energy_mj reason",
            "machine_gpu": "host gpu model first_ms last_ms",
            "epoch": "key attempt epoch at_ms loss metric",
            "beat": "key at_ms boot_ms boot_id pid ticks",
        }
    )
    assert RUN_GPU.create()[0].splitlines()[:6] == wording(
        [
            "create table if not exists run_gpu (",
            "  key text not null,",
            "  gpu text not null,",
            "  month text not null,",
            "  model text not null,",
            "  allocated_ms bigint not null,",
        ]
    )


def test_a_histogram_is_ten_columns_that_sql_adds_up() -> None:
    row = dict(
        zip((c.name for c in RUN_GPU.columns), RUN_GPU.to_row(sample_run_gpu()), strict=True)
    )

    assert [row[f"b{number}"] for number in (0, 7, 8, 9)] == [0, 0, 1_800_000, 1_800_000]


def test_what_no_database_holds_becomes_a_sign_for_it() -> None:
    run = sample_usage_run(project="a\0b", command=("caf\udce9", "\ud800\0"))

    stored = RUN.from_row(RUN.to_row(run))

    assert stored.project == "a\ufffdb"
    assert stored.command == ("caf" + "\ufffd" * 3, "\ufffd" * 4)


def test_a_row_that_no_snapenv_writes_is_refused() -> None:
    row = list(RUN.to_row(sample_usage_run()))
    row[3] = "sacct"

    with pytest.raises(msgspec.ValidationError, match=r"source"):
        RUN.from_row(row)


def test_postgresql_reads_the_same_statement_with_its_own_marks() -> None:
    assert MACHINE_GPU.upsert("%s") == wording(
        "insert into machine_gpu (host, gpu, model, first_ms, last_ms) values (%s, %s, %s, %s, %s) on conflict (host, gpu) do update set model = excluded.model, first_ms = excluded.first_ms, last_ms = excluded.last_ms"
    )
    assert RUN.upsert("%s").endswith("where excluded.rev > run.rev")
