from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import Operator
from snapenv.model.outcome import Check
from snapenv.verify.fingerprint import (
    Match,
    afterwards_check,
    compare_fingerprints,
    fingerprint_check,
    tier_limits,
)
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
    """Return the losses with one of them changed relatively; steps count from 1."""
    return tuple(
        loss * (1 + by) if number == step else loss for number, loss in enumerate(LOSSES, start=1)
    )


def tier(expected: Fingerprint, actual: Fingerprint, *, same_packages: bool = True) -> str:
    return compare_fingerprints(expected, actual, same_packages=same_packages).tier


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
    captured, again = fingerprint(device=H200), fingerprint(moved(step, by), device=seen_on)

    assert tier(captured, again) == expected


def test_the_same_losses_of_another_gpu_model_are_close_and_not_identical() -> None:
    assert tier(fingerprint(device=H200), fingerprint(device=A100)) == "close"


def test_the_same_losses_of_cpu_and_gpu_are_of_another_device() -> None:
    assert tier(fingerprint(), fingerprint(device=H200)) == "other device"


@pytest.mark.parametrize("tf32", [(True, False), (False, True)])
def test_another_device_with_tf32_is_different(tf32: tuple[bool, bool]) -> None:
    expected, actual = fingerprint(device=H200, tf32=tf32[0]), fingerprint(tf32=tf32[1])

    assert tier(expected, actual) == "different"


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
    actual = fingerprint(
        device=H200,
        torch="2.6.0",
        threads=2,
        albumentations="2.0.8",
        arguments={"imgsz": "64", "lr0": "0.1", "seed": "0"},
        images_sha256="0" * 64,
    )

    match = compare_fingerprints(fingerprint(), actual, same_packages=True)

    assert tuple(map(str, match.differing)) == (
        wording("device cpu → NVIDIA H200"),
        "threads 1 → 2",
        "torch 2.11.0+cu130 → 2.6.0",
        "albumentations absent → 2.0.8",
        "lr0 absent → 0.1",
        wording('optimizer "SGD" → absent'),
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
    first, second = fingerprint(values, two[0]), fingerprint(changed, two[1])

    forth = compare_fingerprints(first, second, same_packages=True)
    back = compare_fingerprints(second, first, same_packages=True)

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
    actual = fingerprint(values, device, ultralytics="8.4.189")

    assert tier(fingerprint(values), actual, same_packages=same_packages) == "different"


def test_the_check_of_identical_losses_holds_and_needs_no_fix() -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(), same_packages=True)

    assert fingerprint_check(match) == Check(
        id="fingerprint",
        ok=True,
        expected=wording("every loss bit for bit"),
        actual=wording("identical: all 3 losses are the same"),
        part="workload",
    )


def test_the_check_of_close_losses_says_where_and_by_how_much() -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(moved(2, 3e-7)), same_packages=True)

    check = fingerprint_check(match)

    assert check.ok
    assert check.actual == wording("close: the losses differ from step 2 of 3, by at most 3.0e-07")


def test_the_check_of_a_gpu_says_that_its_tolerances_are_not_measured() -> None:
    match = compare_fingerprints(fingerprint(device=H200), fingerprint(), same_packages=True)

    check = fingerprint_check(match)

    assert check.ok
    assert check.actual == wording(
        "other device: all 3 losses are the same; the tolerances are not yet measured on a GPU"
    )


def test_the_check_of_different_losses_fails_and_names_what_differs() -> None:
    actual = fingerprint(moved(1, 0.5), torch="2.6.0")

    check = fingerprint_check(compare_fingerprints(fingerprint(), actual, same_packages=False))

    assert check == Check(
        id="fingerprint",
        ok=False,
        expected=wording("the losses of the capture"),
        actual=wording("different: the losses differ from step 1 of 3, by at most 3.3e-01"),
        fix=wording("These differ: torch 2.11.0+cu130 → 2.6.0. Restore them as captured."),
    )


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            1,
            wording(
                "No fact differs, and the first loss does: the images, the model or the loss are computed differently. Train again; if it repeats, check the machine."
            ),
        ),
        (
            2,
            wording(
                "No fact differs, and the first loss holds: the backward pass or the optimizer is computed differently. Train again; if it repeats, check the machine."
            ),
        ),
    ],
)
def test_different_losses_under_equal_facts_say_what_the_step_tells(step: int, words: str) -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(moved(step, 0.5)), same_packages=True)

    check = fingerprint_check(match)

    assert (check.part, check.ok) == ("workload", False)
    assert check.fix == words
    assert f"differ from step {step} of 3" in check.actual


def test_facts_that_fail_are_the_likely_cause() -> None:
    edited = Check(
        id="distribution.ultralytics",
        ok=False,
        expected="content 1",
        actual="edited ultralytics/utils/loss.py",
        fix="Reinstall.",
        topic="packages",
        package="ultralytics",
    )
    count = replace(edited, id="distributions", expected="59 packages", package=None)
    slow = replace(count, id="variables", severity="warning", topic="variables")
    frameworks = replace(count, id="frameworks", expected="torch 2.11.0", topic="frameworks")
    match = compare_fingerprints(fingerprint(), fingerprint(moved(1, 0.5)), same_packages=False)

    check = fingerprint_check(match, facts=(count, frameworks, edited, slow))

    assert check.part == "environment"
    assert check.fix == wording(
        "These differ: frameworks, ultralytics content 1 → edited ultralytics/utils/loss.py. "
        "Restore them as captured."
    )


def test_of_many_causes_the_first_are_named() -> None:
    facts = [
        Check(id="", ok=False, expected="1", actual="2", topic="packages", package=f"p{number}")
        for number in range(8)
    ]
    match = compare_fingerprints(fingerprint(), fingerprint(moved(1, 0.5)), same_packages=False)

    fix = fingerprint_check(match, facts=facts).fix or ""

    assert "p4 1 → 2 and 3 more." in fix
    assert "p5" not in fix


def test_another_device_alone_puts_the_cause_on_the_host() -> None:
    actual = fingerprint(moved(1, 0.5), device=H200)

    check = fingerprint_check(compare_fingerprints(fingerprint(), actual, same_packages=True))

    assert (check.ok, check.part) == (False, "host")


@pytest.mark.parametrize("change", [{"threads": 2}, {"tf32": True}], ids=["threads", "tf32"])
def test_what_the_smoke_train_sets_itself_is_different_where_something_undid_it(
    change: dict[str, Any],
) -> None:
    match = compare_fingerprints(fingerprint(), fingerprint(**change), same_packages=True)

    check = fingerprint_check(match)

    assert (match.tier, check.part) == ("different", "environment")
    assert next(iter(change)) in (check.fix or "")


def test_a_tier_gives_the_limits_that_it_was_judged_by() -> None:
    assert tier_limits("close") == (1e-6, 1e-4)
    assert tier_limits("other device") == (1e-3, 5e-2)
    assert tier_limits("identical") is tier_limits("different") is None


WEIGHTS = (
    "UnpicklingError: Weights only load failed in /tmp/a1/best.pt. "
    "Unsupported global: ultralytics.nn.tasks.DetectionModel"
)
OPERATORS = (Operator(name="matmul fp32", sha256="1"),)


def after(failure: str | None, *, operators: tuple[Operator, ...] = OPERATORS) -> Fingerprint:
    return replace(fingerprint(), afterwards=failure, operators=operators)


def test_nothing_is_said_where_all_went_well_after_training() -> None:
    assert afterwards_check(after(None), after(None)) is None


def test_the_failure_of_the_capture_is_a_warning_with_words_of_its_own() -> None:
    again = WEIGHTS.replace("/tmp/a1", "/opt/b2")

    check = afterwards_check(after(WEIGHTS), after(again))

    assert check
    assert (check.ok, check.fails, check.part) == (False, False, "workload")
    assert check.actual == wording(
        "training itself works, what follows it fails as it did at the capture: UnpicklingError: Weights only load failed in /opt/b2/best.pt. Unsupported global: ultralytics.nn.tasks.DetectionModel (torch 2.6 and newer loads weights only by default, which ultralytics before 8.3 lacks)"
    )


def test_a_new_failure_is_an_error_of_the_workload_with_its_cause() -> None:
    check = afterwards_check(after(None), after(WEIGHTS))

    assert check
    assert (check.fails, check.part) == (True, "workload")
    assert check.actual == wording(
        "UnpicklingError: Weights only load failed in /tmp/a1/best.pt. Unsupported global: ultralytics.nn.tasks.DetectionModel (torch 2.6 and newer loads weights only by default, which ultralytics before 8.3 lacks)"
    )
    assert check.fix == wording("Use ultralytics 8.3 or newer, or a torch before 2.6.")


def test_another_failure_than_that_of_the_capture_is_new() -> None:
    check = afterwards_check(after(WEIGHTS), after("KeyError: 'names'"))

    assert check
    assert check.fails
    assert check.actual == "KeyError: 'names'"
    assert check.fix == wording(
        "Train for one epoch in this environment yourself, and read the whole error."
    )


@pytest.mark.parametrize(
    ("failure", "fix"),
    [
        (
            "RuntimeError: operator torchvision::nms does not exist",
            wording("Install both from one index, in one command."),
        ),
        (
            "AttributeError: module 'numpy' has no attribute 'trapz'",
            wording("Use a NumPy that was current for that ultralytics."),
        ),
        (
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
            wording("Free the GPU's memory: see what nvidia-smi lists."),
        ),
        (
            "OSError: [Errno 28] No space left on device",
            wording(
                "Free some space: df -h; in a container /dev/shm and /tmp too, or give it --shm-size 1g."
            ),
        ),
    ],
)
def test_known_failures_after_training_are_told_with_their_fix(failure: str, fix: str) -> None:
    check = afterwards_check(after(None), after(failure))

    assert check
    assert check.fix == fix


def test_a_failure_that_an_older_capture_did_not_look_for_is_a_warning() -> None:
    check = afterwards_check(after(None, operators=()), after(WEIGHTS))

    assert check
    assert (check.ok, check.severity) == (False, "warning")


def test_what_failed_at_the_capture_and_works_now_holds() -> None:
    check = afterwards_check(after(WEIGHTS), after(None))

    assert check
    assert (check.ok, check.fix) == (True, None)
