"""Reports as values: one of each tier, and one that means harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.fingerprint import MappedLibrary, Operator, Speed
from snapenv.model.outcome import Check, Difference, Section, Verdict
from snapenv.model.results import Report, Row
from tests.samples import CAPTURED_AT, TAG, sample_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.fingerprint import Fingerprint

LOSSES = (60.41846, 60.3902, 60.3511, 60.3017, 60.2433, 60.1802, 60.1209, 60.0551, 59.9944, 59.9322)
PARTED = (*LOSSES[:4], 60.2439, 60.1851, 60.1002, 60.0913, 60.0124, 59.9022)
NEAR = (LOSSES[0], *(loss * (1 + 3e-7 * step) for step, loss in enumerate(LOSSES[1:], start=1)))
DIGEST = "sha256:" + "4d7e5ac6a1c3b2f0" * 4
IMAGE = f"registry.example.com/team/training/environments:{TAG}"
SPEED = Speed(
    images_per_s=212.4,
    step_ms_median=18.8,
    step_ms_p95=23.3,
    loading_share=0.07,
    peak_gpu_memory_mib=412,
    gpu_utilization=0.63,
    watts=231.0,
    joules_per_image=1.09,
    clock_mhz=1755,
    max_clock_mhz=1980,
    power_limit_w=700.0,
    pcie="gen 5 x16",
    shm_bytes=2**30,
    cpu_count=16,
)
SLOWER = replace(
    SPEED,
    images_per_s=151.2,
    step_ms_median=26.4,
    loading_share=0.31,
    throttled=("power cap", "thermal"),
    power_limit_w=350.0,
    pcie="gen 4 x8",
)
HELD = (
    Check(id="driver", ok=True, expected="580 or newer", actual="580.95.05", part="host"),
    Check(id="disk", ok=True, expected="12.3 GB", actual="412 GB free", part="host"),
    Check(id="digest", ok=True, expected=DIGEST, actual=DIGEST, part="transport"),
    Check(id="python", ok=True, expected="cpython 3.11.7", actual="cpython 3.11.7"),
    Check(
        id="distributions",
        ok=True,
        expected="59 packages",
        actual="59 packages, 19663 files hashed, 0 different",
    ),
    Check(
        id="fingerprint",
        ok=True,
        expected="every loss bit for bit",
        actual="identical: all 10 losses are the same",
        part="workload",
    ),
)
SLOW = Check(
    id="speed",
    ok=False,
    expected="at least 80 % of 212.4 images/s",
    actual="151.2 images/s, 71 %",
    fix="Raise the power limit: nvidia-smi -pl 700",
    part="workload",
    severity="warning",
)
NUMPY = Check(
    id="distribution.numpy",
    ok=False,
    expected="2.4.6",
    actual="2.4.5",
    fix="Something installed another numpy while the container ran; run it with --read-only.",
)
PARTS = Check(
    id="fingerprint",
    ok=False,
    expected="the losses of the capture",
    actual="different: the losses differ from step 5 of 10, by at most 6.0e-04",
    fix="These differ: numpy 2.4.6 → 2.4.5. Restore them as captured.",
    part="workload",
)
MACHINES = (
    Row(label="GPU", expected="NVIDIA H200, 139.8 GiB", actual="NVIDIA H200, 139.8 GiB"),
    Row(label="driver", expected="580.95.05", actual="570.172.08"),
    Row(label="system", expected="Ubuntu 24.04, glibc 2.39", actual="Debian 12, glibc 2.36"),
)
SECTIONS = (
    Section(
        title="numerics",
        ok=False,
        reason="the same training may give different losses",
        differences=(
            Difference(group="numerics", subject="numpy", left="2.4.6", right="2.4.5"),
            Difference(group="numerics", subject="albumentations", left=None, right="2.0.8"),
        ),
    ),
)


def train(losses: Sequence[float] = LOSSES, *, speed: Speed | None = SPEED) -> Fingerprint:
    """Return a smoke-train with operators and libraries."""
    return replace(
        sample_fingerprint(losses),
        speed=speed,
        operators=(
            Operator(name="matmul fp32", sha256="a" * 64),
            Operator(name="nms fp32", sha256="b" * 64),
        ),
        libraries=(
            MappedLibrary(soname="libcudnn.so.9", path="site/nvidia/cudnn/lib", version="9.19.0"),
        ),
    )


def identical() -> Report:
    return Report(
        title=TAG,
        verdict=Verdict(ok=True, summary=f"{TAG} is back: every loss is the same, bit for bit"),
        tier="identical",
        snapshot=DIGEST,
        image=IMAGE,
        image_digest=DIGEST,
        captured_at=CAPTURED_AT,
        restored_at="2026-03-02T08:30:00+00:00",
        restored_in="docker, Docker 28.5.2 at unix:///var/run/docker.sock",
        expected=train(),
        actual=train(),
        checks=HELD,
        machines=MACHINES[:1],
        energy=("0.31 Wh in 40 images; 0.12 g CO2 at 400 g/kWh, an estimate",),
    )


def different() -> Report:
    actual = train(PARTED, speed=SLOWER)
    actual = replace(
        actual,
        conditions=replace(actual.conditions, numpy="2.4.5", albumentations="2.0.8"),
        operators=(actual.operators[0], replace(actual.operators[1], sha256="c" * 64)),
        libraries=(
            replace(actual.libraries[0], path="/usr/lib/x86_64-linux-gnu", version="9.1.0"),
        ),
    )
    return replace(
        identical(),
        verdict=Verdict(
            ok=False,
            summary=f"{IMAGE} is not {TAG}: numpy is another one",
            part="environment",
            check="distribution.numpy",
            next=f"snapenv restore {IMAGE}@{DIGEST}",
        ),
        tier="different",
        actual=actual,
        limits=(1e-6, 1e-4),
        checks=(*HELD[:-1], SLOW, NUMPY, PARTS),
        warnings=("the tolerances of the tiers are not yet measured on a GPU",),
        differences=SECTIONS,
        machines=MACHINES,
    )


def close() -> Report:
    return replace(
        identical(),
        verdict=Verdict(ok=True, summary=f"{TAG} is back: the losses are close"),
        tier="close",
        actual=train(NEAR),
        limits=(1e-6, 1e-4),
    )


def facts_alone() -> Report:
    """Return a report without a smoke-train, with the least that one can say."""
    return Report(title=TAG, verdict=Verdict(ok=True, summary=f"{TAG} is back by its facts alone"))


HOSTILE = "</style><script>alert(1)</script><img src=http://evil.invalid/x onerror=alert(2)>\"'`"
STEERING = "\x00\x1b[2J\r\nfaked: held\u202egnp.exe\u2066\udc80{{ 7*7 }}{% raw %}]]>-->"


def hostile() -> Report:
    """Return a report whose every text tries to leave its place, and whose words never end."""
    bad = HOSTILE + STEERING + "x" * 300
    fingerprint = train([1e308, float("nan"), -1e308, float("inf"), 0.0])
    mean = replace(
        fingerprint,
        conditions=replace(fingerprint.conditions, torch=bad, arguments={bad: bad}),
        operators=(Operator(name=bad, error=bad),),
        libraries=(MappedLibrary(soname=bad, path=bad, version=bad),),
        speed=replace(SPEED, images_per_s=float("nan"), watts=1e300, pcie=bad, throttled=(bad,)),
    )
    check = Check(id=bad, ok=False, expected=bad, actual=bad, fix=bad)
    return Report(
        title=bad,
        verdict=Verdict(ok=False, summary=bad, part="image", check=bad, next=bad),
        tier="different",
        snapshot=bad,
        image=bad,
        image_digest=bad,
        captured_at=bad,
        restored_at=bad,
        restored_in=bad,
        expected=mean,
        actual=train([1.0]),
        checks=(check, replace(check, severity="warning"), replace(check, ok=True)),
        warnings=(bad,),
        differences=(
            Section(
                title=bad,
                ok=False,
                reason=bad,
                differences=(Difference(group="abi", subject=bad, left=bad, right=None),),
            ),
        ),
        machines=(Row(label=bad, expected=bad, actual=None),),
        energy=(bad,),
    )
