"""Job scripts of Slurm, as values; test_slurm_jobs.py runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.model.launch import Mount, Port
from snapenv.render.slurm import SlurmOptions, parse_time, render_slurm
from tests.render.workloads import LABEL, content, differing, workload

SCRIPT = "train-yolov8.4.190-base-cu130.sbatch"
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
RUNTIMES = ("apptainer", "docker", "pyxis")
each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)
TRAINING = ("yolo", "train", "data=coco.yaml", "epochs=100")
WISHES: dict[str, Any] = {
    "data": ("/datasets/coco",),
    "project": "demo",
    "purpose": "first try",
    "model": "yolov8n",
    "cpus": 4.0,
    "memory_bytes": 64 << 30,
}


def script(*argv: str, options: dict[str, Any] | None = None, **wishes: Any) -> str:  # noqa: ANN401
    made = render_slurm(workload(*argv, **wishes), SlurmOptions(**(options or {})))
    assert made.start == f"sbatch {SCRIPT}"
    return content(made, SCRIPT)


def directives(text: str) -> dict[str, str]:
    """Return the options of sbatch in a script."""
    lines = (line for line in text.splitlines() if line.startswith("#SBATCH --"))
    parts = (line.removeprefix("#SBATCH --").partition("=") for line in lines)
    return {name: value for name, _, value in parts}


@each_runtime
def test_the_script_is_that_of_the_golden(runtime: Any) -> None:  # noqa: ANN401
    options = SlurmOptions(runtime=runtime, time="1-00", partition="gpu", gpu_type="h100", gpus=2)

    made = render_slurm(workload(*TRAINING, **WISHES), options)

    assert differing(made, f"slurm/{runtime}") == {}


@each_runtime
@pytest.mark.parametrize("requeue", [True, False])
def test_shellcheck_finds_nothing(runtime: str, *, requeue: bool) -> None:
    text = script(
        "sh",
        "-c",
        "echo $HOME; echo 'a b'",
        options={"runtime": runtime, "requeue": requeue},
        variables={"A": "it's $x"},
        **WISHES,
    )

    done = subprocess.run(
        [SHELLCHECK, "--severity=warning", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == ""
    assert done.returncode == 0


def test_what_is_asked_of_the_cluster_stands_in_the_directives() -> None:
    asked = directives(
        script(
            options={
                "job_name": "a.job",
                "partition": "gpu,long",
                "account": "team",
                "qos": "high",
                "time": "2-12:30",
                "signal_before": 120,
                "gpus": 2,
            },
            **WISHES,
        )
    )

    comment = asked.pop("comment").split(",")
    assert comment == [
        f"io.snapenv.image={workload().image}",
        "io.snapenv.model=yolov8n",
        "io.snapenv.project=demo",
        "io.snapenv.purpose=first%20try",
        f"io.snapenv.snapshot=sha256:{'1' * 64}",
    ]
    assert asked == {
        "job-name": "a.job",
        "partition": "gpu,long",
        "account": "team",
        "qos": "high",
        "nodes": "1",
        "ntasks": "1",
        "gres": "gpu:2",
        "cpus-per-task": "4",
        "mem": "65536M",
        "time": "2-12:30",
        "signal": "B:INT@120",
        "output": "%x-%j.out",
        "open-mode": "append",
        "requeue": "",
    }


def test_what_is_not_asked_is_left_to_the_cluster() -> None:
    asked = directives(script(device="cpu", options={"requeue": False}))

    assert set(asked) == {
        "job-name",
        "comment",
        "nodes",
        "ntasks",
        "cpus-per-task",
        "signal",
        "output",
        "open-mode",
        "no-requeue",
    }


def test_a_job_without_requeue_never_asks_for_it() -> None:
    assert "scontrol requeue" in script()
    assert "scontrol requeue" not in script(options={"requeue": False})


def test_each_runtime_names_the_image_its_own_way() -> None:
    name, digest = "example.com/team/env:train-yolov8.4.190-base-cu130", f"sha256:{'5e' * 32}"

    named = {runtime: script(options={"runtime": runtime}) for runtime in RUNTIMES}

    assert f"\nimage=docker://{name}@{digest}\n" in named["apptainer"]
    assert f"\nimage='example.com#team/env:{digest}'\n" in named["pyxis"]
    assert f'docker run "${{options[@]}}" {name}@{digest} "$@"' in named["docker"]


def test_a_folder_of_the_nodes_is_taken_as_it_is_named() -> None:
    text = script(folder="/home/team/project", runs="/scratch/runs")

    assert "\ncd /home/team/project || exit 1\nresults=/scratch/runs\n" in text
    assert "--bind /scratch/runs:/scratch/runs" in text
    assert '\ncd "$SLURM_SUBMIT_DIR" || exit 1\nresults=$PWD/runs\n' in script()


@pytest.mark.parametrize(("version", "needed"), [("8.2.0", True), ("8.3.0", False), (None, False)])
def test_an_older_ultralytics_may_load_its_checkpoints(
    version: str | None, *, needed: bool
) -> None:
    text = script(label=replace(LABEL, ultralytics=version))

    assert ('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 "$1" train resume=True' in text) == needed


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("90:30", 5430),
        ("8:00:00", 28800),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-12:30:15", 131415),
    ],
)
def test_a_time_limit_is_read_as_slurm_reads_it(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"time": "8h"}, "--time '8h'"),
        ({"time": "1:2:3:4"}, "--time '1:2:3:4'"),
        ({"time": "5", "signal_before": 240}, "--signal-before 240 leaves no time"),
        ({"job_name": "a b"}, "--job-name 'a b'"),
        ({"partition": "gpu,"}, "--partition 'gpu,'"),
        ({"account": "a\n#SBATCH --uid=0"}, "--account"),
        ({"qos": "$(id)"}, "--qos '$(id)'"),
        ({"gpu_type": "h100:2"}, "--gpu-type 'h100:2'"),
    ],
)
def test_what_is_not_of_slurms_grammar_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as refused:
        script(options=options)

    assert refused.value.message.startswith(named)


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"user": (1000, 1000)}, "--user"),
        ({"ports": (Port(inside=8888),)}, "--port"),
        ({"device": "0"}, "--device 0"),
        ({"mounts": (Mount(source="cache", target="/cache", kind="volume"),)}, "cache"),
        ({"data": ("/a,b",)}, "--mount '/a,b'"),
        ({"folder": "/a b"}, "--workdir '/a b'"),
        ({"runs": "/a:b"}, "--runs '/a:b'"),
        ({"project": "a,b=c"}, "--project 'a,b=c'"),
    ],
)
def test_what_a_job_cannot_have_is_refused(wishes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as refused:
        script(**wishes)

    assert refused.value.message.startswith(named)


def test_docker_alone_has_volumes() -> None:
    volume = Mount(source="cache", target="/cache", kind="volume", read_only=True)

    text = script(options={"runtime": "docker"}, mounts=(volume,))

    assert '    --mount "type=volume,source=cache,target=/cache,readonly"\n' in text
