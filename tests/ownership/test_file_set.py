"""Several files: all of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import PlaceTakenError, WriteError
from snapenv.ownership.file_set import refuse_existing, write_files

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"a.yaml": b"new a", "below/deep/b.sh": b"new b", "c": b"new c"}


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
        "cannot write TMP/c: Is a directory"
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
