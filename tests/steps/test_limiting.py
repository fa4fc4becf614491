"""Limits of a run, from options, prices and the GPUs that it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import PriceListError, UsageError
from snapenv.model.launch import Gpu, InImage, Launch, LimitOptions, Limits
from snapenv.steps.limiting import choose_limits
from tests.workflows.services import services

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000
PRICES = """\
currency = "EUR"
[[gpu]]
model = "NVIDIA H200"
from = 2020-01-01
per_hour = 3.00
[[gpu]]
model = "NVIDIA L4"
from = 2020-01-01
per_hour = 1.50
[[gpu]]
model = "NVIDIA T4"
from = 2020-01-01
until = 2021-01-01
per_hour = 1.00
"""
GPUS = (
    Gpu(number=0, uuid="GPU-a", name="NVIDIA H200"),
    Gpu(number=1, uuid="GPU-b", name="NVIDIA L4"),
    Gpu(number=2, uuid="GPU-c", name="NVIDIA T4"),
    Gpu(number=3, uuid="GPU-d"),
)
LAUNCH = Launch(
    run="run",
    place=InImage(id="sha256:a", name="tag"),
    argv=("train",),
    gpus="0,1",
    gpu_uuids=("GPU-a", "GPU-b"),
)
OUTSIDE = replace(services(), gpus=lambda: GPUS)


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return path


def test_a_cost_is_the_time_in_which_all_gpus_of_the_run_cost_it(prices: Path) -> None:
    asked = LimitOptions(max_cost=9_000_000, prices=prices)

    assert choose_limits(asked, LAUNCH, OUTSIDE) == Limits(
        max_cost=9_000_000, currency="EUR", cost_duration_ms=2 * HOUR_MS
    )


def test_a_run_that_continues_another_has_its_limits_but_for_what_is_asked_now(
    prices: Path,
) -> None:
    earlier = Limits(
        stop_rule="warn",
        min_improvement=0.01,
        max_duration_ms=HOUR_MS,
        max_cost=1,
        currency="USD",
        cost_duration_ms=5,
        notify="true",
    )

    same = choose_limits(LimitOptions(), LAUNCH, OUTSIDE, earlier=earlier)
    other = LimitOptions(
        stop_rule="off",
        min_improvement=0.02,
        max_hours=0.5,
        max_cost=4_500_000,
        notify="false",
        prices=prices,
    )

    assert same == earlier
    assert choose_limits(other, LAUNCH, OUTSIDE, earlier=earlier) == Limits(
        stop_rule="off",
        min_improvement=0.02,
        max_duration_ms=HOUR_MS // 2,
        max_cost=4_500_000,
        currency="EUR",
        cost_duration_ms=HOUR_MS,
        notify="false",
    )


@pytest.mark.parametrize(
    ("launch", "named"),
    [
        (replace(LAUNCH, gpus=None, gpu_uuids=()), "the run gets no GPU"),
        (replace(LAUNCH, gpu_uuids=("GPU-d",)), "GPU-d"),
        (replace(LAUNCH, gpu_uuids=("MIG-1",)), "MIG-1"),
        (replace(LAUNCH, gpu_uuids=()), "another machine"),
    ],
)
def test_a_cost_that_cannot_be_told_is_refused(prices: Path, launch: Launch, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        choose_limits(LimitOptions(max_cost=1, prices=prices), launch, OUTSIDE)


def test_a_cost_without_prices_is_refused(prices: Path) -> None:
    with pytest.raises(UsageError) as caught:
        choose_limits(LimitOptions(max_cost=1), LAUNCH, OUTSIDE)

    assert str(caught.value) == wording("--max-cost needs a price list")
    with pytest.raises(PriceListError, match="no price for NVIDIA T4"):
        choose_limits(
            LimitOptions(max_cost=1, prices=prices), replace(LAUNCH, gpu_uuids=("GPU-c",)), OUTSIDE
        )


def test_gpus_that_cost_nothing_set_no_limit(prices: Path) -> None:
    prices.write_text(PRICES.replace("3.00", "0.0").replace("1.50", "0.0"))

    limits = choose_limits(LimitOptions(max_cost=1, prices=prices), LAUNCH, OUTSIDE)

    assert limits.cost_duration_ms is None
