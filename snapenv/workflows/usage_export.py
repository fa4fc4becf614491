"""Write what a reader may see of this machine's ledger into a folder of its own.

With SQLite whoever may read the file reads all of it. So members, managers and finance each get a
file that holds no more than they may see: the same as a team's ledger shows them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypeVar

from msgspec import Struct

from snapenv.csv_text import Number, csv_text
from snapenv.errors import NotFoundError
from snapenv.model.outcome import Outcome
from snapenv.model.results import UsageExportResult
from snapenv.model.usage import BUCKETS, UsageSum
from snapenv.ownership.staging import replace_file, staged
from snapenv.sizes import counted
from snapenv.steps.declaring import site_key
from snapenv.usage.declared import pseudonym
from snapenv.usage.ledger import ledger_path, open_ledger
from snapenv.usage.role_sums import DETAILS, Rows, sums_by_project, sums_by_user
from snapenv.usage.tables import CORRECTION, EVENT, MACHINE_GPU, RUN, RUN_GPU

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from snapenv.csv_text import Cell
    from snapenv.model.usage import Correction, RunGpu, UsageEvent
    from snapenv.ports import Services
    from snapenv.usage.ledger import Ledger

_WithKey = TypeVar("_WithKey", "RunGpu", "UsageEvent", "Correction")

_LEDGER = "usage.sqlite3"
_MODE = 0o666  # of which the umask takes away: the folder's own rights say who may read
_EVER_MS = (-(2**62), 2**62)
_EVERY_MONTH = ("0000-00", "9999-12")


class Reader(Struct, frozen=True, kw_only=True):
    """Whom an export is for."""

    role: Literal["member", "manager", "finance"]
    member: str | None = None


def export_usage(reader: Reader, output: Path, services: Services) -> Outcome[UsageExportResult]:
    """Write a new folder, whole or not at all.

    Raises:
        LedgerError, LedgerVersionError, PlaceBusyError: The ledger cannot be read.
        NotFoundError: There is no ledger, or it has no run of the member.
        PlaceTakenError: The folder is there already.
        WriteError: It cannot be written.
    """
    path = ledger_path(services.state, os.environ) if services.state else output / _LEDGER
    with open_ledger(path, read_only=True) as ledger, staged(output, folder=0o777) as folder:
        if reader.member is not None:
            rows = _write_member(reader.member, ledger, folder)
        else:
            rows = _write_sums(reader, ledger, folder, services)
        files = tuple(sorted(file.name for file in folder.iterdir()))
    result = UsageExportResult(
        path=str(output), role=reader.role, member=reader.member, files=files, rows=rows
    )
    what = counted(rows, "run" if reader.member is not None else "sum")
    line = f"wrote {what} into {output}: {', '.join(files)}"
    return Outcome(command="usage export", result=result, lines=(line,))


def _write_member(member: str, ledger: Ledger, folder: Path) -> int:
    """Write a ledger with the runs of a member and of the projects that the member has had."""
    runs = ledger.runs(*_EVER_MS)
    projects = {run.project for run in runs if run.user == member and run.project}
    own = [run for run in runs if run.user == member or run.project in projects]
    if not own:
        raise NotFoundError(
            f"{ledger.path} has no run of {member}",
            hint="Name a user as the ledger does: snapenv usage report --by user.",
        )
    keys = {run.key for run in own}
    with open_ledger(folder / _LEDGER) as copy:
        copy.put_copies(
            {
                RUN: own,
                RUN_GPU: _of(keys, ledger.run_gpus(*_EVERY_MONTH)),
                EVENT: _of(keys, ledger.events(*_EVER_MS)),
                CORRECTION: _of(keys, ledger.corrections(*_EVERY_MONTH)),
            }
        )
    replace_file(folder / _LEDGER, (folder / _LEDGER).read_bytes(), mode=_MODE)
    return len(own)


def _of(keys: set[str], rows: Iterable[_WithKey]) -> list[_WithKey]:
    return [row for row in rows if row.key in keys]


def _write_sums(reader: Reader, ledger: Ledger, folder: Path, services: Services) -> int:
    """Write the sums of all months, and which GPUs there were."""
    rows = Rows(
        runs=ledger.runs(*_EVER_MS),
        run_gpus=ledger.run_gpus(*_EVERY_MONTH),
        corrections=ledger.corrections(*_EVERY_MONTH),
    )
    if reader.role == "manager":
        key = site_key(services)
        sums = sums_by_user(rows, lambda user: pseudonym(user, key))
        _write(folder / "sums_by_user.csv", _table(sums, SUMS_BY_USER))
    else:
        sums = sums_by_project(rows)
        _write(folder / "sums_by_project.csv", _table(sums, SUMS_BY_PROJECT))
    header = [column.name for column in MACHINE_GPU.columns]
    fleet = csv_text(header, map(MACHINE_GPU.to_row, ledger.machine_gpus()))
    _write(folder / "fleet.csv", fleet)
    return len(sums)


SUMS_BY_USER = UsageSum.__struct_fields__
SUMS_BY_PROJECT = tuple(name for name in SUMS_BY_USER if name not in ("user", *DETAILS))


def _table(sums: Iterable[UsageSum], names: Iterable[str]) -> str:
    header = [column for name in names for column in _columns(name)]
    return csv_text(
        header, ([cell for name in names for cell in _cells(each, name)] for each in sums)
    )


def _columns(name: str) -> Iterable[str]:
    """Return how a team's views call a field."""
    if name == "buckets":
        return (f"b{number}" for number in range(BUCKETS))
    return ("usr" if name == "user" else name,)


def _cells(total: UsageSum, name: str) -> Iterable[Cell]:
    value = getattr(total, name)
    match value:
        case bool():
            return (Number(str(value).lower()),)
        case tuple() if name == "util_sources":
            return (" ".join(value),)
        case tuple():
            return value
        case _:
            return (value,)


def _write(path: Path, text: str) -> None:
    replace_file(path, text.encode(), mode=_MODE)
