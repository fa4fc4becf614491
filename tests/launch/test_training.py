"""The run that continues an earlier one: the same launch, but for what has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.launch.training import Changes, continue_launch, same_launch
from snapenv.model.launch import CREATED_LABEL, RUN_LABEL, InImage, InVenv, Launch, Mount

DATA = Mount(source="/data/coco", target="/data/coco", read_only=True)
PROJECT = Mount(source="/home/me/p", target="/home/me/p")
IN_IMAGE = Launch(
    run="old",
    place=InImage(id="sha256:a", name="tag"),
    argv=("yolo", "train"),
    mounts=(PROJECT, DATA),
    variables={"SNAPENV_SCRATCH": "/tmp/snapenv", "A": None},
    files={"/tmp/snapenv/config/settings.json": b"{}"},
    memory_bytes=100,
    shm_bytes=10,
    tty=True,
    labels={RUN_LABEL: "old", CREATED_LABEL: "then", "io.snapenv.user": "me"},
)
SCRATCH = "/state/runs/old/scratch"
IN_VENV = replace(
    IN_IMAGE,
    place=InVenv(folder="/env"),
    mounts=(),
    variables={"SNAPENV_SCRATCH": SCRATCH, "YOLO_CONFIG_DIR": f"{SCRATCH}/config", "B": "/x/old/y"},
    files={f"{SCRATCH}/config/settings.json": b"{}"},
)


def continued(launch: Launch, changes: Changes | None = None) -> Launch:
    return continue_launch(
        same_launch(launch, run="new", created="now"),
        changes or Changes(),
        training="/home/me/p/runs/train",
        program=b"pyz",
    )


def test_a_training_is_continued_as_it_was_started() -> None:
    program = "/tmp/snapenv/snapenv_resume.pyz"

    assert continued(IN_IMAGE) == replace(
        IN_IMAGE,
        run="new",
        argv=("/opt/snapenv/venv/bin/python", "-B", program, "/home/me/p/runs/train"),
        files={**IN_IMAGE.files, program: b"pyz"},
        labels={**IN_IMAGE.labels, RUN_LABEL: "new", CREATED_LABEL: "now"},
        tty=False,
    )


def test_a_run_in_a_venv_has_files_of_its_own() -> None:
    launch = continued(IN_VENV)
    scratch = "/state/runs/new/scratch"

    assert launch.argv[:3] == ("/env/bin/python", "-B", f"{scratch}/snapenv_resume.pyz")
    assert sorted(launch.files) == [
        f"{scratch}/config/settings.json",
        f"{scratch}/snapenv_resume.pyz",
    ]
    assert launch.variables == {
        "SNAPENV_SCRATCH": scratch,
        "YOLO_CONFIG_DIR": f"{scratch}/config",
        "B": "/x/old/y",
    }


def test_memory_and_data_may_be_others() -> None:
    launch = continued(IN_IMAGE, Changes(memory_bytes=200, shm_bytes=20, data=(Path("/mnt/coco"),)))

    assert (launch.memory_bytes, launch.shm_bytes) == (200, 20)
    assert launch.mounts == (
        PROJECT,
        Mount(source="/mnt/coco", target="/mnt/coco", read_only=True),
    )
    assert launch.argv[3:] == ("/home/me/p/runs/train", "--moved", "/data/coco", "/mnt/coco")


def test_which_data_moved_must_be_clear() -> None:
    with pytest.raises(UsageError) as caught:
        continued(IN_IMAGE, Changes(data=(Path("/a"), Path("/b"))))

    assert str(caught.value) == wording("the run had 1 --data, and 2 are named now")
