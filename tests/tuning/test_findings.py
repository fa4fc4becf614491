from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.bench import Bench, BenchOptions, BenchRun, CpuUse, Phases
from snapenv.model.hardware import Gpu
from snapenv.tuning.findings import find_findings, first_to_try
from tests.tuning.benches import (
    GB,
    QUIET,
    sample_bench,
    sample_cpu,
    sample_gpu_use,
    sample_machine,
    sample_run,
)

if TYPE_CHECKING:
    from snapenv.model.findings import Finding
    from snapenv.model.hardware import Hardware

WAITING = replace(QUIET, wait=0.73, forward=0.1, backward=0.15)
COMPILED = BenchOptions(workers=4, device="0", compile=True, channels_last=True)
ON_GPU = sample_run(options=COMPILED, gpu=sample_gpu_use(), cpu=sample_cpu(process_ms=2200.0))


def ids(
    *runs: BenchRun, hardware: Hardware | None = None, severity: str | None = None
) -> list[str]:
    """Return what is found in these runs."""
    findings = find_findings(sample_bench(*runs), hardware or sample_machine())
    return [each.id for each in findings if severity in {None, each.severity}]


def finding(*runs: BenchRun, hardware: Hardware | None = None) -> Finding:
    """Return the one thing that is found in these runs."""
    (only,) = find_findings(sample_bench(*runs), hardware or sample_machine())
    return only


@pytest.mark.parametrize("run", [sample_run(), ON_GPU], ids=["cpu", "gpu"])
def test_nothing_is_found_on_a_quiet_machine(run: BenchRun) -> None:
    assert ids(run) == []


# ── the machine ──────────────────────────────────────────────────────────────────────────────


def test_periods_that_were_cut_short_tell_of_a_limit_of_cpus() -> None:
    limited = sample_cpu(
        process_ms=500, loaders_ms=200, quota=0.5, periods=137, throttled_periods=119
    )

    only = finding(sample_run(cpu=limited, options=BenchOptions(workers=1)))

    assert (only.id, only.layer, only.severity) == ("system.cpu-quota", "system", "error")
    assert (only.figure, only.threshold) == (0.8686, 0.5)
    assert "--cpus" in only.next


def test_a_limit_of_cpus_that_is_used_up_tells_without_counters() -> None:
    limited = sample_cpu(process_ms=3000, loaders_ms=900, quota=2.0)

    only = finding(sample_run(cpu=limited, options=BenchOptions(workers=1)))

    assert (only.id, only.figure) == ("system.cpu-quota", 0.975)


def test_a_busy_neighbour_is_no_limit_of_cpus() -> None:
    """As was measured: half a CPU allowed, less than that had, and few periods cut short."""
    beside = sample_cpu(
        process_ms=500, loaders_ms=100, quota=0.5, periods=250, throttled_periods=13
    )

    only = finding(sample_run(cpu=beside, options=BenchOptions(workers=1)))

    assert (only.id, only.severity) == ("system.busy-machine", "warning")
    assert only.figure == 0.2551
    assert "again" in only.next


def test_a_limit_that_allows_all_cpus_is_none() -> None:
    assert ids(sample_run(cpu=sample_cpu(process_ms=15_000, quota=8.0))) == []


def test_a_few_periods_prove_nothing() -> None:
    few = sample_cpu(process_ms=2500, loaders_ms=0, quota=4.0, periods=3, throttled_periods=3)

    assert ids(sample_run(cpu=few)) == []


def test_the_load_of_other_programs_is_told_beside_a_gpu() -> None:
    only = finding(replace(ON_GPU, cpu=sample_cpu(process_ms=2000, load_average=18.5)))

    assert (only.id, only.figure, only.unit) == ("system.busy-machine", 2.125, "ratio")


def test_load_counts_for_all_cpus_of_the_machine() -> None:
    """A container may have a few of them; the load average is of the whole machine."""
    many = sample_machine(cpu_count=64)

    assert ids(sample_run(cpu=sample_cpu(load_average=30.0)), hardware=many) == []
    assert ids(sample_run(cpu=sample_cpu(load_average=30.0))) == ["system.busy-machine"]


def test_the_training_itself_is_no_other_program() -> None:
    assert ids(sample_run(cpu=sample_cpu(load_average=15.0))) == []


def test_cpus_that_are_all_busy_hold_a_gpu_back() -> None:
    busy = sample_cpu(process_ms=2000, loaders_ms=13_000)
    run = replace(ON_GPU, gpu=sample_gpu_use(utilization=0.3), cpu=busy)

    only = finding(run)

    assert (only.id, only.severity, only.figure) == ("system.cpu-bound", "error", 0.9375)


def test_steps_that_vary_blur_the_measurement() -> None:
    unsteady = (100.0,) * 18 + (270.0,) * 2

    only = finding(sample_run(step_ms=unsteady))

    assert (only.id, only.severity, only.figure) == ("system.noise", "warning", 2.7)


def test_runs_that_differ_blur_the_measurement() -> None:
    runs = [sample_run(images_per_s=rate) for rate in (18.0, 26.0, 32.0)]

    only = finding(*runs)

    assert (only.id, only.figure) == ("system.noise", 1.7778)


@pytest.mark.parametrize(
    ("reason", "severity"), [("thermal", "error"), ("power cap", "warning"), ("sync boost", None)]
)
def test_a_slow_clock_counts_with_its_reason(reason: str, severity: str | None) -> None:
    slow = sample_gpu_use(clock_mhz=1200, throttled=(reason,))

    findings = find_findings(sample_bench(replace(ON_GPU, gpu=slow)), sample_machine())

    assert [(each.id, each.severity) for each in findings] == (
        [("system.clock", severity)] if severity else []
    )


def test_a_reason_without_a_slow_clock_is_no_finding() -> None:
    assert ids(replace(ON_GPU, gpu=sample_gpu_use(throttled=("power cap",)))) == []


def test_a_narrow_link_is_found_under_load() -> None:
    only = finding(replace(ON_GPU, gpu=sample_gpu_use(pcie="gen 4 x8")))

    assert (only.id, only.figure) == ("system.pcie", 0.25)


def test_a_slice_of_a_gpu_is_named() -> None:
    slice_ = sample_gpu_use(
        name="NVIDIA H200 MIG 1g.18gb", memory_total=18 * GB, memory_free=4 * GB
    )

    assert ids(replace(ON_GPU, gpu=slice_)) == ["system.mig"]


def test_shared_memory_is_to_hold_what_the_loaders_prepare() -> None:
    """4 workers, 4 batches each, 16 images of 3 x 640 x 640 bytes."""
    small = sample_machine(shm_bytes=64 << 20)

    only = finding(sample_run(), hardware=small)

    assert (only.id, only.figure, only.threshold) == ("system.shm", 67_108_864, 314_572_800)


def test_more_workers_than_a_limit_of_cpus_are_found() -> None:
    limited = sample_cpu(process_ms=2500, loaders_ms=200, quota=2.0, available=64)

    assert "system.workers" in ids(sample_run(cpu=limited))


# ── the training's own options ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (0.05, []),
        (0.07, [("application.data-wait", "warning", 0.05)]),
        (0.2, [("application.data-wait", "warning", 0.05)]),
        (0.61, [("application.data-wait", "error", 0.2)]),
    ],
)
def test_waiting_for_data_is_found(wait: float, expected: list[tuple[str, str, float]]) -> None:
    findings = find_findings(
        sample_bench(sample_run(phases=replace(QUIET, wait=wait))), sample_machine()
    )

    assert [(each.id, each.severity, each.threshold) for each in findings] == expected


@pytest.mark.parametrize(
    ("options", "cpu", "try_next"),
    [
        ({"workers": 0}, {"loaders_ms": 0}, "workers=7"),
        ({"workers": 4}, {}, "workers=7"),
        ({"workers": 0}, {"loaders_ms": 0, "available": 64}, "workers=8"),
        ({"workers": 7}, {"loaders_ms": 13_000, "process_ms": 700}, "cache=ram"),
        ({"workers": 7}, {}, "faster disk"),
        ({"workers": 7, "cache": "ram"}, {}, "Shrink"),
        ({"workers": 0}, {"loaders_ms": 0, "available": 2, "process_ms": 2000}, "workers=1"),
    ],
)
def test_what_to_try_for_data_to_come_sooner(
    options: dict[str, Any], cpu: dict[str, float], try_next: str
) -> None:
    run = sample_run(
        options=BenchOptions(**options),
        phases=WAITING,
        cpu=sample_cpu(**cpu),
    )

    assert try_next in finding(run).next


def test_one_slow_run_of_three_is_not_the_training() -> None:
    runs = [sample_run(), sample_run(phases=WAITING), sample_run()]

    assert ids(*runs) == []


def test_memory_that_is_left_is_for_a_larger_batch() -> None:
    only = finding(replace(ON_GPU, gpu=sample_gpu_use(memory_free=100 * GB)))

    assert (only.id, only.figure) == ("application.batch", 0.7143)
    assert "batch=32" in only.next


def test_an_idle_gpu_is_found_where_nothing_else_explains_it() -> None:
    idle = sample_gpu_use(utilization=0.3)

    assert ids(replace(ON_GPU, gpu=idle)) == ["application.idle-gpu"]
    assert ids(replace(ON_GPU, gpu=idle, phases=WAITING)) == ["application.data-wait"]


# ── the framework ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"amp": False}, ["framework.amp"]),
        ({"channels_last": False}, ["framework.channels-last"]),
        ({"compile": False}, ["framework.compile"]),
    ],
)
def test_what_the_framework_leaves_unused_is_found(
    changed: dict[str, bool], expected: list[str]
) -> None:
    assert ids(replace(ON_GPU, options=replace(COMPILED, **changed))) == expected


def test_tensor_cores_that_are_not_there_are_not_missed() -> None:
    name = "NVIDIA GeForce GTX 1660"
    without = replace(
        sample_machine(), gpus=(Gpu(name=name, memory_mib=6000, compute_capability=(7, 5)),)
    )
    run = replace(ON_GPU, options=replace(COMPILED, amp=False), gpu=sample_gpu_use(name=name))

    assert ids(run, hardware=without) == []


def test_dali_is_thought_of_when_all_workers_decode() -> None:
    options = replace(COMPILED, workers=7)
    run = replace(
        ON_GPU, options=options, phases=WAITING, cpu=sample_cpu(process_ms=600, loaders_ms=12_000)
    )

    fewer = replace(run, options=COMPILED)

    assert ids(run) == ["application.data-wait", "framework.decoding"]
    assert ids(fewer) == ["application.data-wait"]


# ── together ─────────────────────────────────────────────────────────────────────────────────


def test_the_machine_comes_first_and_an_error_is_tried_first() -> None:
    run = sample_run(phases=WAITING, step_ms=(100.0,) * 18 + (270.0,) * 2)
    findings = find_findings(sample_bench(run), sample_machine())
    first = first_to_try(findings)

    assert [each.id for each in findings] == ["system.noise", "application.data-wait"]
    assert first
    assert first.id == "application.data-wait"
    assert first_to_try(findings[:1]) == findings[0]
    assert first_to_try(()) is None


_SHARES = st.floats(0, 1)
_MS = st.floats(0, 1e6)


@given(
    wait=_SHARES,
    quota=st.none() | st.floats(0.01, 128),
    periods=st.none() | st.integers(0, 10_000),
    used=_MS,
    loaders=_MS,
    workers=st.integers(0, 64),
    gpu=st.booleans(),
    utilization=st.none() | _SHARES,
)
def test_whatever_was_measured_gives_each_finding_once(  # noqa: PLR0913 - what was measured
    *,
    wait: float,
    quota: float | None,
    periods: int | None,
    used: float,
    loaders: float,
    workers: int,
    gpu: bool,
    utilization: float | None,
) -> None:
    cpu = CpuUse(
        wall_ms=1000.0,
        process_ms=used,
        loaders_ms=loaders,
        available=4,
        quota=quota,
        periods=periods,
        throttled_periods=periods,
        load_average=None,
    )
    run = sample_run(
        options=BenchOptions(workers=workers),
        phases=Phases(wait=wait, preprocess=0, forward=1 - wait, backward=0, optimizer=0),
        cpu=cpu,
        gpu=sample_gpu_use(utilization=utilization) if gpu else None,
    )
    bench = Bench(runs=(run,), inference=None, machine="a", snapenv="1", at="now")

    findings = find_findings(bench)

    names = [each.id for each in findings]
    assert len(set(names)) == len(names)
    assert not {"system.cpu-quota", "system.busy-machine"} <= set(names)
    for each in findings:
        passed = each.figure >= each.threshold if each.above else each.figure <= each.threshold
        assert passed, each
