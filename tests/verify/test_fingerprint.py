from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.model.outcome import Check
from snapenv.verify.fingerprint import Match, compare_fingerprints, fingerprint_check
from tests.samples import sample_fingerprint

if TYPE_CHECKING:
    from snapenv.model.fingerprint import Fingerprint

H200 = "NVIDIA H200"
A100 = "NVIDIA A100-SXM4-80GB"
LOSSES = (60.5, 59.75, 61.25)
RANK = ("identical", "close", "other device", "different")

devices = st.sampled_from(["cpu", H200, A100])
losses = st.lists(st.floats(min_value=1e-3, max_value=1e6), min_size=1, max_size=12)
factors = st.sampled_from([0.0, 1e-16, 1e-9, 5e-7, 1e-5, 1e-3, 1e-2, 0.5, math.nan, math.inf])


def fingerprint(
    values: tuple[float, ...] | list[float] = LOSSES,
    device: str = "cpu",
    **conditions: Any,  # noqa: ANN401 - fields of several types
) -> Fingerprint:
    made = sample_fingerprint(values, device=device)
    return replace(made, conditions=replace(made.conditions, cudnn=91_900, **conditions))


def moved(step: int, by: float) -> tuple[float, ...]:
    """Give the losses with one of them changed relatively; steps count from 1."""
    return tuple(
        loss * (1 + by) if number == step else loss for number, loss in enumerate(LOSSES, start=1)
    )


def tier(expected: Fingerprint, seen: Fingerprint, *, same_packages: bool = True) -> str:
    return compare_fingerprints(expected, seen, same_packages=same_packages).tier


@pytest.mark.parametrize("device", ["cpu", H200])
def test_every_loss_bit_for_bit_is_identical(device: str) -> None:
    match = compare_fingerprints(
        fingerprint(device=device), fingerprint(device=device), same_packages=True
    )

    assert match == Match(
        tier="identical",
        steps=3,
        first_differing_step=None,
        largest_relative_difference=0.0,
        differing=(),
        on_gpu=device != "cpu",
    )


def test_one_last_bit_is_no_longer_identical() -> None:
    last_bit = (*LOSSES[:2], math.nextafter(LOSSES[2], math.inf))

    match = compare_fingerprints(fingerprint(), fingerprint(last_bit), same_packages=True)

    assert (match.tier, match.first_differing_step) == ("close", 3)
    assert 0 < match.largest_relative_difference < 1e-15


@pytest.mark.parametrize(
    ("step", "by", "expected"),
    [(1, 9e-7, "close"), (1, 2e-6, "different"), (2, 9e-5, "close"), (2, 2e-4, "different")],
)
def test_close_is_stricter_at_the_first_step(step: int, by: float, expected: str) -> None:
    assert tier(fingerprint(), fingerprint(moved(step, by))) == expected


@pytest.mark.parametrize("seen_on", ["cpu", A100])
@pytest.mark.parametrize(
    ("step", "by", "expected"),
    [
        (1, 9e-4, "other device"),
        (1, 2e-3, "different"),
        (3, 4e-2, "other device"),
        (3, 6e-2, "different"),
    ],
)
def test_another_device_may_differ_more(seen_on: str, step: int, by: float, expected: str) -> None:
    here, there = fingerprint(device=H200), fingerprint(moved(step, by), device=seen_on)

    assert tier(here, there) == expected


def test_the_same_losses_of_another_gpu_model_are_close_and_not_identical() -> None:
    assert tier(fingerprint(device=H200), fingerprint(device=A100)) == "close"


def test_the_same_losses_of_cpu_and_gpu_are_of_another_device() -> None:
    assert tier(fingerprint(), fingerprint(device=H200)) == "other device"


@pytest.mark.parametrize("tf32", [(True, False), (False, True)])
def test_another_device_with_tf32_is_different(tf32: tuple[bool, bool]) -> None:
    here, there = fingerprint(device=H200, tf32=tf32[0]), fingerprint(tf32=tf32[1])

    assert tier(here, there) == "different"


def test_the_same_losses_with_other_packages_are_different() -> None:
    assert tier(fingerprint(), fingerprint(), same_packages=False) == "different"


@pytest.mark.parametrize("name", ["torch", "numpy", "opencv", "albumentations"])
def test_a_package_among_the_conditions_takes_the_same_packages_back(name: str) -> None:
    changed: dict[str, Any] = {name: "0.1"}

    assert tier(fingerprint(), fingerprint(**changed)) == "different"


@pytest.mark.parametrize(
    "change",
    [
        {"ultralytics": "8.3.0"},
        {"images_sha256": "0" * 64},
        {"arguments": {"imgsz": "64", "optimizer": '"SGD"', "seed": "1"}},
    ],
    ids="".join,
)
@pytest.mark.parametrize("device", ["cpu", A100])
def test_losses_of_another_training_are_different(change: dict[str, Any], device: str) -> None:
    assert tier(fingerprint(), fingerprint(device=device, **change)) == "different"


def test_each_condition_that_differs_is_named_with_both_values() -> None:
    seen = fingerprint(
        device=H200,
        torch="2.6.0",
        threads=2,
        albumentations="2.0.8",
        arguments={"imgsz": "64", "lr0": "0.1", "seed": "0"},
        images_sha256="0" * 64,
    )

    match = compare_fingerprints(fingerprint(), seen, same_packages=True)

    assert match.differing == (
        "device cpu → NVIDIA H200",
        "threads 1 → 2",
        "torch 2.11.0+cu130 → 2.6.0",
        "albumentations absent → 2.0.8",
        "lr0 absent → 0.1",
        'optimizer "SGD" → absent',
        f"images {fingerprint().conditions.images_sha256[:12]} → 000000000000",
    )


@pytest.mark.parametrize("fewer", [0, 1, 2])
def test_another_number_of_steps_is_different(fewer: int) -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(LOSSES[:fewer]), same_packages=True)

    assert (match.tier, match.steps, match.first_differing_step) == ("different", 3, fewer + 1)
    assert match.largest_relative_difference == math.inf


def test_two_trainings_without_a_step_prove_nothing() -> None:
    match = compare_fingerprints(fingerprint(()), fingerprint(()), same_packages=True)

    assert (match.tier, match.steps) == ("different", 0)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("device", ["cpu", H200])
def test_a_loss_that_is_not_finite_is_different_even_from_itself(
    broken: float, device: str
) -> None:
    both = (LOSSES[0], broken, LOSSES[2])

    match = compare_fingerprints(fingerprint(both), fingerprint(both, device), same_packages=True)

    assert (match.tier, match.largest_relative_difference) == ("different", math.inf)


def test_losses_of_zero_and_of_opposite_signs_are_compared() -> None:
    match = compare_fingerprints(
        fingerprint((0.0, 0.0, 1.0)), fingerprint((0.0, -0.0, -1.0)), same_packages=True
    )

    assert (match.tier, match.first_differing_step) == ("different", 2)
    assert match.largest_relative_difference == 2.0


@given(values=losses, device=devices)
def test_a_fingerprint_is_identical_to_itself(values: list[float], device: str) -> None:
    assert tier(fingerprint(values, device), fingerprint(values, device)) == "identical"


@given(
    values=losses, by=st.lists(factors, min_size=12, max_size=12), two=st.tuples(devices, devices)
)
def test_which_fingerprint_comes_first_is_no_matter(
    values: list[float], by: list[float], two: tuple[str, str]
) -> None:
    changed = [loss * (1 + factor) for loss, factor in zip(values, by, strict=False)]
    here, there = fingerprint(values, two[0]), fingerprint(changed, two[1])

    forth = compare_fingerprints(here, there, same_packages=True)
    back = compare_fingerprints(there, here, same_packages=True)

    assert replace(forth, differing=()) == replace(back, differing=())
    assert len(forth.differing) == len(back.differing)


@given(
    values=losses,
    by=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    step=st.integers(0, 11),
    two=st.tuples(devices, devices),
)
def test_a_larger_difference_never_gives_a_better_tier(
    values: list[float], by: list[float], step: int, two: tuple[str, str]
) -> None:
    near, far = (
        [loss * (1 + more * (number == step % len(values))) for number, loss in enumerate(values)]
        for more in by
    )

    nearer = tier(fingerprint(values, two[0]), fingerprint(near, two[1]))
    farther = tier(fingerprint(values, two[0]), fingerprint(far, two[1]))

    assert RANK.index(nearer) <= RANK.index(farther)


@given(values=losses, device=devices, same_packages=st.booleans())
def test_another_ultralytics_is_never_better_than_different(
    values: list[float], device: str, *, same_packages: bool
) -> None:
    seen = fingerprint(values, device, ultralytics="8.4.189")

    assert tier(fingerprint(values), seen, same_packages=same_packages) == "different"


def test_the_check_of_identical_losses_holds_and_needs_no_fix() -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(), same_packages=True)

    assert fingerprint_check(match) == Check(
        id="fingerprint",
        ok=True,
        expected="every loss bit for bit",
        seen="identical: all 3 losses are the same",
    )


def test_the_check_of_close_losses_says_where_and_by_how_much() -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(moved(2, 3e-7)), same_packages=True)

    check = fingerprint_check(match)

    assert check.ok
    assert check.seen == "close: the losses part at step 2 of 3, by at most 3.0e-07"


def test_the_check_of_a_gpu_says_that_its_tolerances_are_not_measured() -> None:
    match = compare_fingerprints(fingerprint(device=H200), fingerprint(), same_packages=True)

    check = fingerprint_check(match)

    assert check.ok
    assert check.seen.endswith("; the tolerances are not yet measured on a GPU")


def test_the_check_of_different_losses_fails_and_names_what_differs() -> None:
    seen = fingerprint(moved(1, 0.5), torch="2.6.0")

    check = fingerprint_check(compare_fingerprints(fingerprint(), seen, same_packages=False))

    assert check == Check(
        id="fingerprint",
        ok=False,
        expected="the losses of the capture",
        seen="different: the losses part at step 1 of 3, by at most 3.3e-01",
        fix="These differ: torch 2.11.0+cu130 → 2.6.0. Restore them as captured.",
    )


def test_different_losses_under_equal_conditions_point_to_the_facts_and_the_machine() -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(moved(1, 0.5)), same_packages=True)

    assert fingerprint_check(match).fix == (
        "Look at the packages and variables that differ; if none does, at the machine itself."
    )
