from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.content import (
    Tar,
    read_chunks,
    size_bytes,
    write_all,
    write_content,
)
from snapenv.errors import SnapshotDamagedError
from snapenv.ownership.staging import replace_file
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.carried import Content

MEBIBYTE = 1 << 20
SIZES = (0, 1, 511, 512, 513, 10_240, MEBIBYTE, MEBIBYTE + 1)
LONG = "vendor/" + "x" * 120 + "ü.whl"  # of a length that takes a header of its own


def read(tar: Tar) -> Mapping[str, bytes]:
    """Unpack by Python's own reader."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar))) as archive:
        opened = {member.name: archive.extractfile(member) for member in archive}
    return {name: file.read() for name, file in opened.items() if file}


def as_path(folder: Path, content: bytes) -> Path:
    path = folder / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    return path


def test_a_file_is_read_a_piece_at_a_time(tmp_path: Path) -> None:
    path = as_path(tmp_path, bytes(3 * MEBIBYTE + 5))

    assert [len(chunk) for chunk in read_chunks(path)] == [MEBIBYTE] * 3 + [5]
    assert size_bytes(path) == 3 * MEBIBYTE + 5


def test_bytes_are_given_a_piece_at_a_time_too() -> None:
    large = bytes(2 * MEBIBYTE + 5)

    assert [len(chunk) for chunk in read_chunks(large)] == [MEBIBYTE] * 2 + [5]
    assert (list(read_chunks(b"abc")), size_bytes(b"abc")) == ([b"abc"], 3)


@dataclass
class Narrow:
    """A file that takes a few bytes at a time, as Linux takes 2 GiB, and waits now and then."""

    most: int
    taken: bytearray = field(default_factory=bytearray)
    waits: bool = False

    def write(self, data: memoryview, /) -> int | None:
        self.waits = not self.waits
        if self.waits:
            return None
        self.taken += data[: self.most]
        return min(len(data), self.most)


@given(st.lists(st.binary(max_size=40)), st.integers(1, 20))
def test_every_byte_is_written_however_little_one_write_takes(
    chunks: list[bytes], most: int
) -> None:
    narrow = Narrow(most)

    assert write_all(narrow, chunks) == len(narrow.taken)
    assert bytes(narrow.taken) == b"".join(chunks)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_written_as_it_is(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)

    write_content(tmp_path / "bytes", content)
    write_content(tmp_path / "path", as_path(tmp_path, content))

    assert (tmp_path / "bytes").read_bytes() == (tmp_path / "path").read_bytes() == content


def test_a_file_that_is_not_whole_after_it_was_written_is_no_success() -> None:
    with pytest.raises(OSError, match="written") as caught:
        write_content(Path(os.devnull), b"lost")

    assert str(caught.value) == wording("[Errno 5] not all that was written is there: '/dev/null'")


@pytest.mark.parametrize("size", SIZES)
def test_a_file_and_its_bytes_are_the_same_tar(tmp_path: Path, size: int) -> None:
    content = bytes(number % 251 for number in range(size))

    by_path = Tar({"vendor/a.whl": as_path(tmp_path, content), "b": b"text"})
    by_bytes = Tar({"b": b"text", "vendor/a.whl": content})

    assert b"".join(by_path) == b"".join(by_bytes)
    assert read(by_path) == {"b": b"text", "vendor/a.whl": content}


@pytest.mark.parametrize("folder", [None, "in here"])
@pytest.mark.parametrize("size", SIZES)
def test_the_size_is_known_before_it_is_read(tmp_path: Path, size: int, folder: str | None) -> None:
    tar = Tar({"a": as_path(tmp_path, bytes(size)), LONG: bytes(size)}, folder)

    assert tar.size_bytes == len(b"".join(tar))
    assert tar.size_bytes % tarfile.RECORDSIZE == 0


def test_no_tar_is_empty() -> None:
    assert read(Tar({})) == {}
    assert Tar({}).size_bytes == tarfile.RECORDSIZE


def test_long_names_and_odd_letters_come_back() -> None:
    assert read(Tar({LONG: b"1", "ü/日本": b"2"})) == {LONG: b"1", "ü/日本": b"2"}


def test_what_is_packed_says_nothing_of_who_packed_it_and_when(tmp_path: Path) -> None:
    path = as_path(tmp_path, b"private")
    path.chmod(0o600)

    with tarfile.open(fileobj=io.BytesIO(b"".join(Tar({"a": path}, "f")))) as archive:
        folder, file = archive.getmembers()

    for member, mode in ((folder, 0o777), (file, 0o644)):
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert (member.mtime, member.mode) == (0, mode)


def test_gnu_tar_unpacks_it(tmp_path: Path) -> None:
    files: dict[str, Content] = {LONG: b"1", "a": as_path(tmp_path, bytes(700))}

    done = subprocess.run(
        (shutil.which("tar") or "tar", "-xf", "-", "-C", str(tmp_path)),
        input=b"".join(Tar(files)),
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert ((tmp_path / LONG).read_bytes(), (tmp_path / "a").read_bytes()) == (b"1", bytes(700))


@pytest.mark.parametrize("size", [0, 99, 101, 600])
def test_a_file_that_changes_its_size_while_it_is_packed_is_refused(
    tmp_path: Path, size: int
) -> None:
    path = as_path(tmp_path, bytes(100))
    tar = iter(Tar({"a": path}))

    next(tar)
    path.write_bytes(bytes(size))

    with pytest.raises(SnapshotDamagedError) as caught:
        list(tar)

    assert steady(caught.value) == wording(
        "TMP/DIGEST cannot be read: its size changed while it was read"
    )


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    for ask in (
        lambda: size_bytes(gone),
        lambda: list(read_chunks(gone)),
        lambda: list(Tar({"a": gone})),
    ):
        with pytest.raises(SnapshotDamagedError) as caught:
            ask()

        assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
            "TMP/gone cannot be read: No such file or directory"
        )


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o666, 0o644)])
def test_a_file_that_is_replaced_is_for_those_who_may_read_it(
    tmp_path: Path, mode: int, expected: int
) -> None:
    before = os.umask(0o022)
    try:
        replace_file(tmp_path / "page.html", b"old")
        replace_file(tmp_path / "page.html", b"new", mode=mode)
    finally:
        os.umask(before)

    (written,) = tmp_path.iterdir()
    assert written.read_bytes() == b"new"
    assert stat.S_IMODE(written.stat().st_mode) == expected


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(OSError, match="no plain file"):
        replace_file(tmp_path / "folder", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
