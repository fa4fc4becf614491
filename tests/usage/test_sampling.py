"""What looks at GPUs add up to, on values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.sampling import GpuReading, Load, Moment, Utilization
from snapenv.model.usage import MachineGpu, RunGpu, UsageRun, UsedGpu
from snapenv.usage.sampling import (
    Folded,
    Watched,
    fold,
    is_settled,
    machine_gpus,
    settle,
    used_gpus,
)

DECEMBER = 1_796_083_200_000  # 2026-12-01T00:00:00Z
START = Moment(wall_ms=DECEMBER - 600_000, boot_ms=1_000_000)
H200 = UsedGpu(uuid="GPU-0", model="NVIDIA H200")
RUN = UsageRun(
    key="k", run="r", kind="run", user="ann", host="h", gpus=(H200,), started_ms=START.wall_ms
)
INTERVAL_MS = 15_000


def later(moment: Moment, elapsed_ms: int, *, jump_ms: int = 0) -> Moment:
    return Moment(
        wall_ms=moment.wall_ms + elapsed_ms + jump_ms, boot_ms=moment.boot_ms + elapsed_ms
    )


def reading(*percents: float, gpu: str = "GPU-0", **more: Any) -> GpuReading:  # noqa: ANN401
    utilizations = tuple(Utilization(0, one) for one in percents)
    fields = {"number": "0", "model": "NVIDIA H200", "util_source": "nvml", **more}
    return GpuReading(gpu=gpu, utilizations=utilizations, **fields)


def look(
    watched: Watched,
    *readings: GpuReading,
    elapsed_ms: int = INTERVAL_MS,
    jump_ms: int = 0,
    load: Load | None = None,
) -> Folded:
    now = later(watched.since, elapsed_ms, jump_ms=jump_ms)
    return fold(watched, now, readings, load, interval_ms=INTERVAL_MS)


def begun(run: UsageRun = RUN) -> Watched:
    return Watched(run=run, since=START)


def test_every_sample_of_the_ring_counts_for_its_share_of_the_time() -> None:
    (row,) = look(begun(), reading(0, 0, 69.9, 70, 100, 100)).watched.rows

    assert (row.allocated_ms, row.covered_ms) == (15_000, 15_000)
    assert row.buckets == (5000, 0, 0, 0, 0, 0, 2500, 2500, 0, 5000)
    assert (row.month, row.util_source) == ("2026-11", "nvml")


def test_no_millisecond_is_lost_between_samples() -> None:
    (row,) = look(begun(), reading(1, 1, 1, 1, 1, 1, 1)).watched.rows

    assert row.buckets == (15_000, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_what_has_no_utilization_is_allocated_and_not_covered() -> None:
    (row,) = look(begun(), reading(util_source=None)).watched.rows

    assert (row.allocated_ms, row.covered_ms, row.util_source) == (15_000, 0, None)


def test_a_lost_gpu_is_allocated_and_not_covered() -> None:
    (row,) = look(begun()).watched.rows

    assert (row.allocated_ms, row.covered_ms) == (15_000, 0)


def test_a_sample_from_before_the_run_is_not_the_runs() -> None:
    old = replace(reading(), utilizations=(Utilization(9000, 100.0), Utilization(2000, 10.0)))

    (row,) = look(begun(), old, elapsed_ms=3000).watched.rows

    assert row.buckets == (0, 3000, 0, 0, 0, 0, 0, 0, 0, 0)


def test_a_source_that_flatters_is_named_once_any_of_it_counts() -> None:
    first = look(begun(), reading(50, util_source="gpm_sm"))
    second = look(first.watched, reading(50))
    third = look(second.watched, reading(50, util_source="gpm_sm"))

    sources = [one.watched.rows[0].util_source for one in (first, second, third)]
    assert sources == ["gpm_sm", "nvml", "nvml"]


def test_a_look_across_the_end_of_a_month_is_split_there() -> None:
    start = replace(START, wall_ms=DECEMBER - 5000)

    done = look(Watched(run=RUN, since=start, counters={"GPU-0": 100}), reading(80, energy_mj=6100))

    counted = [(one.month, one.allocated_ms, one.energy_mj) for one in done.watched.rows]
    assert counted == [("2026-11", 5000, 2000), ("2026-12", 10_000, 4000)]


def test_energy_is_what_the_counter_grew_by_and_never_shrinks() -> None:
    first = look(begun(), reading(90, energy_mj=5000, power_mw=100))
    second = look(first.watched, reading(90, energy_mj=12_000, power_mw=100))
    reloaded = look(second.watched, reading(90, energy_mj=7, power_mw=100))

    energies = [one.watched.rows[0].energy_mj for one in (first, second, reloaded)]
    assert energies == [1500, 8500, 10_000]


def test_without_a_counter_energy_is_power_times_time() -> None:
    (row,) = look(begun(), reading(90, power_mw=400_000)).watched.rows

    assert row.energy_mj == 6_000_000
    assert row.power_peak_mw == 400_000


def test_a_mig_instance_has_no_energy() -> None:
    (row,) = look(begun(), reading(util_source=None, memory_bytes=7)).watched.rows

    assert (row.energy_mj, row.memory_peak_bytes) == (None, 7)


def test_time_that_nobody_can_have_watched_is_a_gap_and_its_energy_counts() -> None:
    first = look(begun(), reading(90, energy_mj=1000))

    done = look(first.watched, reading(90, energy_mj=9000), elapsed_ms=60_000)

    (row,) = done.watched.rows
    assert (row.allocated_ms, row.covered_ms, row.energy_mj) == (75_000, 15_000, 8000)
    (gap,) = done.events
    assert (gap.kind, gap.at_ms, gap.value) == ("gap", START.wall_ms + 15_000, 60_000)


@pytest.mark.parametrize("jump_ms", [-3_600_000, 86_400_000])
def test_a_clock_that_jumps_is_told_and_moves_no_duration(jump_ms: int) -> None:
    done = look(begun(), reading(80), jump_ms=jump_ms)

    assert [(one.kind, one.value) for one in done.events] == [("clock", jump_ms)]
    assert sum(row.allocated_ms for row in done.watched.rows) == 15_000


def test_what_holds_a_gpu_back_is_told_once_and_its_time_counts() -> None:
    first = look(begun(), reading(90, throttle=0x24 | 0x1))
    second = look(first.watched, reading(90, throttle=0x24))
    idle = look(second.watched, reading(0, throttle=0x1))

    assert [(one.kind, one.value, one.text) for one in first.events] == [
        ("throttled", 0x24, "GPU-0")
    ]
    assert second.events == idle.events == ()
    assert idle.watched.rows[0].throttled_ms == 30_000


def test_a_gpu_is_shared_while_another_process_is_on_it() -> None:
    load = Load(pids=frozenset({7, 8}), cpu_ms=0, memory_bytes=0)

    alone = look(begun(), reading(9, pids=frozenset({8})), load=load)
    shared = look(alone.watched, reading(9, pids=frozenset({8, 99})), load=load)
    still = look(shared.watched, reading(9, pids=frozenset({99})), load=load)
    unknown = look(still.watched, reading(9, pids=frozenset({99})))

    assert [one.kind for done in (alone, shared, still, unknown) for one in done.events] == [
        "shared"
    ]
    assert unknown.watched.rows[0].shared_ms == 30_000


def test_processors_and_memory_are_told_with_the_first_gpu() -> None:
    run = replace(RUN, gpus=(H200, UsedGpu(uuid="GPU-1", model="NVIDIA L4")))
    both = (reading(50), reading(50, gpu="GPU-1", number="1"))

    first = look(begun(run), *both, load=Load(pids=frozenset(), cpu_ms=900, memory_bytes=70))
    second = look(first.watched, *both, load=Load(pids=frozenset(), cpu_ms=1000, memory_bytes=50))

    told = [(row.gpu, row.cpu_ms, row.host_memory_peak_bytes) for row in second.watched.rows]
    assert told == [("GPU-0", 1000, 70), ("GPU-1", None, None)]


def test_a_sample_has_the_mean_and_a_run_without_gpu_its_load() -> None:
    load = Load(pids=frozenset(), cpu_ms=5, memory_bytes=6)

    (sample,) = look(begun(), reading(10, 21), load=load).samples
    (alone,) = look(begun(replace(RUN, gpus=())), reading(10), load=load).samples

    assert (sample.gpu, sample.utilization, sample.cpu_ms) == ("GPU-0", 16, 5)
    assert (alone.gpu, alone.utilization, alone.host_memory_bytes) == ("cpu", None, 6)


def test_gpus_are_those_given_or_all_or_those_with_a_process_of_the_run() -> None:
    readings = (
        reading(),
        reading(gpu="MIG-A", number="0.7", model="MIG 1g"),
        reading(gpu="GPU-1", number="1", pids=frozenset({7})),
    )
    load = Load(pids=frozenset({7}), cpu_ms=0, memory_bytes=0)
    given = replace(RUN, gpus=(UsedGpu(uuid="GPU-1", model="?"), UsedGpu(uuid="GPU-9", model="?")))
    unnamed = replace(RUN, gpus=())

    assert used_gpus(given, readings, load) == (
        UsedGpu(uuid="GPU-1", model="NVIDIA H200"),
        UsedGpu(uuid="GPU-9", model="?"),
    )
    every = used_gpus(replace(unnamed, gpus_asked="all"), readings, load)
    assert [one.uuid for one in every] == ["MIG-A", "GPU-1"]
    assert [one.uuid for one in used_gpus(unnamed, readings, load)] == ["GPU-1"]
    assert used_gpus(unnamed, readings, None) == ()
    assert used_gpus(replace(unnamed, gpus_asked="all"), readings, None) == ()


def test_a_divided_gpu_is_there_as_its_instances() -> None:
    readings = (reading(), reading(gpu="MIG-A", number="0.7", model="MIG 1g"))

    assert machine_gpus("h", START, readings) == (
        MachineGpu(
            host="h", gpu="MIG-A", model="MIG 1g", first_ms=START.wall_ms, last_ms=START.wall_ms
        ),
    )


def test_a_run_that_was_never_seen_is_settled_as_its_whole_time() -> None:
    ended = replace(RUN, ended_ms=DECEMBER + 1000, duration_ms=4000)

    rows = settle(ended, ())

    assert [(one.month, one.allocated_ms, one.covered_ms) for one in rows] == [
        ("2026-11", 3000, 0),
        ("2026-12", 1000, 0),
    ]
    assert is_settled(ended, rows)
    assert not is_settled(ended, ())
    assert not is_settled(RUN, ())


def test_what_was_seen_after_the_end_is_taken_back() -> None:
    watched = look(begun(), reading(100, 100, 10)).watched

    (row,) = settle(replace(RUN, ended_ms=START.wall_ms, duration_ms=12_000), watched.rows)

    assert (row.allocated_ms, row.covered_ms) == (12_000, 12_000)
    assert row.buckets == (0, 5000, 0, 0, 0, 0, 0, 0, 0, 7000)


LOOKS = st.lists(
    st.tuples(
        st.integers(0, 50_000),
        st.sampled_from([0, 0, 0, -7_200_000, 5_000_000_000]),
        st.lists(st.floats(0, 100), max_size=7),
    ),
    max_size=8,
)


@given(looks=LOOKS, duration_ms=st.integers(0, 400_000))
def test_the_sums_hold_whatever_is_seen(
    looks: list[tuple[int, int, list[float]]], duration_ms: int
) -> None:
    watched = begun()
    for elapsed_ms, jump_ms, percents in looks:
        watched = look(watched, reading(*percents), elapsed_ms=elapsed_ms, jump_ms=jump_ms).watched
    assert total(watched.rows) == sum(elapsed_ms for elapsed_ms, _, _ in looks)

    ended = replace(RUN, ended_ms=watched.since.wall_ms, duration_ms=duration_ms)
    rows = settle(ended, watched.rows)

    assert total(rows) == duration_ms
    assert all(sum(one.buckets) == one.covered_ms <= one.allocated_ms for one in rows)
    assert all(part >= 0 for one in rows for part in one.buckets)
    assert settle(ended, rows) == rows


def total(rows: tuple[RunGpu, ...]) -> int:
    return sum(row.allocated_ms for row in rows)
