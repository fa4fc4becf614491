"""Rendered job scripts in a real Slurm, with what takes the place of Docker and pyxis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.model.launch import PROJECT_LABEL
from snapenv.render.apptainer import file_of_image
from tests.archive.making import make_archive, make_config
from tests.engines.apptainer import UID, make_apptainer
from tests.engines.busybox import small_layer
from tests.engines.place import install
from tests.engines.provide import provide
from tests.engines.slurm import PACKAGES, run_slurm
from tests.engines.spank import make_plug_in
from tests.render.jobs import Jobs
from tests.render.stand_ins import DOCKER, YOLO, put_program
from tests.render.workloads import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRAINING = ("yolo", "train", "epochs=100")
ASKS_TO_GO_ON = "trap 'exit 75' INT; echo up; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """A project on a cluster whose Docker and pyxis start no containers."""
    folder = tmp_path_factory.mktemp("project")
    put_program(folder / "bin" / "yolo", YOLO)
    put_program(folder / "bin" / "docker", DOCKER)
    cluster = tmp_path_factory.mktemp("slurm")
    provide(lambda _: install(PACKAGES))
    plug_in = provide(lambda _: make_plug_in(cluster))
    with run_slurm(cluster, more=plug_in) as slurm:
        path = f"{folder}/bin:/usr/local/bin:/usr/bin:/bin"
        variables = {"PATH": path, "WORDS": str(folder / "words")}
        yield Jobs(slurm=slurm, folder=folder, variables=variables)


@pytest.fixture(scope="module")
def limited(jobs: Jobs) -> int:
    """A training that has begun, and that Slurm interrupts when it looks at time limits next."""
    script = jobs.write(*TRAINING, runtime="docker", project="demo")
    job = jobs.submit("--time=1", "--signal=B:INT@60", script)
    jobs.slurm.wait(job, "RUNNING")
    return job


@pytest.mark.parametrize("runtime", ["apptainer", "docker", "pyxis"])
def test_sbatch_takes_the_script(jobs: Jobs, runtime: Any, limited: int) -> None:  # noqa: ANN401
    script = jobs.write(*TRAINING, runtime=runtime, gpus=2)

    def tried(*words: str) -> int:
        return jobs.slurm.call(
            "sbatch", "--test-only", *words, script, folder=jobs.folder
        ).returncode

    assert limited
    assert tried() == 0
    assert tried("--gres=gpu:9") == 1  # the directive is overruled, and there are two
    assert tried("--partition=none") == 1


def test_docker_is_handed_what_the_job_has(jobs: Jobs) -> None:
    script = jobs.write("sh", "-c", "exit 7", runtime="docker", gpus=1, memory_bytes=1 << 30)

    code = jobs.ended(jobs.submit(script), "FAILED")

    words = (jobs.folder / "words").read_text().splitlines()
    assert code == "7:0"
    assert words[words.index("--gpus") + 1] == '"device=0"'
    assert words[words.index("--cpus") + 1] == "1"
    assert words[words.index("--memory") + 1] == "1024m"
    assert f"type=bind,source={jobs.folder},target={jobs.folder}" in words


def test_without_a_command_the_environment_is_checked(jobs: Jobs) -> None:
    job = jobs.submit(jobs.write(runtime="docker"))

    assert jobs.ended(job, "FAILED") == "127:0"  # this machine has no such check
    assert "/opt/snapenv/bin/snapenv-check" in jobs.output(job)


def test_a_program_that_asks_for_it_goes_back_into_the_queue(jobs: Jobs) -> None:
    script = jobs.write("sh", "-c", ASKS_TO_GO_ON, runtime="docker")
    job = jobs.submit(script)
    jobs.until(job, "up")

    jobs.slurm.interrupt(job)

    assert jobs.slurm.wait(job, "PENDING")["Restarts"] == "1"
    jobs.slurm.call("scancel", str(job))


def test_a_program_that_does_not_ask_has_its_exit_code(jobs: Jobs) -> None:
    script = jobs.write("sh", "-c", ASKS_TO_GO_ON.replace("75", "9"), runtime="docker")
    job = jobs.submit(script)
    jobs.until(job, "up")

    jobs.slurm.interrupt(job)

    assert jobs.ended(job, "FAILED") == "9:0"


def test_a_training_that_has_no_new_checkpoint_is_not_tried_for_ever(jobs: Jobs) -> None:
    slow = put_program(
        jobs.folder / "slow" / "yolo", YOLO.replace("EPOCH_S, SAVE_S = 0.4", "EPOCH_S, SAVE_S = 60")
    )
    job = jobs.submit(jobs.write(str(slow), "train", "epochs=9", runtime="docker"))
    jobs.until(job, "from epoch 0 on")

    jobs.slurm.interrupt(job)

    assert jobs.ended(job, "FAILED") == "130:0"


def test_a_checkpoint_that_is_being_written_is_waited_for(jobs: Jobs) -> None:
    slow = YOLO.replace("EPOCH_S, SAVE_S = 0.4, 0.1", "EPOCH_S, SAVE_S = 1.5, 1.0")
    program = put_program(jobs.folder / "slow saving" / "yolo", slow)
    job = jobs.submit(jobs.write(str(program), "train", "epochs=30", runtime="docker"))
    checkpoint = jobs.folder / "runs" / f"job-{job}" / "weights" / "last.pt"
    wait_for(checkpoint)

    jobs.slurm.interrupt(job)

    jobs.slurm.wait(job, "PENDING")
    jobs.slurm.restart(job)
    assert jobs.ended(job) == "0:0"
    output = jobs.output(job)
    assert "warning" not in output
    assert output.count("from epoch 0 on") == 1  # the first save was waited for
    assert "trained 30 epochs" in output
    assert [path.name for path in checkpoint.parents[1].iterdir()] == ["weights"]


def test_a_checkpoint_that_was_cut_off_is_replaced_by_the_kept_one(jobs: Jobs) -> None:
    job = jobs.submit(jobs.write(*TRAINING, runtime="docker"))
    checkpoint = jobs.folder / "runs" / f"job-{job}" / "weights" / "last.pt"
    wait_for(checkpoint)
    jobs.slurm.interrupt(job)
    jobs.slurm.wait(job, "PENDING")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])

    jobs.slurm.restart(job)

    assert jobs.ended(job) == "0:0"
    assert f"resuming from {checkpoint}\n" in jobs.output(job)
    assert "trained 100 epochs" in jobs.output(job)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_pyxis_is_told_of_image_and_folders_and_hands_on_the_signal(jobs: Jobs) -> None:
    job = jobs.submit(
        jobs.write("sh", "-c", f"env; {ASKS_TO_GO_ON}", runtime="pyxis", data=("/usr/share",))
    )
    jobs.until(job, "up")

    jobs.slurm.interrupt(job)

    assert jobs.slurm.wait(job, "PENDING")["Restarts"] == "1"
    jobs.slurm.call("scancel", str(job))
    told = dict(line.partition("=")[::2] for line in jobs.output(job).splitlines())
    assert told["PYXIS_IMAGE"] == f"example.com#team/env:{IMAGE.digest}"
    assert told["PYXIS_MOUNTS"] == f"{jobs.folder}:{jobs.folder},/usr/share:/usr/share:ro"
    assert told["PYXIS_WORKDIR"] == str(jobs.folder)
    assert told["PYXIS_NO_HOME"] == "yes"
    assert told["SLURM_RESTART_COUNT"] == "0"


@pytest.fixture
def apptainer_jobs(jobs: Jobs, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """A project whose image lies beside its script, as a SIF file."""
    folder = tmp_path_factory.mktemp("apptainer")
    layer = provide(lambda _: small_layer({}, links=("env", "id", "sh", "sleep")))
    archive = make_archive(folder / "archive", [layer], config=make_config([layer]))
    program = str(provide(lambda place: make_apptainer(place, folder)))
    sif = file_of_image(IMAGE, "sif")
    unpack = f"mkdir image && zstd -dcq {archive.name} | tar -x -C image"
    built = jobs.slurm.call(
        "sh", "-euc", f"{unpack} && {program} build {sif} oci:image", folder=folder
    )
    assert built.returncode == 0, built.stderr
    path = f"{folder}:/usr/local/bin:/usr/bin:/bin"
    variables = {"PATH": path, "TMPDIR": str(folder)}  # its /tmp is another
    return Jobs(slurm=jobs.slurm, folder=folder, variables=variables)


def test_apptainer_runs_the_job_and_hands_on_the_signal(apptainer_jobs: Jobs) -> None:
    jobs = apptainer_jobs
    job = jobs.submit(
        jobs.write("sh", "-c", f"id -u; {ASKS_TO_GO_ON.replace('75', '9')}", runtime="apptainer")
    )
    jobs.until(job, f"{UID}\nup\n")

    jobs.slurm.interrupt(job)

    assert jobs.ended(job, "FAILED") == "9:0"


def test_a_training_is_interrupted_before_its_limit_and_resumed(jobs: Jobs, limited: int) -> None:
    waiting = jobs.slurm.wait(limited, "PENDING", within_s=90)

    assert waiting["Restarts"] == "1"
    assert f"{PROJECT_LABEL}=demo" in waiting["Comment"].split(",")
    jobs.slurm.restart(limited)
    assert jobs.ended(limited) == "0:0"
    output = jobs.output(limited)
    checkpoint = jobs.folder / "runs" / f"job-{limited}" / "weights" / "last.pt"
    assert f"resuming from {checkpoint}\n" in output
    interrupted = int(output.partition("interrupted after epoch ")[2].splitlines()[0])
    resumed = int(output.rpartition("from epoch ")[2].partition(" ")[0])
    assert resumed in {interrupted, interrupted - 1}  # if a save was cut off, one epoch earlier
    assert "trained 100 epochs" in output
