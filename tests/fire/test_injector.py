"""What sets commands on fire does what it says."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.engines.provide import provide
from tests.fire.attempts import lose_power
from tests.fire.blows import blows
from tests.fire.faults import (
    NO_FAULT,
    Fault,
    Injector,
    broken_at,
    clock_jumps,
    dark_from,
    full_at,
    full_from,
    killed_at,
    slow,
)
from tests.fire.room import Room

if TYPE_CHECKING:
    from pathlib import Path

WRITES = """
import os, subprocess, sys, time
os.makedirs("a/b")
handle = os.open("a/one", os.O_CREAT | os.O_WRONLY)
os.write(handle, b"x" * 8)
os.fsync(handle)
os.write(handle, b"y" * 8)
os.rename("a/one", "a/two")
print("LD_PRELOAD" in os.environ, int(time.time()))
"""
CALLS = ["mkdir", "mkdir", "open", "write", "fsync", "write", "rename"]


@pytest.fixture(scope="module")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Injector:
    return provide(lambda _: Injector(tmp_path_factory.mktemp("injector")))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    made = Room(tmp_path / "room")
    made.make()
    return made


def run(
    room: Room, injector: Injector, fault: Fault = NO_FAULT, *, program: str = WRITES
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-c", program),
        cwd=room.work,
        env={**os.environ, **injector.arm(fault, room.folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_written_below_a_folder_is_counted_and_the_program_does_not_see_it(
    room: Room, injector: Injector
) -> None:
    done = run(room, injector)

    assert done.stdout.split()[0] == "False"
    assert [call.name for call in injector.calls()] == CALLS
    assert [call.size_bytes for call in injector.calls() if call.name == "fsync"] == [8]
    assert not injector.was_hit()


@pytest.mark.parametrize(
    ("fault", "why"),
    [(full_from(4), errno.ENOSPC), (full_at(4), errno.ENOSPC), (broken_at(4), errno.EIO)],
)
def test_a_call_of_a_number_fails(room: Room, injector: Injector, fault: Fault, why: int) -> None:
    done = run(room, injector, fault)

    assert os.strerror(why) in done.stderr
    assert (room.work / "a" / "one").read_bytes() == b""
    assert injector.was_hit()


def test_each_write_fails_once_with_each_error_however_many_there_are() -> None:
    met = list(blows("writes", calls=3, lasts_s=1, times=1, chance=random.Random(1)))

    assert [(blow.fault.first, blow.fault.last, blow.fault.value) for blow in met] == [
        (at, at, error) for at in (1, 2, 3) for error in (errno.ENOSPC, errno.EIO)
    ]


def test_a_program_dies_in_the_midst_of_a_write_and_the_disk_has_what_was_synced(
    room: Room, injector: Injector
) -> None:
    done = run(room, injector, dark_from(6))
    torn = (room.work / "a" / "one").read_bytes()
    lose_power(room, injector.calls(), seed=1)

    assert (done.returncode, torn) == (-signal.SIGKILL, b"x" * 8 + b"y" * 4)
    assert (room.work / "a" / "one").read_bytes() in {b"x" * 8, b"x" * 8 + b"y" * 2}


def test_after_the_end_the_disk_may_still_lack_what_was_not_synced(
    room: Room, injector: Injector
) -> None:
    run(room, injector)
    lose_power(room, injector.calls(), seed=1)

    assert (room.work / "a" / "two").read_bytes() in {b"x" * 8, b"x" * 8 + b"y" * 4}


@pytest.mark.parametrize(("size", "kept", "whole"), [(16, 16, 24), (4, 4, 12), (0, 0, 9)])
def test_what_was_on_the_disk_and_was_not_cut_off_is_there_still(
    room: Room, injector: Injector, size: int, kept: int, whole: int
) -> None:
    file = room.work / "kept"
    file.write_bytes(b"x" * 16)

    run(
        room,
        injector,
        program=f"""
import os
handle = os.open("kept", os.O_WRONLY)
os.ftruncate(handle, {size})
os.write(handle, b"y")
os.lseek(handle, 0, os.SEEK_END)
os.write(handle, b"z" * 8)
""",
    )
    lose_power(room, injector.calls(), seed=1)

    assert file.stat().st_size in {kept, (kept + whole) // 2}


def test_a_program_is_killed_at_a_call(room: Room, injector: Injector) -> None:
    assert run(room, injector, killed_at(7)).returncode == -signal.SIGKILL
    assert (room.work / "a" / "one").exists()


def test_a_disk_is_slow(room: Room, injector: Injector) -> None:
    begun = time.monotonic()
    run(room, injector, slow(50))

    assert time.monotonic() - begun > 0.05 * len(CALLS)


def test_the_clock_jumps(room: Room, injector: Injector) -> None:
    done = run(room, injector, clock_jumps(3, -100_000))

    assert 99_000 < time.time() - int(done.stdout.split()[1]) < 101_000


def test_what_a_program_starts_is_on_fire_too(room: Room, injector: Injector) -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], env={})"
    subprocess.run(
        (sys.executable, "-c", program, WRITES),
        cwd=room.work,
        env={**os.environ, **injector.arm(NO_FAULT, room.folder)},
        check=True,
        capture_output=True,
    )

    assert [call.name for call in injector.calls()] == CALLS
