from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import Operator
from snapenv.verify.operators import compare_operator, compare_operators
from tests.samples import sample_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.outcome import Check

H200 = "NVIDIA H200"
NAMES = (
    "matmul fp32",
    "matmul tf32",
    "matmul bf16",
    "convolution fp32",
    "nms fp32",
    "reduction fp32",
)
VALUES = (-100.0, 0.5, 80.0)


def operator(name: str, by: float = 0.0) -> Operator:
    """Return a result of which every value is off by a part of the largest."""
    values = tuple((value + 100.0 * by).hex() for value in VALUES)
    return Operator(name=name, sha256=str(hash(values)), values=values)


def fingerprint(
    by: Mapping[str, float] = {}, *, losses: tuple[float, ...] = (60.5, 59.75), device: str = H200
) -> Fingerprint:
    """Return a fingerprint; ``by`` says by operation how much it is off."""
    assert set(by) <= set(NAMES)
    operators = tuple(operator(name, by.get(name, 0.0)) for name in NAMES)
    return replace(sample_fingerprint(losses, device=device), operators=operators)


def only(checks: tuple[Check, ...]) -> Check:
    (check,) = checks
    return check


def test_identical_operations_hold() -> None:
    check = only(compare_operators(fingerprint(), fingerprint()))

    assert (check.id, check.ok, check.actual, check.fix) == (
        "operators",
        True,
        "all 6 identical",
        None,
    )


@pytest.mark.parametrize("missing", ["expected", "actual"])
def test_of_an_older_baseline_nothing_is_said(missing: str) -> None:
    sides = {"expected": fingerprint(), "actual": fingerprint()}
    sides[missing] = replace(sides[missing], operators=())

    assert compare_operators(sides["expected"], sides["actual"]) == ()


def test_what_one_side_alone_did_is_no_difference() -> None:
    fewer = replace(fingerprint(), operators=fingerprint().operators[:1])

    assert only(compare_operators(fewer, fingerprint())).actual == "all 1 identical"


@pytest.mark.parametrize(
    ("name", "near", "far"),
    [
        ("matmul fp32", 5e-6, 5e-5),
        ("matmul tf32", 1e-3, 1e-2),
        ("matmul bf16", 2e-2, 1e-1),
        ("matmul fp64", 1e-13, 1e-10),
        ("matmul of some new kind", 5e-6, 5e-5),
    ],
)
def test_the_precision_says_what_is_near(name: str, near: float, far: float) -> None:
    assert compare_operator(operator(name), operator(name)).likeness == "identical"
    assert compare_operator(operator(name), operator(name, near)).likeness == "near"
    assert compare_operator(operator(name), operator(name, far)).likeness == "different"


def test_a_choice_of_boxes_is_the_same_or_it_is_not() -> None:
    assert (
        compare_operator(operator("nms fp32"), operator("nms fp32", 1e-9)).likeness == "different"
    )


def test_equal_samples_of_another_result_are_near() -> None:
    other = replace(operator("matmul fp32"), sha256="other")

    assert compare_operator(operator("matmul fp32"), other).likeness == "near"


@pytest.mark.parametrize(
    "values", [("nan",) * 3, ("inf",) * 3, ("0x1p0",), ()], ids=["nan", "inf", "fewer", "none"]
)
def test_results_that_cannot_be_compared_are_different(values: tuple[str, ...]) -> None:
    other = Operator(name="matmul fp32", sha256="other", values=values)

    assert compare_operator(operator("matmul fp32"), other).likeness == "different"


def test_a_failure_on_one_side_is_different_and_told() -> None:
    broken = Operator(name="nms fp32", error="operator torchvision::nms does not exist")
    actual = replace(fingerprint(), operators=(*fingerprint().operators[:4], broken), losses=())

    check = only(compare_operators(fingerprint(), actual))

    assert check.fails
    assert check.actual == wording(
        "different: nms fp32 (not possible now: operator torchvision::nms does not exist)"
    )
    assert "torchvision" in (check.fix or "")


def test_a_failure_on_both_sides_is_no_difference() -> None:
    both = (
        Operator(name="matmul bf16", error="not on this CPU"),
        Operator(name="matmul bf16", error="not implemented"),
    )

    assert compare_operator(*both).likeness == "identical"


@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1))
def test_which_side_comes_first_is_no_matter(name: str, one: float, two: float) -> None:
    first, second = operator(name, one), operator(name, two)

    assert compare_operator(first, second).likeness == compare_operator(second, first).likeness


def test_on_other_hardware_near_is_expected() -> None:
    actual = fingerprint({"matmul fp32": 1e-6}, losses=(60.6, 59.8))

    check = only(compare_operators(fingerprint(), actual, same_hardware=False))

    assert check.ok
    assert check.actual == wording("near: matmul fp32 (by 1.0e-06)")


def test_on_the_same_hardware_near_is_a_warning_that_names_the_cause() -> None:
    actual = fingerprint({"convolution fp32": 1e-6}, losses=(60.6, 59.8))

    check = only(compare_operators(fingerprint(), actual))

    assert (check.ok, check.fails) == (False, False)
    assert check.fix == wording(
        "convolution fp32 differs first; the likely cause is "
        "another cuDNN, or another choice of its algorithm."
    )


def test_near_is_expected_of_other_packages() -> None:
    actual = fingerprint({"matmul fp32": 1e-6}, losses=(60.6, 59.8))
    actual = replace(actual, conditions=replace(actual.conditions, torch="2.6.0"))

    assert only(compare_operators(fingerprint(), actual)).ok


@pytest.mark.parametrize("same_hardware", [True, False])
def test_a_far_operation_is_a_no(*, same_hardware: bool) -> None:
    actual = fingerprint({"reduction fp32": 1e-2}, losses=(60.6, 59.8))

    check = only(compare_operators(fingerprint(), actual, same_hardware=same_hardware))

    assert check.fails
    assert check.part == ("environment" if same_hardware else "host")
    assert check.actual == wording("different: reduction fp32 (by 1.0e-02)")


def test_a_far_operation_that_training_does_not_use_is_a_warning() -> None:
    check = only(compare_operators(fingerprint(), fingerprint({"matmul bf16": 0.5})))

    assert (check.ok, check.fails) == (False, False)


@pytest.mark.parametrize(
    ("device", "by", "cause"),
    [
        (
            H200,
            {"matmul fp32": 1.0},
            wording("matmul fp32 differs first; the likely cause is another cuBLAS."),
        ),
        (
            "cpu",
            {"matmul fp32": 1.0},
            wording(
                "matmul fp32 differs first; the likely cause is another MKL or OpenBLAS, or another number of threads."
            ),
        ),
        (
            H200,
            {"convolution fp32": 1.0},
            wording(
                "convolution fp32 differs first; the likely cause is another cuDNN, or another choice of its algorithm."
            ),
        ),
        (
            "cpu",
            {"convolution fp32": 1.0},
            wording(
                "convolution fp32 differs first; the likely cause is another oneDNN or its threads."
            ),
        ),
        (
            H200,
            {"nms fp32": 1.0},
            wording("nms fp32 differs first; the likely cause is another torchvision."),
        ),
        (
            H200,
            {"reduction fp32": 1.0},
            wording("reduction fp32 differs first; the likely cause is another build of torch."),
        ),
        (
            H200,
            {"matmul tf32": 1.0},
            wording(
                "matmul tf32 differs first; the likely cause is that TF32 was switched on or off; see TORCH_ALLOW_TF32_CUBLAS_OVERRIDE and NVIDIA_TF32_OVERRIDE."
            ),
        ),
        (
            H200,
            {"matmul fp32": 1e-3, "convolution fp32": 1e-3},
            wording(
                "matmul fp32 differs first; the likely cause is that TF32 was switched on or off; see TORCH_ALLOW_TF32_CUBLAS_OVERRIDE and NVIDIA_TF32_OVERRIDE."
            ),
        ),
        (
            H200,
            {"matmul fp32": 1.0, "nms fp32": 1.0},
            wording("matmul fp32 differs first; the likely cause is another cuBLAS."),
        ),
    ],
)
def test_the_family_and_precision_that_differ_first_name_the_cause(
    device: str, by: dict[str, float], cause: str
) -> None:
    actual = fingerprint(by, losses=(70.5, 59.75), device=device)

    check = only(compare_operators(fingerprint(device=device), actual))

    assert check.fix == cause


def test_of_many_operations_the_first_are_named() -> None:
    check = only(
        compare_operators(fingerprint(), fingerprint(dict.fromkeys(NAMES, 1.0), losses=(math.pi,)))
    )

    assert "convolution" not in check.actual
    assert check.actual.endswith("and 3 more")
