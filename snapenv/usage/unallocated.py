"""The GPUs that there are, and the time of them that nobody had. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.model.usage import HOUR_MS, MachineGpu
from snapenv.usage.pieces import Line, Piece
from snapenv.usage.prices import fleet_on, model_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snapenv.usage.charges import Charge
    from snapenv.usage.prices import PriceList, Rates


class Machines(Struct, frozen=True):
    """What is known of the GPUs that there are."""

    gpus: tuple[MachineGpu, ...]
    whole: bool = True  # the charges are of everybody


class ModelTime(Struct, frozen=True, kw_only=True):
    """The GPUs of one model in a month."""

    model: str
    gpus: int
    capacity_ms: int
    charged_ms: int
    lines: tuple[Line, ...] = ()  # of what nobody had
    unallocated_cost: int | None = None  # of that; None without prices

    @property
    def unallocated_ms(self) -> int:
        """Return the time that nobody had."""
        return self.capacity_ms - self.charged_ms

    @property
    def list_cost(self) -> int:
        """Return what that costs by the price list."""
        return sum(line.list_cost for line in self.lines)


def sizes_of(
    prices: PriceList | None, machines: Machines, pieces: Sequence[Piece]
) -> Sequence[Mapping[str, tuple[int, int]]]:
    """Return for each piece the GPUs of each model and their time, by the list if that says so."""
    if prices and any(fleet_on(prices, piece.day) for piece in pieces):
        return [_fleet(prices, piece) for piece in pieces]
    return [_present(machines.gpus, piece) for piece in pieces]


def _fleet(prices: PriceList, piece: Piece) -> dict[str, tuple[int, int]]:
    """Return how many GPUs of each model are paid in a piece, and their time."""
    span_ms = piece.end_ms - piece.begin_ms
    return {model: (n, n * span_ms) for model, n in fleet_on(prices, piece.day).items()}


def _present(machine_gpus: Iterable[MachineGpu], piece: Piece) -> dict[str, tuple[int, int]]:
    """Return how many GPUs of each model machines had in a piece, and their time."""
    present: dict[str, tuple[int, int]] = {}
    for gpu in machine_gpus:
        begin, end = max(gpu.first_ms, piece.begin_ms), min(gpu.last_ms, piece.end_ms)
        if end > begin or piece.begin_ms <= gpu.first_ms < piece.end_ms:
            number, span_ms = present.get(gpu.model, (0, 0))
            present[gpu.model] = number + 1, span_ms + max(0, end - begin)
    return present


def model_times(
    charges: Sequence[Charge],
    parts: Sequence[Sequence[int]],
    pieces: Sequence[Piece],
    sizes: Sequence[Mapping[str, tuple[int, int]]],
    rates: Rates | None,
) -> tuple[ModelTime, ...]:
    """Return each model's time; runs had at least what they are charged for."""
    charged = [defaultdict[str, int](int) for _ in pieces]
    uuids = defaultdict[str, set[str | None]](set)
    for charge, part in zip(charges, parts, strict=True):
        uuids[charge.gpu_model].add(charge.gpu)
        for of_piece, time_ms in zip(charged, part, strict=True):
            of_piece[charge.gpu_model] += time_ms
    names = _same_names(uuids, sizes)
    times = []
    for model in sorted({*uuids, *names.values()}):
        uuids[model].discard(None)
        gpus, capacity_ms = len(uuids[model]), 0
        lines = []
        for piece, had, size in zip(pieces, charged, sizes, strict=True):
            of_model = [amount for name, amount in size.items() if names[name] == model]
            gpus = max(gpus, sum(number for number, _ in of_model))
            whole_ms = max(had[model], sum(span_ms for _, span_ms in of_model))
            capacity_ms += whole_ms
            if whole_ms > had[model]:
                lines.append(_line(model, piece, whole_ms - had[model], rates))
        times.append(
            ModelTime(
                model=model,
                gpus=gpus,
                capacity_ms=capacity_ms,
                charged_ms=sum(of_piece[model] for of_piece in charged),
                lines=tuple(lines),
            )
        )
    return tuple(times)


def _line(model: str, piece: Piece, quantity_ms: int, rates: Rates | None) -> Line:
    per_hour = rates.gpu(model, piece.day) if rates else 0
    return Line(
        kind="gpu",
        model=model,
        since_ms=piece.begin_ms,
        until_ms=piece.end_ms,
        quantity=quantity_ms,
        unit_price=per_hour,
        list_cost=round(per_hour * quantity_ms / HOUR_MS),
    )


def _same_names(
    charged: Iterable[str], sizes: Iterable[Mapping[str, tuple[int, int]]]
) -> dict[str, str]:
    """Return for each name of a model that of the driver, which a list may have shortened."""
    of_drivers = {model_key(name): name for name in charged}
    written = (name for size in sizes for name in size)
    return {name: of_drivers.setdefault(model_key(name), name) for name in written}
