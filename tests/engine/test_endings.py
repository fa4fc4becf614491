"""Why containers of a real engine ended: by their state, and by what the kernel says of them."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.engine.runs import DockerRuns
from snapenv.kept import Kept
from snapenv.launch.records import now, write_record
from snapenv.model.launch import RUN_LABEL, InImage, Launch, RunEnd, RunRecord
from snapenv.steps.launching import end_run
from snapenv.targets.kernel_log import read_kernel_log
from tests.engines.busybox import small_context
from tests.fakes import FakeTask
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.docker

needs_kernel_log = pytest.mark.skipif(
    not os.access("/dev/kmsg", os.R_OK), reason="this user may not read the kernel's log"
)

LIMIT_BYTES = 20 << 20
TOO_MUCH = "dd if=/dev/zero of=/dev/null bs=200M count=1"


@pytest.fixture(scope="module")
def place(engine_host: str) -> Iterator[InImage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine_host)
        engine = DockerEngine()
        image = engine.build(small_context(), FakeTask())
        yield InImage(id=image.id, name="small")
        engine.remove(image.id)


@pytest.fixture
def end_of(place: InImage, tmp_path: Path) -> Callable[..., RunEnd]:
    """Return what runs a script in 20 MB of memory, and says how it ended.

    Without ``heard``, the engine has not heard of the kernel's when it is asked, as may be.
    """
    engine = DockerEngine()
    runs = DockerRuns(
        lambda: engine.client, engine.describe, lambda _: None, Kept(None), Path("/nowhere")
    )

    def run(script: str, *, heard: bool = True) -> RunEnd:
        name = uuid.uuid4().hex[:12]
        launch = Launch(
            run=name,
            place=place,
            argv=("sh", "-c", script),
            memory_bytes=LIMIT_BYTES,
            labels={RUN_LABEL: name},
        )
        record = RunRecord(
            run=name,
            kind="run",
            ref="small",
            snapshot=None,
            created=now(),
            engine="x",
            results=None,
            detached=True,
            launch=launch,
        )
        write_record(tmp_path, record)
        here = replace(services(), state=tmp_path, kernel_log=read_kernel_log)
        with contextlib.ExitStack() as stack:
            stack.callback(runs.remove, name)
            runs.start(launch)
            state = runs.wait(name)
            assert state
            if not heard:
                state = replace(state, out_of_memory=False)
            return end_run(record, state, here)

    return run


def test_a_program_that_the_kernel_ended_for_memory(end_of: Callable[..., RunEnd]) -> None:
    end = end_of(f"exec {TOO_MUCH}")

    assert (end.exit_code, end.out_of_memory) == (137, True)
    assert end.cause == wording("the kernel ended it, as its memory of 21.0 MB was full")


@needs_kernel_log
def test_a_child_that_the_kernel_ended_has_its_name(end_of: Callable[..., RunEnd]) -> None:
    end = end_of(f"{TOO_MUCH}; exit 9", heard=False)

    assert (end.exit_code, end.out_of_memory) == (9, True)
    assert end.cause == wording("the kernel ended dd, as its memory of 21.0 MB was full")


@needs_kernel_log
def test_a_child_that_was_not_needed(end_of: Callable[..., RunEnd]) -> None:
    end = end_of(f"{TOO_MUCH}; exit 0", heard=False)

    assert (end.exit_code, end.out_of_memory) == (0, True)
    assert end.cause == wording(
        "the kernel ended one of its processes, as its memory of 21.0 MB was full; it went on"
    )


def test_a_program_that_ended_by_itself(end_of: Callable[..., RunEnd]) -> None:
    end = end_of("exit 9")

    assert (end.exit_code, end.cause, end.hint) == (9, None, None)
