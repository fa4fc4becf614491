"""What ``snapenv usage top`` answers: what runs on this machine now, and how well it uses GPUs."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.outcome import Result
from snapenv.model.usage import UtilSource


class TopGpu(Struct, frozen=True, kw_only=True):
    """A GPU of a run, as it was at the last look."""

    uuid: str  # of a MIG instance its own
    model: str  # as the driver names it
    utilization: int | None  # percent, since the look before; None where it is not known
    util_source: UtilSource | None  # what it was measured by
    memory_bytes: int | None  # in use
    power_mw: int | None  # milliwatts
    temperature_c: int | None  # degrees Celsius
    seen_ms: int | None  # when that was, in milliseconds since 1970; None for never yet
    density: float | None  # share of the time so far above 70 % utilisation, 0 to 1


class TopRun(Struct, frozen=True, kw_only=True):
    """A run that goes on."""

    run: str  # its id
    kind: str  # "run", "shell", "up" or "verify"
    user: str  # the login name, or the pseudonym in its place
    project: str | None  # that it is for
    purpose: str | None  # what it is for
    model: str | None  # as declared, else that of the training
    tag: str | None  # of the environment
    started_ms: int  # milliseconds since 1970
    elapsed_ms: int  # milliseconds since then
    epoch: int | None  # the last one that is finished; None where no training was seen
    epochs: int | None  # asked for
    remaining_ms: int | None  # of its epochs, by those before but the first; None before two
    loss: float | None  # of that epoch: the sum of all train/*
    cost: int | None  # so far, in millionths of the currency; None without a price
    gpus: tuple[TopGpu, ...]  # none where it uses none


class TopResult(Result, Struct, frozen=True, kw_only=True):
    """Runs, the oldest first."""

    at_ms: int  # when it was so, in milliseconds since 1970
    currency: str | None  # of the price list; None without one
    runs: tuple[TopRun, ...]  # that go on, on this machine
