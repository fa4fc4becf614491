from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import Speed
from snapenv.verify.speed import (
    CO2_G_PER_KWH,
    compare_speed,
    energy_lines,
    grams_of_co2,
)
from tests.samples import sample_fingerprint
from tests.steady import steady

if TYPE_CHECKING:
    from snapenv.model.fingerprint import Fingerprint

H200 = "NVIDIA H200"
BEFORE = Speed(
    images_per_s=200.0,
    step_ms_median=20.0,
    step_ms_p95=25.0,
    loading_share=0.05,
    gpu_utilization=0.9,
    watts=350.0,
    joules_per_image=1.75,
    clock_mhz=1900,
    power_limit_w=700.0,
    pcie="gen 5 x16",
    shm_bytes=1 << 30,
    cpu_count=16,
)


def fingerprint(device: str = H200, **speed: Any) -> Fingerprint:  # noqa: ANN401 - of several types
    return replace(sample_fingerprint(device=device), speed=replace(BEFORE, **speed))


def fix(**speed: Any) -> str:  # noqa: ANN401 - of several types
    check = compare_speed(fingerprint(), fingerprint(**{"images_per_s": 100.0, **speed}))
    assert check
    assert not check.ok
    return check.fix or ""


def test_as_fast_as_the_capture_holds_and_says_so() -> None:
    check = compare_speed(fingerprint(), fingerprint(images_per_s=210.0))

    assert check
    assert (check.id, check.ok, check.fix, check.part) == ("speed", True, None, "host")
    assert check.actual == wording("210.0 images/s, 105% of the capture's")


@pytest.mark.parametrize(("images_per_s", "ok"), [(160.0, True), (159.9, False)])
def test_slower_than_eighty_percent_is_a_warning(images_per_s: float, *, ok: bool) -> None:
    check = compare_speed(fingerprint(), fingerprint(images_per_s=images_per_s))

    assert check
    assert (check.ok, check.severity, check.fails) == (ok, "warning", False)
    assert check.expected == wording("at least 80% of 200.0 images/s")


@pytest.mark.parametrize("device", ["cpu", "NVIDIA A100-SXM4-80GB"])
def test_another_device_has_a_speed_of_its_own(device: str) -> None:
    assert compare_speed(fingerprint(), fingerprint(device, images_per_s=1.0)) is None


def test_a_speed_that_nobody_measured_is_not_compared() -> None:
    unmeasured = replace(fingerprint(), speed=None)

    assert compare_speed(unmeasured, fingerprint()) is None
    assert compare_speed(fingerprint(), unmeasured) is None
    assert compare_speed(fingerprint(images_per_s=0.0), fingerprint()) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"throttled": ("power cap", "thermal")}, "holds the clocks down: power cap, thermal"),
        ({"power_limit_w": 300.0}, "power limit is lower (700 W → 300 W)"),
        ({"clock_mhz": 900}, "clocks are lower (1900 MHz → 900 MHz)"),
        ({"pcie": "gen 5 x4"}, "PCIe link is narrower (gen 5 x16 → gen 5 x4)"),
        ({"pcie": "gen 3 x16"}, "PCIe link is narrower"),
        ({"cpu_count": 2}, "fewer CPUs (16 → 2)"),
        ({"loading_share": 0.5}, "waits for data (5% → 50% of a step): look at the disk"),
        ({"loading_share": 0.5, "shm_bytes": 64 << 20}, "--shm-size 1g"),
        ({"gpu_utilization": 0.3}, "GPU waits (busy 90% → 30%)"),
        ({}, "No figure explains it"),
        ({"shm_bytes": 64 << 20}, "No figure explains it"),
        ({"pcie": "gen 5 x32", "clock_mhz": 1890}, "No figure explains it"),
    ],
    ids=str,
)
def test_the_likely_bottleneck_is_named_from_the_figures(
    change: dict[str, Any], words: str
) -> None:
    assert words in fix(**change)


def test_reasons_that_the_capture_had_too_explain_nothing() -> None:
    capped = fingerprint(throttled=("power cap",))

    check = compare_speed(capped, fingerprint(images_per_s=100.0, throttled=("power cap",)))

    assert check
    assert check.fix == wording(
        "No figure explains it: look for other programs with nvidia-smi and top."
    )


def test_figures_that_one_side_does_not_have_explain_nothing() -> None:
    names = ("loading_share", "gpu_utilization", "clock_mhz", "power_limit_w", "pcie", "cpu_count")

    assert fix(**dict.fromkeys(names)) == wording(
        "No figure explains it: look for other programs with nvidia-smi and top."
    )


def test_the_two_surest_causes_are_told() -> None:
    told = fix(throttled=("thermal",), power_limit_w=300.0, cpu_count=2, gpu_utilization=0.1)

    assert "thermal" in told
    assert "power limit" in told
    assert "CPUs" not in told


def test_a_smaller_part_of_the_same_gpu_is_named_by_mig() -> None:
    whole, part = "NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"

    check = compare_speed(fingerprint(whole), fingerprint(part, images_per_s=50.0))

    assert check
    assert steady(check.fix or "", whole=whole) == wording(
        "MIG gives another part of the GPU (WHOLE → WHOLE MIG 1g.5gb): use one of the same size."
    )
    assert compare_speed(fingerprint(part), fingerprint(whole)) is None


def test_a_kilowatt_hour_has_the_factors_grams() -> None:
    assert grams_of_co2(3.6, images=1_000_000) == pytest.approx(CO2_G_PER_KWH)


def test_energy_is_told_with_the_factor_and_its_source() -> None:
    energy, co2 = energy_lines(BEFORE)

    assert energy == wording("1.75 J an image at 350 W, of the whole GPU")
    assert co2 == wording(
        "about 216 g CO2 a million images, at 445 g/kWh "
        "(the world's average of 2024, IEA, Electricity 2025)"
    )


def test_without_a_power_meter_there_is_no_estimate() -> None:
    assert energy_lines(replace(BEFORE, joules_per_image=None)) == ()
