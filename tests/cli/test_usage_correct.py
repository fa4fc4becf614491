"""A run's GPU hours, corrected by a user and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.usage.ledger import open_ledger
from tests.command import Command
from tests.usage.usage_samples import HOUR_MS, at, run, run_gpu

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.usage import UsageRun

MONTH = "2025-11"  # has ended, whenever this is run
ONE = run("a", at(1, MONTH), 40)
WHY = ("--reason", "the container hung")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("SNAPENV_LEDGER", raising=False)
    return Command({"XDG_STATE_HOME": str(tmp_path)})


def keep(tmp_path: Path, one: UsageRun, *gpus: str) -> None:
    with open_ledger(tmp_path / "snapenv" / "usage.sqlite3") as ledger:
        ledger.put_run(one)
        for gpu in gpus:
            for row in run_gpu(one, busy=0.5, gpu=gpu):
                ledger.put_run_gpu(row)


def report(command: Command) -> dict[str, Any]:
    result = command.result("usage", "report", "--month", MONTH)
    return {name: result[name] for name in ("total", "corrections", "correction_reasons")}


def test_a_report_has_the_hours_that_are_right_and_why(tmp_path: Path, command: Command) -> None:
    keep(tmp_path, ONE, "GPU-1", "GPU-2")

    done = command.run("usage", "correct", "run-a", "--hours", "50", *WHY)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == wording(
        "run-a: 50.0 h of GPUs in 2025-11 instead of 80.0 h: 2 corrections added\n"
    )
    told = report(command)
    assert told["total"]["charged_ms"] == 50 * HOUR_MS
    assert told["total"]["effective_ms"] == 40 * HOUR_MS
    assert (told["corrections"], told["correction_reasons"]) == (2, ["the container hung"])
    text = command.run("usage", "report", "--month", MONTH).stdout
    assert "2 corrections added: the container hung\n" in text


def test_what_was_measured_stays_in_the_ledger(tmp_path: Path, command: Command) -> None:
    keep(tmp_path, ONE, "GPU-1")

    command.run("usage", "correct", "run-a", "--hours", "0", *WHY)

    with open_ledger(tmp_path / "snapenv" / "usage.sqlite3", read_only=True) as ledger:
        assert ledger.run_gpus_of("a") == tuple(run_gpu(ONE))


def test_a_second_correction_counts_from_the_first(tmp_path: Path, command: Command) -> None:
    keep(tmp_path, ONE, "GPU-1")
    command.run("usage", "correct", "run-a", "--hours", "5", *WHY)

    result = command.result("usage", "correct", "run-a", "--hours", "7.5", *WHY)
    again = command.run("usage", "correct", "run-a", "--hours", "7.5", *WHY)

    assert (result["before_ms"], result["allocated_ms"]) == (5 * HOUR_MS, 7.5 * HOUR_MS)
    assert again.stdout == wording("run-a: 7.5 h of GPUs in 2025-11 already: nothing was added\n")
    assert report(command)["total"]["charged_ms"] == 7.5 * HOUR_MS


def test_of_two_months_one_is_named(tmp_path: Path, command: Command) -> None:
    keep(tmp_path, run("a", at(29, MONTH), 40), "GPU-1")  # 24 hours, and 16 of December

    both = command.run("usage", "correct", "run-a", "--hours", "1", *WHY)
    one = command.result("usage", "correct", "run-a", "--hours", "1", "--month", MONTH, *WHY)

    assert both.stderr == wording("""\
error: run run-a had GPUs in 2025-11 and 2025-12
hint: Name one: --month
""")
    assert (both.returncode, one["before_ms"]) == (2, 24 * HOUR_MS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ("run-z", "--hours", "1", *WHY),
            "error: this machine's ledger has no run run-z\n",
            id="no-run",
        ),
        pytest.param(
            ("run-a", "--hours", "721", *WHY),
            "error: 721 hours cannot be: 1 GPU has at most 720 in 2025-11\n",
            id="too-many",
        ),
        pytest.param(("run-a", "--hours", "-1", *WHY), "error: -1 hours cannot be", id="negative"),
        pytest.param(("run-a", "--hours", "nan", *WHY), "error: nan hours cannot be", id="none"),
        pytest.param(
            ("run-a", "--hours", "1", "--reason", " "), "error: a reason is one line", id="empty"
        ),
        pytest.param(
            ("run-a", "--hours", "1", "--reason", "a\nb"), "error: a reason is one", id="lines"
        ),
        pytest.param(
            ("run-a", "--hours", "1", "--reason", "a" * 201), "error: a reason is one", id="long"
        ),
        pytest.param(
            ("run-a", "--hours", "1", "--month", "2025-13", *WHY),
            "error: '2025-13' is not a month\n",
            id="no-month",
        ),
        pytest.param(
            ("run-a", "--hours", "1", "--month", "2025-10", *WHY),
            "error: run run-a had no GPU in 2025-10\n",
            id="another-month",
        ),
        pytest.param(("cpu", "--hours", "1", *WHY), "error: run cpu had no GPU\n", id="no-gpu"),
        pytest.param(("open", "--hours", "1", *WHY), "error: run open goes on\n", id="goes-on"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_added(
    tmp_path: Path, command: Command, words: tuple[str, ...], said: str
) -> None:
    keep(tmp_path, ONE, "GPU-1")
    keep(tmp_path, replace(ONE, key="c", run="cpu"))
    keep(tmp_path, run("o", at(1, MONTH), None, run="open"), "GPU-2")

    done = command.run("usage", "correct", *words)

    assert done.stderr.startswith(said)
    assert done.returncode == (3 if "no run" in said else 2)
    assert report(command)["corrections"] == 0


def test_without_a_ledger_none_is_made(tmp_path: Path, command: Command) -> None:
    done = command.run("usage", "correct", "run-a", "--hours", "1", *WHY)

    assert done.returncode == 3
    assert not (tmp_path / "snapenv").exists()
