from __future__ import annotations

import csv
import io
import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.usage.ledger import open_ledger
from snapenv.usage.months import month_of
from tests.command import Command
from tests.usage.focus_check import faults
from tests.usage.usage_samples import (
    HOUR_MS,
    KWH_MJ,
    PRICE_LIST,
    at,
    machine_gpu,
    run,
    run_gpu,
    trained,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.usage import UsageRun

MONTH = "2025-11"  # has ended, whenever this is run


def in_month(day: float) -> int:
    return at(day, MONTH)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command line with an empty state folder and a price list."""
    monkeypatch.delenv("SNAPENV_LEDGER", raising=False)
    (tmp_path / "prices.toml").write_text(PRICE_LIST)
    return Command({"XDG_STATE_HOME": str(tmp_path), "SNAPENV_PRICES": ""})


def keep(tmp_path: Path, *runs: UsageRun) -> None:
    gpu = machine_gpu(first_ms=in_month(0), last_ms=in_month(30))
    with open_ledger(tmp_path / "snapenv" / "usage.sqlite3") as ledger:
        ledger.see_gpus([gpu, replace(gpu, gpu="GPU-2")])
        for one in runs:
            ledger.put_run(one)
            for row in run_gpu(one, busy=0.6, energy_mj=KWH_MJ):
                ledger.put_run_gpu(row)


def november(tmp_path: Path) -> None:
    keep(
        tmp_path,
        run("a", in_month(1), 30, training=trained(0.5)),
        run("b", in_month(3), 10, user="ben", project="signs", exit_code=137, failure="memory"),
        run("c", in_month(4), 5, project=None),
        run("d", at(10, "2025-10"), 20),
    )


def test_text_shows_a_table_and_the_bill(tmp_path: Path, command: Command) -> None:
    november(tmp_path)

    done = command.run(
        *("usage", "report", "--month", MONTH, "--prices", "prices.toml"), folder=tmp_path
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == wording("""\
usage in 2025-11 by project, of this machine
project  runs  GPU time  effective     EUR
lanes       1    30.0 h     60.0 %   90.30
signs       1    10.0 h     60.0 %   30.30
(none)      1     5.0 h     60.0 %   15.30
total       3    45.0 h     60.0 %  135.90

effective       27.0 h     81.54
idle            18.0 h     54.36
unseen           0.0 s      0.00
unallocated  1,395.0 h  4,185.00
bill         1,440.0 h  4,320.90
effective: from 70 % of the time in which multiprocessors had work (NVML's GPM)
energy: 3.0 kWh, of the GPUs alone
CO2: 1.4 kg at 400 g/kWh (Germany, 2024, Umweltbundesamt), PUE 1.2
price: NVIDIA H200 3.00 EUR an hour, from 2025-01-01
price: power 0.25 EUR a kWh

failed  runs  GPU time    EUR
memory     1    10.0 h  30.30

environment                                 runs  GPU time  effective     EUR
555555555555 train-yolov8.4.190-base-cu130     3    45.0 h     60.0 %  135.90

best value       model               best    time   memory    EUR  a point
1  run-a    yolov8n.pt  mAP50-95(B) 0.500  30.0 h  10.0 GB  90.30     1.81

month    runs  GPU time  effective  unallocated     EUR
2025-10     1    20.0 h     60.0 %        0.0 s   60.30
2025-11     3    45.0 h     60.0 %    1,395.0 h  135.90
""")


def test_json_is_the_result_and_its_parts_are_the_bill(tmp_path: Path, command: Command) -> None:
    november(tmp_path)
    words = ("usage", "report", "--month", MONTH, "--prices", str(tmp_path / "prices.toml"))

    result = command.document(*words, "--by", "user")["result"]

    assert [(row["name"], row["totals"]["runs"]) for row in result["rows"]] == [
        ("ann", 2),
        ("ben", 1),
    ]
    assert result["bill"] == 2 * 720 * 3_000_000 + 3 * 300_000
    assert result["total"]["cost"] + result["unallocated_cost"] == result["bill"]
    assert (
        json.loads(command.run(*words, "--by", "user", "--format", "json").stdout)["result"]
        == result
    )


def test_csv_sums_up_to_the_bill_exactly(tmp_path: Path, command: Command) -> None:
    november(tmp_path)
    prices = str(tmp_path / "prices.toml")

    done = command.run(
        *("usage", "report", "--month", MONTH, "--prices", prices, "--format", "csv")
    )

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["name"] for row in rows] == ["lanes", "signs", "", "(unallocated)"]
    assert sum(round(1e6 * float(row["cost"])) for row in rows) == 4_320_900_000
    assert sum(float(row["gpu_hours"]) for row in rows) == 2 * 720


def test_the_page_shows_what_the_text_does(tmp_path: Path, command: Command) -> None:
    november(tmp_path)
    prices = ("--prices", str(tmp_path / "prices.toml"))

    done = command.run("usage", "report", "--month", MONTH, *prices, "--format", "html")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!doctype html>")
    for cell in ("lanes", "signs", "(none)", "1,395.0 h", "4,320.90 EUR"):
        assert f">{cell}<" in done.stdout


def test_a_file_is_written_whole_and_replaces_another(tmp_path: Path, command: Command) -> None:
    november(tmp_path)
    place = tmp_path / "november.csv"
    place.write_text("before")
    words = ("usage", "report", "--month", MONTH, "--format", "csv", "--output", str(place))

    done = command.run(*words)

    assert done.stdout == f"wrote {place}\n"
    assert place.read_bytes().startswith(b'"month","by","name"')
    assert b"\r\n" in place.read_bytes()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, command: Command) -> None:
    done = command.run(
        *("usage", "report", "--format", "csv", "-o", str(tmp_path / "missing" / "a.csv"))
    )

    assert done.returncode == 4
    assert "--output" in done.stderr


def test_without_a_ledger_there_is_nothing_to_report(command: Command) -> None:
    before = month_of(time.time_ns() // 10**6)
    result = command.document("usage", "report")["result"]
    shown = command.run("usage", "report").stdout
    after = month_of(time.time_ns() // 10**6)

    assert (result["rows"], result["total"]["runs"]) == ([], 0)
    assert result["month"] in {before, after}
    assert shown.replace(before, "MONTH").replace(after, "MONTH") == wording("""\
usage in MONTH by project, of this machine
no run was recorded
""")


@pytest.mark.parametrize("month", ["2026-13", "november", "1999-01", "2999-12", "2026-1"])
def test_no_month_is_a_usage_error(month: str, command: Command) -> None:
    assert month in command.error("usage", "usage", "report", "--month", month)


def test_a_hole_in_the_price_list_is_an_error(tmp_path: Path, command: Command) -> None:
    november(tmp_path)
    holes = tmp_path / "holes.toml"
    holes.write_text(PRICE_LIST.replace("2025-01-01\nper_hour", "2025-11-03\nper_hour"))

    error = command.error(
        *("price-list", "usage", "report", "--month", MONTH, "--prices", str(holes))
    )

    assert "NVIDIA H200 on 2025-11-01" in error


def test_names_that_steer_a_terminal_are_written_out(tmp_path: Path, command: Command) -> None:
    keep(tmp_path, run("a", in_month(1), 1, project="\x1b[31m=1,\n\u202e"))

    place = tmp_path / "prices.toml"
    place.write_text(PRICE_LIST.replace("Germany", "\\u202eynamreG"))

    done = command.run("usage", "report", "--month", MONTH, "--prices", str(place))

    head, row, total = done.stdout.splitlines()[1:4]
    assert row.startswith("\\x1b[31m=1,\\n\\u202e ")
    assert len(head) == len(row) == len(total)
    assert "(\\u202eynamreG, 2024" in done.stdout
    assert not {"\x1b", "\u202e"}.intersection(done.stdout)
    table = command.run("usage", "report", "--month", MONTH, "--format", "csv").stdout
    (read,) = (one for one in csv.DictReader(io.StringIO(table)) if one["runs"])
    assert read["name"] == "\x1b[31m=1,\n\u202e"


def test_a_ledger_that_is_damaged_or_newer_is_an_error(tmp_path: Path, command: Command) -> None:
    (tmp_path / "snapenv").mkdir()
    (tmp_path / "snapenv" / "usage.sqlite3").write_bytes(b"not a database, and long enough" * 99)

    assert "usage.sqlite3" in command.error("ledger", "usage", "report")


def test_a_run_that_goes_on_is_counted_so_far(tmp_path: Path, command: Command) -> None:
    now_ms = time.time_ns() // 10**6
    going = run("a", now_ms - HOUR_MS, None)
    with open_ledger(tmp_path / "snapenv" / "usage.sqlite3") as ledger:
        ledger.put_run(going)
        ledger.put_run_gpu(replace(run_gpu(replace(going, ended_ms=now_ms))[-1]))

    result = command.document("usage", "report")["result"]

    assert result["running"] == 1
    assert 0 < result["total"]["charged_ms"] <= HOUR_MS


@pytest.mark.parametrize("form", ["focus", "emissions"])
def test_a_dataset_needs_a_price_list(form: str, command: Command) -> None:
    assert "--prices" in command.error("usage", "usage", "report", "--format", form)


def test_datasets_of_charges_and_emissions_are_written(tmp_path: Path, command: Command) -> None:
    november(tmp_path)
    words = ("usage", "report", "--month", MONTH, "--prices", str(tmp_path / "prices.toml"))

    focus = command.run(*words, "--format", "focus")
    emissions = command.run(*words, "--format", "emissions")

    assert (focus.stderr, faults(focus.stdout)) == ("", [])
    billed = [row["BilledCost"] for row in csv.DictReader(io.StringIO(focus.stdout))]
    assert sum(map(Decimal, billed)) == Decimal("4320.90")
    rows = list(csv.DictReader(io.StringIO(emissions.stdout)))
    assert [row["experiment_id"] for row in rows] == ["run-a", "run-b", "run-c"]
    assert {row["emissions"] for row in rows} == {"0.480000000"}


def test_emissions_need_a_factor(tmp_path: Path, command: Command) -> None:
    place = tmp_path / "without.toml"
    place.write_text(PRICE_LIST.partition("[[co2]]")[0])
    words = ("usage", "report", "--format", "emissions", "--prices", str(place))

    assert "[[co2]]" in command.error("usage", *words)


def test_an_address_that_is_not_of_postgresql_is_refused_and_makes_no_file(tmp_path: Path) -> None:
    address = {"SNAPENV_LEDGER": "mysql://ada:hunter2hunter2@db.example.com/usage"}
    command = Command({"XDG_STATE_HOME": str(tmp_path), **address})

    assert "hunter2" not in command.error("usage", "usage", "report", folder=tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
