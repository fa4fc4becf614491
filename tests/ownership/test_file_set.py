"""Several files: all of them, or none."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import PlaceTakenError, WriteError
from snapenv.ownership.file_set import refuse_existing, write_files
from snapenv.ownership.leftovers import ledger, take_away_leftovers
from snapenv.ownership.lock_file import LockFile

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"a.yaml": b"new a", "below/deep/b.sh": b"new b", "c": b"new c"}

KILLED = """
import os, pathlib, signal, sys
from snapenv.ownership.file_set import write_files
from snapenv.ownership.leftovers import ledger
running, folder, moves = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
real = pathlib.Path.replace
def move(path, to):
    global moves
    if not moves:
        os.kill(os.getpid(), signal.SIGKILL)
    moves -= 1
    real(path, to)
pathlib.Path.replace = move
with ledger(running, lambda *_: True):
    write_files(folder, {"a": b"new a", "b": b"new b", "below/c": b"new c"}, executable=())
    os.kill(os.getpid(), signal.SIGKILL)
"""


def found(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds, folders without content too."""
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def test_files_and_the_folders_that_they_need_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "place"

    write_files(folder, FILES, executable=["below/deep/b.sh"])

    assert found(folder) == FILES
    executable = [name for name in FILES if (folder / name).stat().st_mode & 0o111]
    assert executable == ["below/deep/b.sh"]


def test_files_that_are_whole_stay_where_that_cannot_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(file: LockFile, text: str, *, lasting: bool = False) -> None:
        if '"whole"' in text:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, text, lasting=lasting)

    real = LockFile.append
    monkeypatch.setattr(LockFile, "append", append)

    with ledger(tmp_path / "running", lambda *_: True):
        write_files(tmp_path / "place", FILES, executable=())

    assert found(tmp_path / "place") == FILES
    assert not list((tmp_path / "running").iterdir())


def test_files_that_are_there_are_replaced_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"old a")
    (tmp_path / "mine").write_bytes(b"mine")

    write_files(tmp_path, FILES, executable=[])

    assert found(tmp_path) == {**FILES, "mine": b"mine"}


def test_where_the_last_cannot_be_written_all_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"old a")
    (tmp_path / "c").mkdir()  # no file can be moved there

    with pytest.raises(WriteError) as caught:
        write_files(tmp_path, FILES, executable=[])

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "cannot write TMP/c: it is no plain file"
    )
    assert found(tmp_path) == {"a.yaml": b"old a", "c": b""}


def test_what_will_be_replaced_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    assert refuse_existing(tmp_path, ("b",), force=False) == ()
    assert refuse_existing(tmp_path, ("a", "b"), force=True) == ("a",)


def test_what_is_there_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    (tmp_path / "b").touch()

    with pytest.raises(PlaceTakenError, match=r"b exists already$"):
        refuse_existing(tmp_path, ["b"], force=False)
    with pytest.raises(PlaceTakenError) as caught:
        refuse_existing(tmp_path, ["b", "a"], force=True)

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording("TMP/a is not a file")


@pytest.mark.parametrize("moves", range(4))
def test_a_process_that_is_killed_in_the_midst_has_written_none_of_them(
    tmp_path: Path, moves: int
) -> None:
    running, folder = tmp_path / "running", tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"old a")
    program = (sys.executable, "-c", KILLED, str(running), str(folder), str(moves))
    assert subprocess.run(program, check=False).returncode == -signal.SIGKILL
    if moves == 2:
        (folder / "b").write_bytes(b"edited since")

    take_away_leftovers(running, lambda *_: True)

    new = {"a": b"new a", "b": b"new b", "below/c": b"new c"}
    edited = {"b": b"edited since"} if moves == 2 else {}
    assert found(folder) == (new if moves == 3 else {"a": b"old a", **edited})
