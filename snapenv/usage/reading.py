"""What is read of this machine's ledger and of a team's alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from snapenv.usage.tables import CORRECTION, EVENT, MACHINE_GPU, RUN, RUN_GPU, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from snapenv.model.usage import Correction, MachineGpu, RunGpu, UsageEvent, UsageRun

T = TypeVar("T", bound=Struct)


class SharedReading(ABC):
    """Questions to a ledger that do not depend on the database that holds it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or the connection."""

    @abstractmethod
    def _read(self, table: Table[T], where: str, values: Sequence[object] = ()) -> tuple[T, ...]:
        """Return the values of a table; ``where`` has a question mark for each of ``values``."""

    def run(self, key: str) -> UsageRun | None:
        """Return a run by its key."""
        return self._read_one(RUN, "where key = ?", (key,))

    def find_run(self, run: str) -> UsageRun | None:
        """Return a run by its id, the latest where several machines have one of that id."""
        return self._read_one(RUN, "where run = ? order by started_ms desc limit 1", (run,))

    def open_runs(self) -> tuple[UsageRun, ...]:
        """Return the runs without an end, in the order in which they started."""
        return self._read(RUN, "where ended_ms is null order by started_ms, key")

    def runs(self, since_ms: int, until_ms: int) -> tuple[UsageRun, ...]:
        """Return the runs that went on in a time, in the order in which they started.

        ``until_ms`` is exclusive. A run without an end still goes on.
        """
        where = (
            "where started_ms < ? and (ended_ms is null or ended_ms > ? or started_ms >= ?)"
            " order by started_ms, key"
        )
        return self._read(RUN, where, (until_ms, since_ms, since_ms))

    def trainings(self, limit: int) -> tuple[UsageRun, ...]:
        """Return the latest trainings that have ended, in the order in which they started."""
        where = (
            "where training is not null and ended_ms is not null order by started_ms desc, key"
            " limit ?"
        )
        return self._read(RUN, where, (limit,))[::-1]

    def run_gpus(self, first_month: str, last_month: str) -> tuple[RunGpu, ...]:
        """Return what GPUs did from one month to another, which is included: ``2026-11``."""
        where = "where month between ? and ? order by month, key, gpu"
        return self._read(RUN_GPU, where, (first_month, last_month))

    def run_gpus_of(self, key: str) -> tuple[RunGpu, ...]:
        """Return what the GPUs of a run did, by month and GPU."""
        return self._read(RUN_GPU, "where key = ? order by month, gpu", (key,))

    def corrections(self, first_month: str, last_month: str) -> tuple[Correction, ...]:
        """Return the corrections of months, the last included, in the order of their making."""
        where = "where month between ? and ? order by at_ms, id"
        return self._read(CORRECTION, where, (first_month, last_month))

    def events(self, since_ms: int, until_ms: int) -> tuple[UsageEvent, ...]:
        """Return the events of a time, in their order; ``until_ms`` is exclusive."""
        where = "where at_ms >= ? and at_ms < ? order by at_ms, id"
        return self._read(EVENT, where, (since_ms, until_ms))

    def events_of(self, key: str) -> tuple[UsageEvent, ...]:
        """Return the events of a run, in their order."""
        return self._read(EVENT, "where key = ? order by at_ms, id", (key,))

    def machine_gpus(self) -> tuple[MachineGpu, ...]:
        """Return the GPUs that machines have had, by host and UUID."""
        return self._read(MACHINE_GPU, "order by host, gpu")

    def _read_one(self, table: Table[T], where: str, values: Sequence[object]) -> T | None:
        return next(iter(self._read(table, where, values)), None)
