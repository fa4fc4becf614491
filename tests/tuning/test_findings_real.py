"""What is found of real trainings, with something planted: large images, a limit of CPUs, others.

This machine may be busy with other work while it tests: that it is so is found, and no error.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.model.bench import Bench, BenchOptions
from snapenv.targets.local import LocalTarget
from snapenv.tuning.findings import find_findings
from snapenv.tuning.measure import measure
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.findings import Finding

pytestmark = pytest.mark.exact

DRAW = """
import sys, cv2, numpy as np
from pathlib import Path
folder = Path(sys.argv[1]); (folder / "images").mkdir(); (folder / "labels").mkdir()
random, names = np.random.default_rng(0), []
for number in range(4):
    spots = random.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    path = folder / "images" / f"{number}.jpg"
    cv2.imwrite(str(path), cv2.resize(spots, (4000, 3000)))
    (folder / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.25 0.25")
    names.append(str(path))
(folder / "train.txt").write_text("\\n".join(names * 16))
(folder / "data.yaml").write_text(f"path: {folder}\\ntrain: train.txt\\nval: train.txt\\nnames: [a]")
"""
SMALL = BenchOptions(
    imgsz=64, batch=4, workers=0, amp=False, augment=False, warmup_steps=4, steps=20
)
PERIOD_US = 100_000


@dataclass
class Planting(FakeTask):
    """A task that plants something when the first step is done: what comes before may be quick."""

    plant: Callable[[], object] = list

    def note(self, text: str) -> None:
        if text == "step 1":
            self.plant()


def diagnose(
    python: Path, options: BenchOptions, *, plant: Callable[[], object] = list
) -> tuple[Finding, ...]:
    """Measure one run, and find what there is."""
    run = measure(LocalTarget(str(python)), options, Planting(plant=plant)).run
    print(run.phases, run.cpu)  # noqa: T201 - where the test fails
    return find_findings(
        Bench(runs=(run,), inference=None, machine="a machine", snapenv="1", at="now")
    )


def errors(findings: tuple[Finding, ...]) -> list[str]:
    return [each.id for each in findings if each.severity == "error"]


def test_large_images_without_workers_are_waited_for(exact_python: Path, tmp_path: Path) -> None:
    subprocess.run((exact_python, "-c", DRAW, tmp_path), check=True)
    options = BenchOptions(
        data=str(tmp_path / "data.yaml"),
        imgsz=64,
        batch=4,
        workers=0,
        amp=False,
        augment=False,
        warmup_steps=1,
        steps=6,
    )

    findings = diagnose(exact_python, options)

    assert errors(findings) == ["application.data-wait"]
    wait = next(each for each in findings if each.id == "application.data-wait")
    assert wait.figure > 0.4
    assert "workers=" in wait.next


def test_a_limit_of_cpus_is_found(exact_python: Path, tmp_path: Path) -> None:
    with own_group(exact_python, tmp_path) as (python, limit):
        findings = diagnose(python, SMALL, plant=lambda: limit(0.25))

    assert errors(findings) == ["system.cpu-quota"]
    assert "system.busy-machine" not in [each.id for each in findings]


@pytest.mark.full
def test_programs_that_take_the_cpu_are_no_limit(exact_python: Path, tmp_path: Path) -> None:
    """There is a limit as well, and it is not what the training meets."""
    with (
        own_group(exact_python, tmp_path) as (python, limit),
        contextlib.ExitStack() as neighbours,
    ):

        def plant() -> None:
            limit(1.5)
            neighbours.enter_context(busy_neighbours(8))

        findings = diagnose(python, SMALL, plant=plant)

    assert errors(findings) == []
    assert "system.busy-machine" in [each.id for each in findings]


@pytest.mark.full
def test_nothing_holds_a_usual_training_back(exact_python: Path) -> None:
    assert errors(diagnose(exact_python, SMALL)) == []


@contextlib.contextmanager
def own_group(python: Path, folder: Path) -> Iterator[tuple[Path, Callable[[float], None]]]:
    """Yield an interpreter in a control group of its own, and what limits the CPUs of that."""
    group = _make_group()
    program = folder / "python"
    program.write_text(
        f'#!/bin/sh\necho $$ > {group}/cgroup.procs\nexec {shlex.quote(str(python))} "$@"\n'
    )
    program.chmod(0o755)

    def limit(cpus: float) -> None:
        quota = int(cpus * PERIOD_US)
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (group / "cpu.cfs_quota_us").write_text(str(quota))

    try:
        yield program, limit
    finally:
        group.rmdir()


def _make_group() -> Path:
    root = Path("/sys/fs/cgroup")
    group = (root / "cpu" if (root / "cpu").is_dir() else root) / f"snapenv-test-{uuid.uuid4().hex}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    if not any((group / name).exists() for name in ("cpu.max", "cpu.cfs_quota_us")):
        group.rmdir()
        pytest.skip("control groups of this machine limit no CPUs")
    return group


@contextlib.contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Keep the CPUs busy beside."""
    words = (sys.executable, "-c", "while True: pass")
    with contextlib.ExitStack() as ending:
        for _ in range(count):
            busy = ending.enter_context(subprocess.Popen(words))
            ending.callback(busy.kill)
        yield
