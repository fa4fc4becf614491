from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from snapenv.errors import WriteError
from snapenv.ownership.leftovers import (
    ledger,
    note,
    note_path,
    remove,
    scratch_folder,
    take_away_leftovers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LEAVES = """
import pathlib, sys
from snapenv.ownership.leftovers import ledger, note, note_path, scratch_folder
made = pathlib.Path(sys.argv[2])
with ledger(pathlib.Path(sys.argv[1]), lambda *_: True), scratch_folder(within=made) as scratch:
    (scratch / "below").mkdir()
    (scratch / "below").chmod(0o500)
    note_path(made / ".file-1234")
    (made / ".file-1234").touch()
    note("containers", "unix:///x")
    print("made", flush=True)
    sys.stdin.read()
"""


def nothing(process: str, entry: Sequence[str]) -> bool:
    raise AssertionError((process, entry))


@dataclass
class Engine:
    """Takes away whatever it is told of."""

    told: list[list[str]] = field(default_factory=list)

    def take_away(self, process: str, entry: Sequence[str]) -> bool:
        del process
        self.told.append([*entry])
        return True


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


@pytest.fixture
def process(tmp_path: Path, made: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has made a folder, a file and containers."""
    with subprocess.Popen(
        [sys.executable, "-c", LEAVES, str(tmp_path / "running"), str(made)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout
        assert started.stdout.readline() == "made\n"
        yield started
        started.kill()


def test_what_a_killed_process_left_is_taken_away(
    process: subprocess.Popen[str], tmp_path: Path, made: Path
) -> None:
    (made / "mine").touch()
    process.kill()
    process.wait()
    engine = Engine()

    take_away_leftovers(tmp_path / "running", engine.take_away)

    assert [path.name for path in made.iterdir()] == ["mine"]
    assert engine.told == [["containers", "unix:///x"]]
    assert list((tmp_path / "running").iterdir()) == []


def test_what_cannot_be_taken_away_now_is_tried_again(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    process.kill()
    process.wait()
    engine = Engine()

    take_away_leftovers(tmp_path / "running", lambda _one, _two: False)
    take_away_leftovers(tmp_path / "running", engine.take_away)

    assert engine.told == [["containers", "unix:///x"]]


def test_a_folder_that_resists_is_taken_away_another_time(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does on a disk that fails, or that is mounted read-only."""
    with monkeypatch.context() as broken, ledger(tmp_path / "running", nothing):
        note_path(made)
        note_path(tmp_path / "other")
        (tmp_path / "other").touch()
        broken.setattr("shutil.rmtree", lambda *_, **__: None)
    assert made.is_dir()
    assert not (tmp_path / "other").exists()

    take_away_leftovers(tmp_path / "running", nothing)

    assert not made.exists()
    assert list((tmp_path / "running").iterdir()) == []


def test_what_a_living_process_has_is_left_alone(
    process: subprocess.Popen[str], tmp_path: Path, made: Path
) -> None:
    before = sorted(made.rglob("*"))

    take_away_leftovers(tmp_path / "running", nothing)

    assert sorted(made.rglob("*")) == before
    assert process.poll() is None


def test_a_process_that_ends_takes_all_away_itself(
    process: subprocess.Popen[str], tmp_path: Path, made: Path
) -> None:
    process.communicate()

    assert list(made.iterdir()) == []
    assert list((tmp_path / "running").iterdir()) == []


def test_a_process_of_another_machine_with_the_same_home_is_left_alone(
    tmp_path: Path, made: Path
) -> None:
    (tmp_path / "another-host.1234").write_text(f'["path", "{made}"]\n')

    take_away_leftovers(tmp_path, nothing)

    assert made.is_dir()


@pytest.mark.parametrize("line", ["", "[", '["path"', "7", "[]", '["path"]', '["path", 7]', "\0"])
def test_a_line_that_was_cut_names_nothing(tmp_path: Path, made: Path, line: str) -> None:
    with ledger(tmp_path / "running", nothing):
        note("x", "y")
        (ours,) = (tmp_path / "running").iterdir()
    ours.write_text(f'["path", "{made}"]\n{line}')

    take_away_leftovers(tmp_path / "running", nothing)

    assert not made.exists()


def test_an_interruption_takes_away_what_nobody_watched(tmp_path: Path, made: Path) -> None:
    engine = Engine()

    def run() -> None:
        with ledger(tmp_path / "running", engine.take_away):
            note_path(made)
            note("containers", "here")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()

    assert not made.exists()
    assert engine.told == [["containers", "here"]]


def test_what_a_failure_could_not_take_away_is_left_to_the_next(tmp_path: Path) -> None:
    """As where the engine was killed under a command, and its containers are there again later."""
    engine = Engine()

    def run() -> None:
        with ledger(tmp_path / "running", lambda *_: False):
            note("containers", "here")
            raise WriteError("x", hint="y")

    with pytest.raises(WriteError):
        run()
    take_away_leftovers(tmp_path / "running", engine.take_away)

    assert engine.told == [["containers", "here"]]


def test_a_home_that_cannot_be_written_is_no_failure(tmp_path: Path, made: Path) -> None:
    (tmp_path / "file").touch()

    with ledger(tmp_path / "file" / "running", nothing), scratch_folder(within=made) as scratch:
        assert scratch.is_dir()

    assert list(made.iterdir()) == []


def test_a_place_for_temporary_files_that_cannot_be_written_is_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(WriteError, match="gone/snapenv-.*: No such file"):  # noqa: SIM117
        with scratch_folder(within=tmp_path / "gone"):
            pass


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path, made: Path) -> None:
    (tmp_path / "link").symlink_to(made)

    remove(tmp_path / "link")
    remove(tmp_path / "never")

    assert [path.name for path in tmp_path.iterdir()] == ["made"]
