"""What a run may last and cost, from what a user asks for and the price list."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import UsageError
from snapenv.model.launch import Limits
from snapenv.model.usage import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.launch import Launch, LimitOptions
    from snapenv.ports import Services


def choose_limits(
    options: LimitOptions, launch: Launch, services: Services, *, earlier: Limits | None = None
) -> Limits:
    """Return the limits of a run; ``earlier`` are those of the run that it continues.

    A cost is turned into the time after which the run's GPUs have cost as much, by today's prices.

    Raises:
        PriceListError: The price list cannot be read, or has no price for a GPU.
        UsageError: A cost cannot be told: there is no price list, or the GPUs are not known.
    """
    before = earlier or Limits()
    hours_ms = options.max_hours and round(options.max_hours * HOUR_MS)
    limits = Limits(
        stop_rule=options.stop_rule or before.stop_rule,
        min_improvement=options.min_improvement or before.min_improvement,
        max_duration_ms=hours_ms or before.max_duration_ms,
        max_cost=before.max_cost,
        currency=before.currency,
        cost_duration_ms=before.cost_duration_ms,
        notify=options.notify or before.notify,
    )
    return _with_cost(limits, options.max_cost, options.prices, launch, services)


def _with_cost(
    limits: Limits, max_cost: int | None, path: Path | None, launch: Launch, services: Services
) -> Limits:
    if max_cost is None:
        return limits
    from msgspec.structs import replace

    from snapenv.steps.price_list import find_prices
    from snapenv.usage.prices import gpu_price

    prices, today = find_prices(path, Path.cwd()), datetime.now(timezone.utc).date()
    if prices is None:
        raise UsageError(
            "--max-cost needs a price list",
            hint="Name one: --prices FILE.toml; see docs/usage.md.",
        )
    an_hour = sum(gpu_price(prices, model, today) for model in _models(launch, services))
    return replace(
        limits,
        max_cost=max_cost,
        currency=prices.currency,
        cost_duration_ms=max_cost * HOUR_MS // an_hour if an_hour else None,
    )


def _models(launch: Launch, services: Services) -> Iterator[str]:
    """Return the model of each GPU of a run.

    Raises:
        UsageError: It has none, or this machine does not know one of them.
    """
    if launch.gpus is None:
        raise UsageError(
            "--max-cost counts GPU hours, and the run gets no GPU",
            hint="Use --max-hours in its place.",
        )
    models = {gpu.uuid: gpu.name for gpu in services.gpus()}
    for uuid in launch.gpu_uuids or ("",):
        model = models.get(uuid)
        if model is None:
            raise UsageError(
                f"what {uuid or 'a GPU of another machine'} costs cannot be told: its model is "
                "not known",
                hint="Use --max-hours in its place.",
            )
        yield model
