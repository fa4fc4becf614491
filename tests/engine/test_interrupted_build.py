"""Builds that end before their end: by a person, by a full disk, by the engine's own death."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.errors import EngineError, EngineMissingError, WriteError
from tests.engines.busybox import small_context
from tests.engines.engine import SPARE_BRIDGE, containerd_pid_file, start_engine, stop_engine
from tests.engines.place import Place, call, install
from tests.engines.provide import provide
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.docker

WAIT_S = 300
PROGRAM = """
import sys
from msgspec.structs import replace
from snapenv.engine.docker import DockerEngine
from tests.engines.busybox import small_context
from tests.fakes import FakeTask
word, *steps = sys.argv[1:]
labelled = replace(small_context(*steps), labels={"word": word})
DockerEngine().build(labelled, FakeTask())
"""


@pytest.fixture
def small_disk(own: Place) -> Iterator[Place]:
    """The data root of that engine on a disk of 64 MB."""
    disk, data = own.folder / "disk", own.folder / "docker"
    data.mkdir()
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    provide(lambda _: install({"e2fsprogs": "mkfs.ext4"}))
    call("mkfs.ext4", "-q", str(disk))
    call("mount", "-o", "loop", str(disk), str(data))
    yield own
    stop_engine(own)
    call("umount", "--lazy", str(data))


def test_ctrl_c_ends_a_build_and_the_next_goes_on_from_the_cache(engine_host: str) -> None:
    word, asleep = uuid.uuid4().hex, f"{uuid.uuid4().int % 10**6 + 10**6}"
    steps = (f"RUN echo {word}", f"RUN sleep {asleep}")
    program = [sys.executable, "-c", PROGRAM, word, *steps]
    building = subprocess.Popen(program, stderr=subprocess.PIPE)
    _until(lambda: _sleeping(asleep))

    building.send_signal(signal.SIGINT)
    said = building.communicate(timeout=WAIT_S)[1]

    assert b"KeyboardInterrupt" in said
    _until(lambda: not _sleeping(asleep))
    assert _images(engine_host, word=word) == []
    task = FakeTask()
    again = DockerEngine().build(small_context(steps[0], "RUN echo done"), task)
    assert not any(f"echo {word}: {word}" in note for note in task.notes)
    assert any("echo done: done" in note for note in task.notes)
    DockerEngine().remove(again.id)


def test_an_engine_killed_in_a_build_is_named_and_the_next_goes_on(own: Place) -> None:
    address = start_engine(own, bridge=SPARE_BRIDGE)
    word, asleep = uuid.uuid4().hex, f"{uuid.uuid4().int % 10**6 + 10**6}"

    def kill() -> None:
        try:
            _until(lambda: _sleeping(asleep))
        finally:
            _kill(own)

    killer = threading.Thread(target=kill)
    killer.start()

    with pytest.raises(EngineError, match="the Docker engine went away"):
        DockerEngine().build(small_context(f"RUN echo {word}", f"RUN sleep {asleep}"), FakeTask())
    killer.join()
    for pid in _sleeping(asleep):  # runc's, which outlives the engine
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineMissingError, match="no Docker engine answers at"):
        DockerEngine().check()

    start_engine(own, bridge=SPARE_BRIDGE)
    assert _images(address) == []
    task = FakeTask()
    image = DockerEngine().build(small_context(f"RUN echo {word}", "RUN echo done"), task)
    assert any("echo done: done" in note for note in task.notes)
    assert _images(address) == [image.id]


def test_a_full_disk_ends_a_build_without_an_image_and_the_next_goes_on(
    small_disk: Place,
) -> None:
    address = start_engine(small_disk, bridge=SPARE_BRIDGE)
    word = uuid.uuid4().hex
    engine = DockerEngine()

    with pytest.raises(WriteError, match="the disk of the Docker engine is full") as caught:
        engine.build(
            small_context(f"RUN echo {word}", "RUN dd if=/dev/zero of=/x bs=1M count=100"),
            FakeTask(),
        )

    assert "docker system prune" in caught.value.hint
    assert _images(address) == []
    task = FakeTask()
    image = engine.build(small_context(f"RUN echo {word}", "RUN echo done"), task)
    assert not any(f"echo {word}: {word}" in note for note in task.notes)
    assert _images(address) == [image.id]


def _images(address: str, *, word: str | None = None) -> list[str]:
    """List the images of an engine, named or not: all, or those that are labelled with a word."""
    filters = {"label": f"word={word}"} if word else {}
    with contextlib.closing(docker.DockerClient(base_url=address)) as client:
        return sorted(str(image.id) for image in client.images.list(filters=filters))


def _until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.05)


def _sleeping(seconds: str) -> list[int]:
    """Return the processes on this machine of a step that sleeps so long.

    Some shells do so themselves.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_text(errors="replace").rstrip("\0").split("\0")
            if f"sleep {seconds}" in {" ".join(words), words[-1]}:
                found.append(int(process.parent.name))
    return found


def _kill(place: Place) -> None:
    """Kill the engine, which this process started, as the kernel does where memory ends."""
    pid = int((place.run / "dockerd.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    containerd_pid_file(place).unlink()  # it died too, and nobody may have waited for it
