"""What usage is read from: Slurm, Prometheus, price lists, trainings' own files, the ledger."""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from snapenv.money import parse_amount
from snapenv.nvidia.catalogue import read_kernels
from snapenv.usage import training
from snapenv.usage.asked_training import read_command
from snapenv.usage.declared import parse_table
from snapenv.usage.ledger import open_ledger
from snapenv.usage.prices import parse_prices
from snapenv.usage.prometheus import parse_answer
from snapenv.usage.prometheus_runs import Piece, runs_of_piece
from snapenv.usage.results_csv import parse_results
from snapenv.usage.slurm_jobs import parse_jobs, runs_of_jobs
from snapenv.usage.tables import RUN, TABLES
from tests.fuzz.target import BrokenRuleError, Target, scratch
from tests.fuzz.targets.snapshots import bundle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.usage.imported import ImportedRun

_MOST_ROWS = 1_000_000
_TRIED_ROWS = 1_000  # of a run: the others differ in a number


def _slurm(content: bytes) -> None:
    """Read the jobs of sacct, and the runs that they were."""
    _storable(runs_of_jobs(parse_jobs(content.decode(errors="replace"), place="sacct")))


def _prometheus(content: bytes) -> None:
    """Read answers to the queries of a piece of time, and the runs in it."""
    parts = bundle(content)
    names = ("runs", "utilization", "memory", "power", "energy")
    asked = {
        name: parse_answer(parts[f"{name}.json"], host="example.com")
        for name in names
        if f"{name}.json" in parts
    }
    piece = msgspec.structs.replace(Piece(runs=asked.pop("runs", ())), **asked)
    _storable(runs_of_piece(piece, "cluster", counted={}))


def _storable(runs: Iterable[ImportedRun]) -> None:
    """See that the ledger takes runs, and gives them back as they were."""
    for run in runs:
        row = RUN.to_row(run.run)
        if RUN.to_row(RUN.from_row(row)) != row:
            raise BrokenRuleError("a run comes back otherwise")
        for gpu in islice(run.gpus, _TRIED_ROWS):
            numbers = [one for one in TABLES["run_gpu"].to_row(gpu) if isinstance(one, int)]
            if any(abs(one) >= 1 << 63 for one in numbers):
                raise BrokenRuleError("a number is larger than any database holds")


def _ledger(content: bytes) -> None:
    """Open a file that is said to be a ledger."""
    with scratch() as folder:
        path = folder / "usage.sqlite3"
        path.write_bytes(content)
        with open_ledger(path, read_only=True) as ledger:
            ledger.runs(0, 1 << 62)


def _ledger_row(content: bytes) -> None:
    """Read a ledger in which somebody has written other rows."""
    parts = {name: text.decode(errors="replace") for name, text in bundle(content).items()}
    with scratch() as folder:
        path = folder / "usage.sqlite3"
        open_ledger(path).close()
        columns = [column.name for column in RUN.columns]
        values: list[Any] = [
            int(parts[name])
            if parts.get(name, "").isdecimal() and len(parts[name]) < 19
            else parts.get(name, 0)
            for name in columns
        ]
        connection = sqlite3.connect(path)
        try:
            marks = ", ".join("?" for _ in columns)
            connection.execute(f"insert into run ({', '.join(columns)}) values ({marks})", values)
            connection.commit()
        except (sqlite3.Error, UnicodeEncodeError):
            return
        finally:
            connection.close()
        with open_ledger(path, read_only=True) as ledger:
            ledger.runs(0, 1 << 62)


def _prices(content: bytes) -> None:
    prices = parse_prices(content.decode(errors="replace"), path="prices.toml")
    prices.stated_bill("2026-11")


def _pyproject(content: bytes) -> None:
    parse_table(content.decode(errors="replace"), "pyproject.toml")


def _results(content: bytes) -> None:
    """Read a training's results, and how long an epoch takes."""
    results = parse_results(content)
    training.epoch_duration_ms(results.latest, ())


def _training(content: bytes) -> None:
    """Read the arguments that a training was started with, and its data."""
    with scratch() as folder:
        for name in ("args.yaml", "data.yaml"):
            (folder / name).write_bytes(content)
        arguments = training.read_arguments(folder)
        training.read_plan(arguments)
        training.asked_batch(arguments)
        training.describe_training(folder, str(folder))
        training.count_images(str(folder / "data.yaml"), str(folder))


def _command(content: bytes) -> None:
    read_command(content.decode(errors="surrogateescape").split("\n"))


def _amount(content: bytes) -> None:
    if parse_amount(content.decode(errors="replace")) < 0:
        raise BrokenRuleError("less than nothing")


def _kernels(content: bytes) -> None:
    read_kernels(content.decode(errors="replace"))
    read_kernels(content.decode(errors="replace"), separator=" ")


TARGETS = (
    Target(name="slurm-jobs", read=_slurm, form="text"),
    Target(name="prometheus", read=_prometheus, form="bundle"),
    Target(name="ledger", read=_ledger, form="bytes", most_bytes=1 << 17),
    Target(name="ledger-row", read=_ledger_row, form="bundle"),
    Target(name="prices", read=_prices, form="toml"),
    Target(name="pyproject", read=_pyproject, form="toml"),
    Target(name="results", read=_results, form="text"),
    Target(name="training", read=_training, form="text"),
    Target(name="command", read=_command, form="text"),
    Target(name="amount", read=_amount, form="text", refuses=(ValueError,), most_bytes=1 << 10),
    Target(name="kernels", read=_kernels, form="text"),
)
