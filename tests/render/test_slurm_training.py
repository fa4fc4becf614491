"""Real trainings of ultralytics in jobs of Slurm, interrupted and resumed."""

from __future__ import annotations

import csv
import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv_train.images import make_data
from tests.engines.place import install
from tests.engines.provide import provide
from tests.engines.slurm import PACKAGES, run_slurm
from tests.render.jobs import Jobs
from tests.render.stand_ins import DOCKER, put_program
from tests.render.workloads import LABEL
from tests.verify.versions import NEW, make_torch, put_ultralytics

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.exact, pytest.mark.full]

EPOCHS = 5
YOLO = """\
#!/bin/sh
exec {python} -Bc '
try:
    from ultralytics.cfg import entrypoint
except ImportError:
    from ultralytics.yolo.cfg import entrypoint
entrypoint()
' "$@"
"""


@pytest.fixture(params=["8.4.190", "8.2.50", "8.0.100"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def python(version: str, exact_python: Path, tmp_path: Path) -> str:
    """The Python of an environment with this version of ultralytics."""
    if version == LABEL.ultralytics:
        return str(exact_python)
    torch = provide(lambda place: make_torch(NEW, place))
    return provide(lambda _: put_ultralytics(torch, version, tmp_path / "version").python)


def epochs(save_dir: Path) -> int:
    results = save_dir / "results.csv"
    if not results.exists():
        return 0
    with results.open() as file:
        return len({row[0] for row in csv.reader(file)}) - 1


def test_a_training_goes_on_from_its_last_epoch(version: str, python: str, tmp_path: Path) -> None:
    provide(lambda _: install(PACKAGES))
    folder = tmp_path / "project"
    put_program(folder / "bin" / "yolo", YOLO.format(python=python))
    put_program(folder / "bin" / "docker", DOCKER)
    data, _ = make_data(folder / "data", 8)
    words = (f"data={data}", "model=yolov8n.yaml", f"epochs={EPOCHS}", "imgsz=32", "batch=4")
    slow = ("device=cpu", "plots=False", "amp=False")
    with run_slurm(tmp_path / "slurm") as slurm:
        variables = {
            "PATH": f"{folder}/bin:/usr/local/bin:/usr/bin:/bin",
            "WORDS": str(folder / "words"),
            "YOLO_CONFIG_DIR": str(folder / "config"),
        }
        jobs = Jobs(slurm=slurm, folder=folder, variables=variables)
        script = jobs.write(
            "yolo",
            "train",
            *words,
            *slow,
            runtime="docker",
            label=replace(LABEL, ultralytics=version),
        )
        job = jobs.submit(script)
        save_dir = folder / "runs" / f"job-{job}"
        end = time.monotonic() + 200
        while not (save_dir / "weights" / "last.pt").exists():
            assert time.monotonic() < end, jobs.output(job)
            time.sleep(0.05)

        slurm.interrupt(job)

        slurm.wait(job, "PENDING")
        before = epochs(save_dir)
        slurm.restart(job)
        assert jobs.ended(job, within_s=200) == "0:0", jobs.output(job)
    assert 0 < before < EPOCHS
    assert epochs(save_dir) == EPOCHS
    assert f"resuming from {save_dir}/weights/last.pt" in jobs.output(job)
    assert sorted(path.name for path in (folder / "runs").iterdir()) == [f"job-{job}"]
