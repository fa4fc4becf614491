from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import PlaceBusyError, PlaceTakenError, SmokeTrainError, WriteError
from snapenv.ownership.claim import claim, claim_path
from snapenv.ownership.new_folder import UNFINISHED, NewFolder, new_folder
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

HOLDS = """
import pathlib, sys
from snapenv.ownership.{module} import {name}
with {name}({words}):
    print("held", flush=True)
    sys.stdin.read()
"""


def _claim(module: str, name: str, words: str) -> Iterator[subprocess.Popen[str]]:
    program = HOLDS.format(module=module, name=name, words=words)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture(params=["claim_path", "new_folder"])
def hold(request: pytest.FixtureRequest) -> Callable[[Path, Path], AbstractContextManager[object]]:
    """Two ways to hold a place: a file or folder that is moved there, and one filled in place."""
    ways: dict[str, Callable[[Path, Path], AbstractContextManager[object]]] = {
        "claim_path": claim_path,
        "new_folder": lambda _, path: new_folder(path),
    }
    return ways[request.param]


@pytest.fixture
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``place`` in the way of the test."""
    way = request.node.callspec.params["hold"]
    place = f"pathlib.Path({str(tmp_path / 'place')!r})"
    locks = f"pathlib.Path({str(tmp_path / 'locks')!r}), "
    if way == "claim_path":
        yield from _claim("claim", way, locks + place)
    else:
        yield from _claim("new_folder", way, place)


def test_a_place_is_held_by_one_process_and_the_others_are_told_which(
    hold: Callable[[Path, Path], AbstractContextManager[object]],
    other: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(PlaceBusyError) as caught,
        hold(tmp_path / "locks", tmp_path / "place"),
    ):
        pass

    assert steady(caught.value, number=other.pid).partition(",")[0] == wording(
        "TMP/place is being written by process NUMBER"
    )
    assert other.poll() is None


def test_a_place_is_free_again_when_its_holder_has_ended_however_that_was(
    hold: Callable[[Path, Path], AbstractContextManager[object]],
    other: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    other.kill()
    other.wait()

    with hold(tmp_path / "locks", tmp_path / "place"):
        pass

    left = {path.name for path in tmp_path.iterdir()} - {"locks"}
    assert left <= {"place"}  # which the one that was killed had made
    assert not [*tmp_path.glob("place/*"), *tmp_path.glob("locks/*")]


def test_one_place_by_two_names_is_one_place(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    with (
        claim_path(tmp_path / "locks", tmp_path / "real" / "x"),
        pytest.raises(PlaceBusyError),
        claim_path(tmp_path / "locks", tmp_path / "link" / "x"),
    ):
        pass


def test_one_name_in_two_engines_is_two_places(tmp_path: Path) -> None:
    with claim(tmp_path, "env:tag", key="a env:tag"), claim(tmp_path, "env:tag", key="b env:tag"):
        pass


def test_without_a_folder_for_locks_nothing_is_held_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for folder in (None, tmp_path / "file"):
        with claim(folder, "x"), claim(folder, "x"):
            pass


def _fill(place: NewFolder) -> None:
    (place.path / "below").mkdir()
    (place.path / "below" / "file").write_text("made")


def test_a_new_folder_holds_what_was_made_and_no_mark(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b") as place:
        _fill(place)
        place.whole = True

    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "a",
        "a/b",
        "a/b/below",
        "a/b/below/file",
    ]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("error", [None, SmokeTrainError("x", hint="y"), KeyboardInterrupt()])
def test_a_new_folder_stays_once_it_is_whole_unless_a_person_ends_the_command(
    tmp_path: Path, error: BaseException | None, *, whole: bool
) -> None:
    def run() -> None:
        with new_folder(tmp_path / "a" / "b") as place:
            _fill(place)
            place.whole = whole
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            run()
    else:
        run()

    stays = whole and not isinstance(error, KeyboardInterrupt)
    assert [path.name for path in tmp_path.iterdir()] == (["a"] if stays else [])


def test_what_was_there_before_stays_where_nothing_was_made(tmp_path: Path) -> None:
    with new_folder(tmp_path) as place:
        _fill(place)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mine", "mine/below"])
def test_what_somebody_else_made_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    place = tmp_path / "mine" / ("file" if "/" in name else "")

    with pytest.raises(PlaceTakenError), new_folder(place):
        pass

    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "file"]


def test_a_mark_without_a_word_makes_nobody_else_s_folder_half_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / UNFINISHED).touch()

    with pytest.raises(PlaceTakenError), new_folder(tmp_path):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_left_half_made_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "half").touch()
    (tmp_path / UNFINISHED).write_text("process 1")

    with new_folder(tmp_path) as place:
        assert [path.name for path in tmp_path.iterdir()] == [UNFINISHED]
        _fill(place)
        place.whole = True

    assert [path.name for path in tmp_path.iterdir()] == ["below"]


def test_a_folder_whose_mark_cannot_be_removed_is_whole_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, **_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", str(self))

    with monkeypatch.context() as broken, new_folder(tmp_path) as place:
        _fill(place)
        place.whole = True
        broken.setattr(Path, "unlink", fail)
    whole = {path.name for path in tmp_path.iterdir()}

    with pytest.raises(PlaceTakenError), new_folder(tmp_path):
        pass

    assert whole == {"below", UNFINISHED}
    assert [path.name for path in tmp_path.iterdir()] == ["below"]


@pytest.mark.parametrize("below", ["x", "x/y/z"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, below: str) -> None:
    place = tmp_path / ("n" * 300) / below

    with pytest.raises(WriteError, match="cannot write .*/x.*: File name too long"):  # noqa: SIM117
        with new_folder(place):
            pass

    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_folder_that_the_disk_does_not_take_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(folder))

    monkeypatch.setattr("snapenv.ownership.new_folder.sync_disk_of", fail)

    def run() -> None:
        with new_folder(tmp_path / "a") as place:
            _fill(place)
            place.whole = True

    with pytest.raises(WriteError, match="a: Input/output error"):
        run()

    assert list(tmp_path.iterdir()) == []


def test_a_place_is_held_although_nothing_can_be_written_into_its_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)

    with (
        claim(tmp_path, "x"),
        pytest.raises(PlaceBusyError, match="x is being written by another process"),
        claim(tmp_path, "x"),
    ):
        pass
