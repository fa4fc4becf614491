from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snapenv.errors import PlaceTakenError, SnapenvError, WriteError
from snapenv.ownership.leftovers import take_away_leftovers
from snapenv.ownership.staging import refuse_unwritable, staged

MAKE: dict[str, int | None] = {"file": None, "folder": 0o755}

KILLED = """
import os, pathlib, signal, sys
from snapenv.ownership.leftovers import ledger
from snapenv.ownership.staging import replace_file
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with ledger(pathlib.Path(sys.argv[1]), lambda *_: True):
    replace_file(pathlib.Path(sys.argv[2]), b"new")
"""


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["one", "below/and/one", "é" * 120])
def test_what_was_made_is_in_its_place_and_nothing_beside_it(
    tmp_path: Path, kind: str, name: str
) -> None:
    with staged(tmp_path / name, folder=MAKE[kind]) as temporary:
        assert temporary.exists()
        assert not (tmp_path / name).exists()

    assert (tmp_path / name).exists()
    assert len(list((tmp_path / name).parent.iterdir())) == 1


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("late", [False, True])
def test_what_comes_to_stand_there_meanwhile_is_not_replaced(
    tmp_path: Path, kind: str, *, late: bool
) -> None:
    place = tmp_path / "one"
    if not late:
        place.write_text("mine")

    def run() -> None:
        with staged(place, folder=MAKE[kind]) as temporary:
            assert temporary.exists()
            place.write_text("mine")

    with pytest.raises(PlaceTakenError):
        run()

    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing(tmp_path: Path, kind: str, error: BaseException) -> None:
    def run() -> None:
        with staged(tmp_path / "one", folder=MAKE[kind]) as temporary:
            assert temporary.exists()
            raise error

    with pytest.raises((WriteError, KeyboardInterrupt)):
        run()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("file", "exists already"),
        ("link", "exists already"),
        ("file/one", "Not a directory"),
        ("n" * 300, "File name too long"),
        (f"{'n' * 300}/one", "File name too long"),
        ("n/" * 3000, "File name too long"),
    ],
)
def test_a_place_is_refused_before_anything_is_done(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")

    with pytest.raises(SnapenvError, match=says):
        refuse_unwritable(tmp_path / name)


@pytest.mark.parametrize("name", ["one", "below/one"])
def test_a_free_place_is_not_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    refuse_unwritable(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/one", "/dev/full/one", "/sys/below/one"])
def test_a_file_system_that_takes_nothing_is_refused(place: str) -> None:
    with pytest.raises(WriteError, match=f"cannot write {place}: "):
        refuse_unwritable(Path(place))


def test_the_disk_has_what_is_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not, a power cut takes away; its name stays, and is that of an empty file."""
    synced = set[int]()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(os.fstat(handle).st_ino))

    with staged(tmp_path / "one", folder=0o755) as temporary:
        (temporary / "below").mkdir()
        (temporary / "below" / "file").write_text("made")

    made = (tmp_path, tmp_path / "one", *(tmp_path / "one").rglob("*"))
    assert {path.stat().st_ino for path in made} <= synced


def test_what_the_disk_does_not_take_is_not_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        del handle
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    def run() -> None:
        with staged(tmp_path / "one") as temporary:
            assert temporary.exists()

    with pytest.raises(WriteError, match="one: Input/output error"):
        run()

    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_while_it_replaces_a_file_leaves_the_old_one_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("old")
    program = (sys.executable, "-c", KILLED, str(tmp_path / "running"), str(tmp_path / "file"))
    assert subprocess.run(program, check=False).returncode == -signal.SIGKILL

    take_away_leftovers(tmp_path / "running", lambda *_: True)

    (tmp_path / "running").rmdir()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]
