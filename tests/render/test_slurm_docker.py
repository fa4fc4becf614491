"""Rendered job scripts that start containers of a real Docker in a real Slurm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import requests

from snapenv.model.image import ImageRef
from snapenv.model.oci import DOCKER_MANIFEST
from tests.engines.engine import connect
from tests.engines.place import install
from tests.engines.provide import provide
from tests.engines.slurm import PACKAGES, run_slurm
from tests.render.jobs import Jobs
from tests.render.stand_ins import YOLO, put_program

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory, engine_host: str) -> Iterator[Jobs]:
    """A project on a cluster of one node, which has Docker."""
    folder = tmp_path_factory.mktemp("project")
    put_program(folder / "bin" / "yolo", YOLO)
    provide(lambda _: install(PACKAGES))
    with run_slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield Jobs(slurm=slurm, folder=folder, variables={"DOCKER_HOST": engine_host})


@pytest.fixture(scope="module")
def image(base_image: str) -> ImageRef:
    """An image with a Python, by its digest."""
    ref = ImageRef.parse(base_image)
    url = f"http://{ref.registry}/v2/{ref.path}/manifests/{ref.tag}"
    answer = requests.head(url, headers={"Accept": DOCKER_MANIFEST}, timeout=10)
    return ref.at(answer.headers["Docker-Content-Digest"])


def containers(engine: str, job: int) -> list[str]:
    with connect(engine, timeout_s=60) as client:
        named = {"name": f"snapenv-job-{job}$"}
        return [one["Id"] for one in client.containers(all=True, filters=named)]


def test_the_exit_code_is_that_of_the_program(
    jobs: Jobs, image: ImageRef, engine_host: str
) -> None:
    script = jobs.write("sh", "-c", "pwd; exit 7", runtime="docker", image=image)

    job = jobs.submit(script)

    assert jobs.ended(job, "FAILED") == "7:0"
    assert str(jobs.folder) in jobs.output(job).splitlines()
    assert containers(engine_host, job) == []


@pytest.mark.parametrize(
    "program",
    [
        "echo up; exec sleep 100",
        pytest.param("trap '' INT TERM; echo up; sleep 100", marks=pytest.mark.full),
    ],
    ids=["ends", "must be killed"],
)
def test_a_cancelled_job_leaves_no_container(
    jobs: Jobs, image: ImageRef, engine_host: str, program: str
) -> None:
    job = jobs.submit(jobs.write("sh", "-c", program, runtime="docker", image=image))
    jobs.until(job, "up")
    assert len(containers(engine_host, job)) == 1

    jobs.slurm.call("scancel", str(job))

    jobs.slurm.wait(job, "CANCELLED")
    end = time.monotonic() + 60
    while containers(engine_host, job):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_an_interrupted_training_is_resumed_where_it_stopped(jobs: Jobs, image: ImageRef) -> None:
    job = jobs.submit(jobs.write("yolo", "train", "epochs=200", runtime="docker", image=image))
    checkpoint = jobs.folder / "runs" / f"job-{job}" / "weights" / "last.pt"
    end = time.monotonic() + 60
    while not checkpoint.exists():
        assert time.monotonic() < end, jobs.output(job)
        time.sleep(0.1)

    jobs.slurm.interrupt(job)

    jobs.slurm.wait(job, "PENDING")
    jobs.slurm.restart(job)
    assert jobs.ended(job) == "0:0"
    output = jobs.output(job)
    interrupted = int(output.partition("interrupted after epoch ")[2].splitlines()[0])
    resumed = int(output.rpartition("from epoch ")[2].partition(" ")[0])
    assert resumed in {interrupted, interrupted - 1}  # if a save was cut off, one epoch earlier
    assert "trained 200 epochs" in output
