"""The last bench of each machine and each kind of training, by snapshot, in the state folder."""

from __future__ import annotations

import contextlib
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import ArchiveError, NotFoundError
from snapenv.json_text import read_json
from snapenv.model.bench import Bench, BenchOptions
from snapenv.ownership.staging import replace_file

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 16 << 20


def keep_bench(state: Path | None, snapshot: str, bench: Bench) -> None:
    """Write down a bench in the place of the one before; where that fails, nothing is kept."""
    folder = _folder(state, snapshot)
    if folder is None:
        return
    key = msgspec.json.encode((bench.machine, comparable(bench)))
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / f"{sha256(key).hexdigest()[:16]}.json", msgspec.json.encode(bench))


def kept_benches(state: Path | None, snapshot: str) -> tuple[Bench, ...]:
    """Return what is kept of a snapshot, the oldest first."""
    folder = _folder(state, snapshot)
    files = sorted(folder.glob("*.json")) if folder else ()
    return tuple(sorted(filter(None, map(_read, files)), key=lambda bench: bench.at))


class _Result(Struct, frozen=True):
    bench: Bench

    def __post_init__(self) -> None:
        """Refuse a bench of nothing.

        Raises:
            ValueError: It is one.
        """
        if not self.bench.runs:
            raise ValueError("it has no runs")


class _Printed(Struct, frozen=True):
    """What ``snapenv bench --json`` prints."""

    result: _Result


def read_bench(path: Path) -> Bench:
    """Read a bench from what ``snapenv bench --json`` printed, perhaps on another machine.

    Raises:
        ArchiveError: It is no such file.
        NotFoundError: It is not there.
    """
    try:
        content = path.read_bytes()[:_MOST_BYTES]
    except OSError as error:
        raise NotFoundError(
            f"cannot read {path}: {error.strerror}",
            hint="Name what snapenv bench --json has printed.",
        ) from error
    try:
        return read_json(content, _Printed).result.bench
    except ValueError as error:
        raise ArchiveError(
            f"{path} is not what snapenv bench --json prints",
            hint="Make it there: snapenv bench REF --json > FILE",
        ) from error


def comparable(bench: Bench) -> BenchOptions:
    """Return what was trained, without what says where: benches that share it can be compared."""
    options = bench.runs[0].options
    return replace(options, device="", data=options.data and options.data.rpartition("/")[2])


def _folder(state: Path | None, snapshot: str) -> Path | None:
    name = snapshot.removeprefix("sha256:")
    return state / "bench" / name if state and name.isascii() and name.isalnum() else None


def _read(path: Path) -> Bench | None:
    try:
        bench = read_json(path.read_bytes(), Bench)
    except (OSError, ValueError):
        return None
    return bench if bench.runs else None
