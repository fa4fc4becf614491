"""A folder listed by several processes: the same as by one, whatever becomes of the others."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from snapenv_probe import listing

FOLDERS = 40


@pytest.fixture
def walk() -> Any:  # noqa: ANN401 - a module that mypy does not follow
    return listing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(FOLDERS):
        inner = tmp_path / f"package{number}" / "inner"
        inner.mkdir(parents=True)
        (inner / "module.py").write_text("x = 1\n" * number)
        (inner / "__pycache__").mkdir()
        (inner / "__pycache__" / "module.pyc").write_text("")
    (tmp_path / "package1" / "link").symlink_to("inner")
    (tmp_path / "empty").mkdir()
    (tmp_path / "alone.py").write_text("")
    return tmp_path


@pytest.fixture
def large(folder: Path) -> Path:
    """Return a folder among the others that has as many folders."""
    for number in range(FOLDERS):
        (folder / "large" / f"inner{number}" / "below").mkdir(parents=True)
    return folder / "large"


@pytest.fixture
def alone(walk: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:  # noqa: ANN401
    """Return what one process lists."""
    with monkeypatch.context() as patch:
        patch.setattr(walk.machine, "cpu_count", lambda: 1)
        listed: dict[str, bytes] = walk.walk(str(folder))
    return listed


@pytest.fixture(autouse=True)
def four_processors(walk: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr(walk.machine, "cpu_count", lambda: 4)


@pytest.fixture(autouse=True)
def usual_names(walk: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """Let folders have as many names as on most file systems, wherever the tests run."""
    monkeypatch.setattr(
        walk, "_links", lambda path: 2 + sum(map(Path.is_dir, Path(path).iterdir()))
    )


def test_all_is_listed_but_what_python_compiles(
    walk: Any,  # noqa: ANN401
    folder: Path,
) -> None:
    listings = walk.read(walk.walk(str(folder)))

    files = {
        os.path.join(of, name)  # noqa: PTH118
        for of, found, _, _ in listings
        for name in found[::2]
    }
    assert files == {
        *(str(folder / f"package{number}/inner/module.py") for number in range(FOLDERS)),
        str(folder / "package1/link"),
        str(folder / "alone.py"),
    }
    assert [of for of, found, has_folders, _ in listings if not found and not has_folders] == [
        str(folder / "empty")
    ]


def test_several_processes_list_what_one_does_byte_for_byte(
    walk: Any,  # noqa: ANN401
    folder: Path,
    alone: dict[str, bytes],
) -> None:
    listed = walk.walk(str(folder))

    assert listed == alone
    assert list(listed) == list(alone)


def test_the_folders_of_a_large_folder_are_taken_each_by_itself(
    walk: Any,  # noqa: ANN401
    large: Path,
) -> None:
    names = {str(large / f"inner{number}") for number in range(FOLDERS)}

    listed = walk.walk(str(large.parent))

    assert names <= {*listed}
    assert [path for path in listed if Path(path).parents[1] == large] == []
    assert [one[0] for one in walk.read(listed) if one[0] in names] == [
        *filter(names.__contains__, listed)
    ]


def test_large_folders_are_taken_first(
    walk: Any,  # noqa: ANN401
    large: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = list[str]()

    def share(folders: list[str]) -> Any:  # noqa: ANN401
        taken.extend(folders)
        return walk._deep(folders)

    monkeypatch.setattr(walk, "_share", share)
    names = {str(large): 99, str(large / "inner5"): 9, str(large.parent / "package7"): 8}
    monkeypatch.setattr(walk, "_links", lambda path: names.get(path, 2))

    walk.walk(str(large.parent))

    assert taken[:2] == [str(large / "inner5"), str(large.parent / "package7")]


@pytest.mark.parametrize("count", [-2, -1, 0])
def test_folders_of_python_change_nothing(
    walk: Any,  # noqa: ANN401
    folder: Path,
    count: int,
) -> None:
    for number in range(walk._LARGE + count):
        (folder / "large" / f"inner{number}").mkdir(parents=True)
    before = walk.walk(str(folder))

    (folder / "large" / "__pycache__").mkdir()
    (folder / "large" / "inner5" / "__pycache__").mkdir()

    assert walk.walk(str(folder)) == before
    assert [*walk.walk(str(folder))] == [*before]


def test_other_processes_take_part(
    walk: Any,  # noqa: ANN401
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, list_one = os.getpid(), walk._list
    monkeypatch.setattr(walk, "_take", lambda *_: {} if os.getpid() == own else {"theirs": b"x"})
    monkeypatch.setattr(walk, "_deep", lambda left: dict.fromkeys(left, b"left"))

    assert walk._share(["a", "b"]) == {"theirs": b"x", "a": b"left", "b": b"left"}
    assert list_one(str(folder))[0][0] == str(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_process_has_taken_is_listed_all_the_same(
    walk: Any,  # noqa: ANN401
    folder: Path,
    alone: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    own, take = os.getpid(), walk._take

    def die(folders: list[str], queue: int) -> dict[str, bytes]:
        if os.getpid() != own:
            os.read(queue, 4)
            os.kill(os.getpid(), number)
        taken: dict[str, bytes] = take(folders, queue)
        return taken

    monkeypatch.setattr(walk, "_take", die)

    assert walk.walk(str(folder)) == alone


def test_where_no_process_can_be_started_one_lists_all(
    walk: Any,  # noqa: ANN401
    folder: Path,
    alone: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)

    assert walk.walk(str(folder)) == alone


def test_a_folder_that_cannot_be_read_has_its_own_status(
    walk: Any,  # noqa: ANN401
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, scan = str(folder / "package3"), os.open

    def refuse(path: str, flags: int) -> int:
        if path == closed:
            raise PermissionError
        return scan(path, flags)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        (listing,) = [one for one in walk.read(walk.walk(str(folder))) if one[0] == closed]

    assert listing[1:3] == ([], False)
    assert listing[3][3] == (folder / "package3").stat().st_ino
