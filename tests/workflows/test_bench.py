from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import ArchiveError, NotFoundError, UsageError
from snapenv.lock.store import write_snapshot
from snapenv.model.bench import BenchOptions, Inference
from snapenv.ports import Completed
from snapenv.steps.kept_benches import keep_bench, kept_benches
from snapenv.tuning.measure import Measured
from snapenv.workflows.bench import BenchCommand, bench
from tests.samples import sample_facts, sample_lock, sample_snapshot
from tests.tuning.samples import sample_bench, sample_run
from tests.workflows.services import REPOSITORY, services, target

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import BenchResult
    from tests.fakes import FakeTarget

SNAPSHOT = sample_snapshot(sample_lock())
INFERENCE = Inference(latency_ms=5, latency_p95_ms=7, images_per_s=400, batch=8)


def answering(images_per_s: float = 20.0) -> FakeTarget:
    """Return a venv in which each training goes as fast."""
    measured = Measured(run=sample_run(images_per_s), inference=INFERENCE)
    answer = f"a banner\nsnapenv-bench: {msgspec.json.encode(measured).decode()}\n"
    made = target(sample_facts())
    made.answers["snapenv_bench.pyz"] = Completed(exit_code=0, stdout=answer, stderr="")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_snapshot(SNAPSHOT, tmp_path / "snapshot")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return tmp_path


def run(folder: Path, images_per_s: float = 20.0, **options: Any) -> Outcome[BenchResult]:  # noqa: ANN401
    request = BenchCommand(
        ref=str(folder / "snapshot"), engine="venv", into=folder / ".venv", repository=REPOSITORY
    )
    made = replace(services(here=answering(images_per_s)), state=folder / "state")
    return bench(replace(request, **options), made)


def test_the_same_training_is_measured_so_many_times(folder: Path) -> None:
    done = run(folder, repeat=2)

    assert len(done.result.bench.runs) == 2
    assert done.result.bench.inference == INFERENCE
    assert done.result.snapshot == SNAPSHOT.digest
    assert list(done.lines) == wording(
        [
            "yolov8n.yaml at 64 px, batch 4, 0 workers, on 2 x Intel(R) Xeon(R) Platinum 8480C: 2 runs of 10 steps",
            "images/s    20.0  (20.0 to 20.0)",
            "step        200.0 ms  (95 % below 200.0 ms)",
            "phases      waiting for data 5%, preprocess 1%, forward 30%, backward 50%, optimizer 10%, other 4%",
            "processors  1.60 of 2  (loaders 0.10; memory 500.0 MB)",
            "inference   5.0 ms  (95 % below 7.0 ms; 400.0 images/s at batch 8)",
        ]
    )


def test_it_is_compared_with_the_time_before(folder: Path) -> None:
    run(folder, 20.0)

    faster = run(folder, 30.0)

    (before,) = faster.result.others
    assert (before.images_per_s, before.ratio, before.apart) == (20.0, 1.5, True)
    assert "1.50 times as fast" in faster.lines[-1]
    (kept,) = kept_benches(folder / "state", SNAPSHOT.digest)
    assert kept == faster.result.bench


def test_one_run_proves_no_difference(folder: Path) -> None:
    run(folder, 20.0, repeat=1)

    again = run(folder, 30.0, repeat=1)

    assert [other.apart for other in again.result.others] == [False]
    assert "no difference beyond the noise" in again.lines[-1]


def test_a_bench_that_was_disturbed_proves_no_difference(folder: Path) -> None:
    other = sample_bench(5.0, 5.0, machine="other")
    uneven = replace(other.runs[0], step_ms=(800.0,) * 8 + (2000.0,) * 2)
    keep_bench(folder / "state", SNAPSHOT.digest, replace(other, runs=(uneven, uneven)))

    (compared,) = run(folder, 20.0).result.others

    assert (compared.ratio, compared.apart) == (4.0, False)


def test_repeats_that_overlap_are_no_difference(folder: Path) -> None:
    keep_bench(folder / "state", SNAPSHOT.digest, sample_bench(10.0, 20.0, 30.0, machine="other"))

    (other,) = run(folder, 20.0).result.others

    assert (other.machine, other.apart) == ("other", False)


def test_what_another_machine_has_printed_is_compared(folder: Path) -> None:
    there = folder / "there.json"
    bench_there = sample_bench(5.0, 5.0, machine="another")
    document = {"result": {"bench": msgspec.to_builtins(bench_there)}}
    there.write_text(json.dumps(document))

    (other,) = run(folder, 20.0, compare=(there,)).result.others

    assert (other.machine, other.ratio, other.apart) == ("another", 4.0, True)


def test_another_training_is_not_compared(folder: Path) -> None:
    other = sample_bench(20.0)
    bigger = replace(
        other,
        runs=tuple(replace(each, options=replace(each.options, batch=64)) for each in other.runs),
    )
    keep_bench(folder / "state", SNAPSHOT.digest, bigger)
    there = folder / "there.json"
    there.write_text(json.dumps({"result": {"bench": msgspec.to_builtins(bigger)}}))

    assert run(folder).result.others == ()
    with pytest.raises(UsageError) as caught:
        run(folder, compare=(there,))
    assert "batch 64" in caught.value.message


def test_what_is_no_bench_is_refused_before_anything_is_trained(folder: Path) -> None:
    damaged = folder / "damaged.json"
    damaged.write_text('{"result": {}}')

    with pytest.raises(ArchiveError):
        run(folder, compare=(damaged,))
    with pytest.raises(NotFoundError):
        run(folder, compare=(folder / "none.json",))


def test_data_is_of_a_venv_or_of_a_running_container(folder: Path) -> None:
    with pytest.raises(UsageError):
        run(folder, engine="docker", options=BenchOptions(data="data.yaml"))
    with pytest.raises(NotFoundError):
        run(folder, options=BenchOptions(data=str(folder / "none.yaml")))


def test_a_bench_that_cannot_be_kept_is_shown_all_the_same(folder: Path) -> None:
    (folder / "state").write_text("no folder")

    assert run(folder).exit_code == 0
