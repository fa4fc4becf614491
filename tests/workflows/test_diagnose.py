from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError
from snapenv.lock.store import write_snapshot
from snapenv.ports import Completed
from snapenv.report.text import outcome_text
from snapenv.steps.kept_benches import keep_bench, kept_benches
from snapenv.tuning.measure import Measured
from snapenv.workflows.diagnose import Diagnose, diagnose
from tests.samples import sample_facts, sample_lock, sample_snapshot
from tests.tuning.benches import QUIET, sample_bench, sample_run
from tests.workflows.services import REPOSITORY, services, target

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.bench import Phases
    from snapenv.model.outcome import Outcome
    from snapenv.model.results import DiagnoseResult

SNAPSHOT = sample_snapshot(sample_lock())
WAITING = replace(QUIET, wait=0.73, forward=0.1, backward=0.15)
UNSTEADY = (100.0,) * 18 + (270.0,) * 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_snapshot(SNAPSHOT, tmp_path / "snapshot")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return tmp_path


def run(
    folder: Path,
    phases: Phases = QUIET,
    *,
    step_ms: tuple[float, ...] = (100.0,) * 20,
    kept: bool = False,
) -> Outcome[DiagnoseResult]:
    """Diagnose a venv in which each training goes as told."""
    measured = Measured(run=sample_run(phases=phases, step_ms=step_ms))
    answer = f"a banner\nsnapenv-bench: {msgspec.json.encode(measured).decode()}\n"
    here = target(sample_facts())
    here.answers["snapenv_bench.pyz"] = Completed(exit_code=0, stdout=answer, stderr="")
    request = Diagnose(
        ref=str(folder / "snapshot"),
        engine="venv",
        into=folder / ".venv",
        repository=REPOSITORY,
        kept=kept,
    )
    return diagnose(request, replace(services(here=here), state=folder / "state"))


def test_a_training_that_waits_for_its_data_is_held_back(folder: Path) -> None:
    done = run(folder, WAITING, step_ms=UNSTEADY)

    assert done.exit_code == 1
    assert [each.id for each in done.result.findings] == ["system.noise", "application.data-wait"]
    assert done.result.next == "application.data-wait"
    assert done.verdict
    assert (done.verdict.part, done.verdict.check) == ("workload", "application.data-wait")
    assert outcome_text(done).plain == wording("""\
! system.noise     expected: at most 1.5 (measured: 1.0 to 1.3 on a quiet machine, up to 2.7 on a busy one); actual: 95th percentile of the steps over their median: 2.7
  fix: Measure again when nothing else runs.
✗ application.data-wait expected: at most 20% (measured: 7 to 10 % with small images and no workers, 73 % with large ones); actual: 73% of a step is waiting for data, with workers=4
yolov8n.yaml at 640 px, batch 16, 4 workers, on 8 x Intel(R) Xeon(R) Platinum 8480C: 3 runs of 20 steps
images/s    160.0  (160.0 to 160.0)
step        100.0 ms  (95 % below 270.0 ms)
phases      waiting for data 73%, preprocess 1%, forward 10%, backward 15%, optimizer 5%, other 0%
processors  3.50 of 8  (loaders 0.50; memory 1.0 GB)
✗ workload: held back: 73% of a step is waiting for data, with workers=4; 1 warning
  next: Try workers=7, and compare images/s.\
""")


def test_nothing_holds_a_quiet_training_back(folder: Path) -> None:
    done = run(folder)

    assert done.exit_code == 0
    assert (done.result.findings, done.result.next) == ((), None)
    assert done.verdict
    assert (done.verdict.ok, done.verdict.next) == (True, None)


def test_a_warning_is_no_no(folder: Path) -> None:
    done = run(folder, step_ms=UNSTEADY)

    assert done.exit_code == 0
    assert done.result.next == "system.noise"
    assert done.verdict
    assert done.verdict.ok


def test_what_was_measured_is_kept_and_read_again(folder: Path) -> None:
    older = replace(sample_bench(sample_run()), machine="another", at="2020-01-01T00:00:00+00:00")
    keep_bench(folder / "state", SNAPSHOT.digest, older)
    first = run(folder, WAITING)

    again = run(folder, QUIET, kept=True)

    assert kept_benches(folder / "state", SNAPSHOT.digest) == (older, first.result.bench)
    assert again.result == first.result


def test_where_nothing_is_kept_nothing_is_found(folder: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        run(folder, kept=True)

    assert "--kept" in caught.value.hint
