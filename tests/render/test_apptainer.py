"""Definitions of Apptainer, as values."""

from __future__ import annotations

from typing import Any

import pytest

from snapenv.errors import UsageError
from snapenv.model.launch import Mount, Port
from snapenv.render.apptainer import ApptainerOptions, render_apptainer
from tests.render.workloads import content, differing, workload

DEFINITION = "train-yolov8.4.190-base-cu130.def"


def rendered(*argv: str, archive: str | None = None, **wishes: Any) -> str:  # noqa: ANN401
    work = workload(*argv, **wishes)
    return content(render_apptainer(work, ApptainerOptions(archive=archive)), DEFINITION)


def test_the_definition_is_that_of_the_golden() -> None:
    work = workload(
        "yolo",
        "train",
        "data=coco.yaml",
        data=("/datasets/coco",),
        project="demo",
        cpus=4.0,
        memory_bytes=16 << 30,
    )

    made = render_apptainer(work, ApptainerOptions())

    assert differing(made, "apptainer") == {}
    assert made.start == f"apptainer build {DEFINITION[:-4]}-5e5e5e5e5e5e.sif {DEFINITION}"


def test_an_archive_is_unpacked_first() -> None:
    text = rendered(archive="train.snapenv")

    assert "Bootstrap: oci\nFrom: oci-image\n" in text
    assert "#   mkdir oci-image && zstd -dc train.snapenv | tar -x -C oci-image\n" in text


def test_without_a_gpu_no_driver_is_asked_for() -> None:
    assert "--nv" in rendered()
    assert "--nv" not in rendered(device="cpu")


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"user": (1000, 1000)}, "--user"),
        ({"ports": (Port(inside=8888),)}, "--port"),
        ({"device": "0,1"}, "--device 0,1"),
        ({"mounts": (Mount(source="cache", target="/cache", kind="volume"),)}, "cache"),
        ({"data": ("/data sets",)}, "--mount '/data sets'"),
        ({"folder": "/home/a,b"}, "--workdir '/home/a,b'"),
        ({"archive": "a b.snapenv"}, "--archive 'a b.snapenv'"),
        ({"project": "a\n%post"}, "--project 'a\\n%post'"),
        ({"variables": {"A": "a\n%post"}}, "--env 'a\\n%post'"),
    ],
)
def test_what_apptainer_cannot_do_is_refused(wishes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as refused:
        rendered(**wishes)

    assert refused.value.message.startswith(named)


def test_no_word_of_a_command_begins_a_section() -> None:
    with pytest.raises(UsageError, match="COMMAND"):
        rendered("sh", "-c", "a\n%post")
