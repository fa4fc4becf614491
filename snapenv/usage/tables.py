"""The tables of the ledger, alike in SQLite and PostgreSQL, made of the values that they hold.

A field is a column of its name. Numbers are ``bigint`` or ``double precision``, text is ``text``;
a tuple or a struct is JSON in ``text``, but the ten buckets of a histogram are ten columns, ``b0``
to ``b9``, so that SQL can add them up. ``user`` is ``usr``: in PostgreSQL the word is a function.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from snapenv.json_text import read_json
from snapenv.model.usage import (
    BUCKETS,
    Beat,
    Correction,
    EpochRow,
    MachineGpu,
    RunGpu,
    UsageEvent,
    UsageRun,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T", bound=Struct)

_SQL = {str: "text", int: "bigint", float: "double precision"}
_RENAMED = {"user": "usr"}
BUCKET_COLUMNS = tuple(f"b{number}" for number in range(BUCKETS))


class Column(Struct, frozen=True):
    """A column of both databases."""

    name: str
    sql: str  # its type
    is_json: bool
    is_nullable: bool


class Table(Struct, Generic[T], frozen=True, kw_only=True):
    """A table that holds values of one kind, each once by its key."""

    name: str
    kind: type[T]
    key: tuple[str, ...]  # columns
    indexes: tuple[str, ...] = ()  # columns, each by itself
    newer: str | None = None  # the column that must be greater for a row to be replaced

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in the order of the fields."""
        return _columns(self.kind)

    @property
    def names(self) -> str:
        """The names of the columns, as SQL lists them."""
        return ", ".join(column.name for column in self.columns)

    def create(self, *more: str) -> tuple[str, ...]:
        """Return the statements that make the table, with ``more`` columns, and its indexes."""
        parts = [_declared(column) for column in self.columns]
        parts += [*more, f"primary key ({', '.join(self.key)})"]
        table = f"create table if not exists {self.name} (\n  " + ",\n  ".join(parts) + "\n)"
        return table, *(
            f"create index if not exists {self.name}_{column} on {self.name} ({column})"
            for column in self.indexes
        )

    def upsert(self, mark: str = "?") -> str:
        """Return the statement that writes a row, in the place of the one with its key."""
        return _upsert(self.name, mark)

    def to_row(self, value: T) -> tuple[Any, ...]:
        """Return a value as its columns hold it.

        Text loses what PostgreSQL or UTF-8 cannot hold: U+0000 and halves of a surrogate pair
        become U+FFFD.
        """
        row: list[Any] = []
        for name in self.kind.__struct_fields__:
            part = getattr(value, name)
            if isinstance(part, str):
                row.append(_storable(part))
            elif name == "buckets":
                row += part
            elif isinstance(part, (tuple, Struct)):
                plain = _storable(msgspec.to_builtins(part))
                row.append(msgspec.json.encode(plain).decode())
            else:
                row.append(part)
        return tuple(row)

    def from_row(self, row: Sequence[Any]) -> T:
        """Return the value of a row, given in the order of ``columns``.

        Raises:
            msgspec.ValidationError, msgspec.DecodeError: Somebody wrote what no snapenv writes.
        """
        cells = iter(
            read_json(cell, Any) if column.is_json and cell is not None else cell
            for column, cell in zip(self.columns, row, strict=True)
        )
        fields = {
            name: [next(cells) for _ in BUCKET_COLUMNS] if name == "buckets" else next(cells)
            for name in self.kind.__struct_fields__
        }
        return msgspec.convert(fields, self.kind)


RUN = Table(
    name="run", kind=UsageRun, key=("key",), indexes=("run", "started_ms", "ended_ms"), newer="rev"
)
RUN_GPU = Table(name="run_gpu", kind=RunGpu, key=("key", "gpu", "month"), indexes=("month",))
EVENT = Table(name="event", kind=UsageEvent, key=("id",), indexes=("key", "at_ms"))
CORRECTION = Table(name="correction", kind=Correction, key=("id",), indexes=("month",))
MACHINE_GPU = Table(name="machine_gpu", kind=MachineGpu, key=("host", "gpu"))
EPOCH = Table(name="epoch", kind=EpochRow, key=("key", "attempt", "epoch"), indexes=("at_ms",))
BEAT = Table(name="beat", kind=Beat, key=("key",))

SHARED: tuple[Table[Any], ...] = (RUN, RUN_GPU, EVENT, CORRECTION, MACHINE_GPU)
"""What a team's ledger has too, in the order in which it is handed over: runs come first."""

LOCAL: tuple[Table[Any], ...] = (EPOCH, BEAT)
"""What stays on its own machine, beside the samples."""

TABLES: dict[str, Table[Any]] = {table.name: table for table in (*SHARED, *LOCAL)}


@functools.cache
def _upsert(name: str, mark: str) -> str:
    table = TABLES[name]
    names = [column.name for column in table.columns]
    values = ", ".join(f"{name} = excluded.{name}" for name in names if name not in table.key)
    where = f" where excluded.{table.newer} > {table.name}.{table.newer}" if table.newer else ""
    return (
        f"insert into {table.name} ({table.names}) values ({', '.join(mark for _ in names)})"  # noqa: S608 - own names
        f" on conflict ({', '.join(table.key)}) do update set {values}{where}"
    )


@functools.cache
def _columns(kind: type[Struct]) -> tuple[Column, ...]:
    columns: list[Column] = []
    for field in msgspec.structs.fields(kind):
        if field.name == "buckets":
            columns += (Column(name, "bigint", False, False) for name in BUCKET_COLUMNS)  # noqa: FBT003
            continue
        options = get_args(field.type) if _is_union(field.type) else (field.type,)
        (plain,) = (option for option in options if option is not type(None))
        stored = str if get_origin(plain) is Literal else plain
        columns.append(
            Column(
                name=_RENAMED.get(field.name, field.name),
                sql=_SQL.get(stored, "text"),
                is_json=stored not in _SQL,
                is_nullable=type(None) in options,
            )
        )
    return tuple(columns)


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (types.UnionType, Union)


def _declared(column: Column) -> str:
    return f"{column.name} {column.sql}" + ("" if column.is_nullable else " not null")


def _storable(part: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(part, str):
        return part.encode(errors="surrogatepass").decode(errors="replace").replace("\0", "\ufffd")
    if isinstance(part, (list, tuple)):
        return [_storable(item) for item in part]
    if isinstance(part, dict):
        return {name: _storable(item) for name, item in part.items()}
    return part
