"""Runs that other schedulers ran, as the ledger takes them: each import gives the same keys."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.image import ImageRef
from snapenv.model.usage import RunGpu, UsageRun
from snapenv.usage.sampling import of_both

if TYPE_CHECKING:
    from collections.abc import Iterable

_OF_SNAPENV = UUID("7c4d1c52-6b9c-5e8e-9d6a-3d3f0a6f9b41")


class ImportedRun(Struct, frozen=True, kw_only=True):
    """A run and what its GPUs did, by GPU and month."""

    run: UsageRun
    gpus: tuple[RunGpu, ...] = ()
    scheduler: str | None = None  # as promql.RUN_GPUS has it, of a run that Prometheus has seen


def imported_key(cluster: str, run: str) -> str:
    """Return the key of a run of another scheduler: the same at each import."""
    return str(uuid5(_OF_SNAPENV, f"{cluster}\n{run}"))


def find_news(run: UsageRun, known: UsageRun | None) -> UsageRun | None:
    """Return a run as its next revision; None where the ledger knows all of it."""
    if known is None:
        return run
    revised = replace(run, rev=known.rev + 1)
    return revised if replace(revised, rev=known.rev) != known else None


def parse_image(name: str | None) -> ImageRef:
    """Read the name of an image; of another text nothing is known."""
    try:
        return ImageRef.parse(name or "")
    except ValueError:
        return ImageRef(repository="")


def summed(rows: Iterable[RunGpu]) -> tuple[RunGpu, ...]:
    """Add up rows of the same run, GPU and month, in the order of month and GPU."""
    sums = dict[tuple[str, str, str], RunGpu]()
    for row in rows:
        at = (row.month, row.gpu, row.key)
        sums[at] = _plus(sums[at], row) if at in sums else row
    return tuple(sums[at] for at in sorted(sums))


def _plus(row: RunGpu, other: RunGpu) -> RunGpu:
    return replace(
        row,
        allocated_ms=row.allocated_ms + other.allocated_ms,
        covered_ms=row.covered_ms + other.covered_ms,
        buckets=tuple(map(sum, zip(row.buckets, other.buckets, strict=True))),
        util_source=other.util_source or row.util_source,
        energy_mj=of_both(sum, row.energy_mj, other.energy_mj),
        memory_peak_bytes=of_both(max, row.memory_peak_bytes, other.memory_peak_bytes),
        power_peak_mw=of_both(max, row.power_peak_mw, other.power_peak_mw),
    )
