"""``snapenv usage top``: with a real ledger, and on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.model.usage import Sample
from snapenv.usage.ledger import open_ledger
from tests.command import Command, Program
from tests.usage.usage_samples import PRICE_LIST
from tests.usage.values import GPU_UUID, KEY, sample_usage_run

if TYPE_CHECKING:
    from pathlib import Path

HOST = os.uname().nodename


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger in which one run of this machine goes on, one has ended, and one is elsewhere."""
    path, now_ms = tmp_path / "usage.sqlite3", time.time_ns() // 1_000_000
    going = sample_usage_run(
        host=HOST, started_ms=now_ms - 90_000, ended_ms=None, duration_ms=None, exit_code=None
    )
    with open_ledger(path) as written:
        written.put_run(going)
        written.put_run(replace(going, key="2", run="ended", ended_ms=now_ms))
        written.put_run(replace(going, key="3", run="elsewhere", host="another"))
        written.add_samples((Sample(key=KEY, gpu=GPU_UUID, at_ms=now_ms - 9_000, utilization=93),))
    return path


def test_what_runs_on_this_machine_is_told(ledger: Path) -> None:
    result = Command({"SNAPENV_LEDGER": str(ledger)}).result("usage", "top")

    (run,) = result["runs"]
    assert (run["run"], run["project"], run["gpus"][0]["utilization"]) == (
        *("261101-140000-3d49", "birds", 93),
    )
    assert 90_000 <= run["elapsed_ms"] < 600_000
    assert result["currency"] is None


def test_costs_are_by_the_price_list_of_the_project(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices.toml").write_text(PRICE_LIST)
    (tmp_path / "pyproject.toml").write_text('[tool.snapenv.usage]\nprices = "prices.toml"\n')
    monkeypatch.chdir(tmp_path)

    result = Command({"SNAPENV_LEDGER": str(ledger)}).result("usage", "top")

    (run,) = result["runs"]
    assert result["currency"] == "EUR"
    assert 75_000 <= run["cost"] < 500_000  # 90 s and some of a GPU at 3 EUR an hour


def test_in_a_pipe_it_is_told_once(ledger: Path) -> None:
    done = Program({"SNAPENV_LEDGER": str(ledger)}).run("usage", "top")

    titles, line = done.stdout.splitlines()
    assert titles.split()[0] == "run"
    assert line.split()[0] == "261101-140000-3d49"
    assert "93 %" in line


def test_without_a_ledger_nothing_runs(tmp_path: Path) -> None:
    given = Command({"SNAPENV_LEDGER": str(tmp_path / "none.sqlite3")})

    assert given.result("usage", "top")["runs"] == []
    assert not (tmp_path / "none.sqlite3").exists()


def test_a_ledger_that_is_damaged_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite3"
    path.write_bytes(b"this is no database, " * 999)

    assert str(path) in Command({"SNAPENV_LEDGER": str(path)}).error("ledger", "usage", "top")


def test_on_a_terminal_it_is_told_anew_until_ctrl_c(ledger: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "snapenv", "usage", "top"],
        env={**os.environ, "SNAPENV_LEDGER": str(ledger), "COLUMNS": "80", "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)

    shown = read_until(ours, b"93 %")
    with open_ledger(ledger) as written:
        now_ms = time.time_ns() // 1_000_000
        written.add_samples((Sample(key=KEY, gpu=GPU_UUID, at_ms=now_ms, utilization=41),))
    shown += read_until(ours, b"41 %")
    process.send_signal(signal.SIGINT)

    assert process.wait(300) == 0
    os.close(ours)
    assert b"261101-140000-3d49" in shown
    assert b"Traceback" not in shown


def read_until(terminal: int, mark: bytes) -> bytes:
    shown = b""
    while mark not in shown:
        assert select.select([terminal], [], [], 300)[0], shown
        shown += os.read(terminal, 1 << 16)
    return shown
