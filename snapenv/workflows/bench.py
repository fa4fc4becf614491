"""Measure how fast a training goes in an environment, and compare it with other machines."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from snapenv.errors import UsageError
from snapenv.model.outcome import Outcome
from snapenv.model.results import BenchResult, OtherBench
from snapenv.report.bench_text import bench_lines
from snapenv.steps.benching import BenchRequest
from snapenv.steps.benching import bench as run_bench
from snapenv.steps.kept_benches import comparable, keep_bench, kept_benches, read_bench

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.bench import Bench
    from snapenv.ports import Services


class BenchCommand(BenchRequest, frozen=True, kw_only=True):
    """What a user may ask of the command."""

    compare: tuple[Path, ...] = ()  # what it printed on other machines


def bench(request: BenchCommand, services: Services) -> Outcome[BenchResult]:
    """Measure, keep what was measured, and compare it with what is kept or named.

    Raises:
        ArchiveError: What is to be compared with is no bench.
        BenchError: It did not train.
        NotFoundError: There is no such environment, data or file here.
        UsageError: What is to be compared with trained something else.
    """
    named = [read_bench(path) for path in request.compare]
    done = run_bench(request, services)
    made, digest = done.bench, done.snapshot.digest
    for path, other in zip(request.compare, named, strict=True):
        if comparable(other) != comparable(made):
            raise UsageError(
                f"{path} is of another training: {_differing(other, made)}",
                hint="Give the same options as there.",
            )
    kept = kept_benches(services.state, digest)
    others = [other for other in (*kept, *named) if comparable(other) == comparable(made)]
    keep_bench(services.state, digest, made)
    result = BenchResult(
        snapshot=digest,
        image=done.runnable.result.image,
        path=done.runnable.result.path,
        bench=made,
        others=tuple(_other(other, made) for other in others),
    )
    return Outcome(command="bench", result=result, lines=bench_lines(result))


def _differing(other: Bench, made: Bench) -> str:
    left, right = comparable(other), comparable(made)
    names = [name for name in left.__struct_fields__ if getattr(left, name) != getattr(right, name)]
    return ", ".join(f"{name} {getattr(left, name)}" for name in names)


def _other(other: Bench, made: Bench) -> OtherBench:
    """Compare two benches.

    They are apart where no repeat of one lies among those of the other, and nothing disturbed them.
    """
    theirs, ours = ([run.images_per_s for run in each.runs] for each in (other, made))
    apart = min(ours) > max(theirs) or max(ours) < min(theirs)
    return OtherBench(
        machine=other.machine,
        at=other.at,
        images_per_s=median(theirs),
        ratio=median(ours) / median(theirs),
        apart=apart and len(ours) > 1 and len(theirs) > 1 and not (other.noisy or made.noisy),
    )
