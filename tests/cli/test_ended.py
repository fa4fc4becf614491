"""Commands that are ended, and commands that want one place at the same time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.ownership.new_folder import UNFINISHED
from tests.cli.ended import ENDS, Room, capture, end_at_random, make_environment, restore
from tests.command import EXIT_CODES
from tests.targets.processes import all_end

if TYPE_CHECKING:
    from pathlib import Path

SEED, TIMES = 7, 4
AT_ONCE = 5
WAITS = """
import sys
from snapenv.cli import main, app
from snapenv.targets.local import LocalTarget
def wait(_):
    def say(line):
        print(line, flush=True)
    LocalTarget(sys.executable).run(
        ("sh", "-c", "echo $$ >&2; sleep 300 & echo $! >&2; wait"), on_line=say
    )
app._connect = lambda connect=app._connect: wait(connect())
sys.exit(main.main(["list"]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_environment(tmp_path_factory.mktemp("environment") / "venv", files=200)


@pytest.fixture(scope="module")
def snapshot(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captured")
    done = Room(folder).command.run(*capture(python, folder / "snapshot"))
    if "error: uv could not" in done.stderr and "CI" not in os.environ:
        pytest.skip("the index is out of reach")
    assert done.returncode == 0, done.stderr
    return folder / "snapshot"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_a_restore_that_is_ended_leaves_nothing_that_the_next_does_not_take_away(
    room: Room, snapshot: Path
) -> None:
    words = restore(snapshot, room.folder / "venv")

    wrong, ends = end_at_random(room, words, times=TIMES, seed=SEED)

    assert wrong == [], ends


def test_a_capture_that_is_ended_leaves_nothing_that_the_next_does_not_take_away(
    room: Room, python: str, snapshot: Path
) -> None:
    del snapshot  # the index is there
    words = capture(python, room.folder / "snapshot")

    wrong, ends = end_at_random(room, words, times=TIMES, seed=SEED)

    assert wrong == [], ends


@pytest.mark.parametrize("number", [*ENDS, signal.SIGKILL])
def test_a_signal_ends_a_command_with_all_that_it_started(
    room: Room, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS],
        env={**os.environ, **room.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        started = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(number)
        _, said = process.communicate(timeout=300)

    assert process.returncode == ENDS.get(number, -number)
    assert all_end(*started)
    if number in ENDS:
        assert said.rpartition("hint: ")[2] == wording("Nothing incomplete was left behind.\n")
        assert room.left() == []


def test_a_command_that_is_to_outlive_its_terminal_does_not_hear_its_end(room: Room) -> None:
    with subprocess.Popen(
        ["nohup", sys.executable, "-c", WAITS],
        env={**os.environ, **room.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)

    assert process.returncode == 143


@pytest.mark.parametrize("verb", ["restore", "capture"])
def test_of_several_commands_for_one_place_one_does_it_and_the_others_say_so(
    room: Room, python: str, snapshot: Path, verb: str
) -> None:
    place = room.folder / "place"
    words = restore(snapshot, place) if verb == "restore" else capture(python, place)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "snapenv", *words],
            env={**os.environ, **room.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(AT_ONCE)
    ]

    said = {process.pid: process.communicate(timeout=120)[1] for process in started}

    codes = sorted(process.returncode for process in started)
    assert codes[0] == 0, said
    assert set(codes[1:]) == {EXIT_CODES["place-taken"]} == {EXIT_CODES["place-busy"]}, said
    (winner,) = (process.pid for process in started if process.returncode == 0)
    busy = [text for text in said.values() if "is being written by" in text]
    assert all(f"{place} is being written by process {winner}," in text for text in busy), said
    check = ("verify", str(snapshot), "--engine", "venv", "--no-smoke", "--into", str(place))
    if verb == "restore":
        assert room.command.run(*check).returncode == 0
    else:
        assert room.command.run("show", str(place)).returncode == 0
    assert room.left() == ["place"]


def test_a_restore_that_was_killed_half_way_is_done_anew(room: Room, snapshot: Path) -> None:
    place = room.folder / "venv"
    assert room.command.run(*restore(snapshot, place)).returncode == 0
    (place / UNFINISHED).write_text("process 1, a snapenv that runs since 00:00:00")
    (place / "bin" / "python").unlink()
    shutil.rmtree(place / "lib")

    again = room.command.run(*restore(snapshot, place))

    assert again.returncode == 0, again.stderr
    assert not (place / UNFINISHED).exists()
