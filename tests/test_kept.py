"""What is given again from the user's folder, and what is passed over."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapenv import kept as module
from snapenv.content import sha256_of
from snapenv.kept import KEPT_S, Kept, KeptFiles, _forget_once

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "0" * 64
BODY = b"a body\n\0 of any bytes"
DAY_S = 24 * 3600


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "cache" / "made")


def file_of(kept: Kept, name: str = NAME) -> Path:
    assert kept.folder is not None
    return kept.folder / name


@given(body=st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_kept_is_given_again(kept: Kept, body: bytes) -> None:
    kept.keep(NAME, body)

    assert Kept(kept.folder).find(NAME) == body


def test_nobody_else_can_read_it(kept: Kept) -> None:
    kept.keep(NAME, BODY)

    assert file_of(kept).stat().st_mode & 0o777 == 0o600
    assert file_of(kept).parent.stat().st_mode & 0o777 == 0o700


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_one_that_is_damaged_at_any_byte_is_passed_over(kept: Kept) -> None:
    kept.keep(NAME, BODY)
    whole = file_of(kept).read_bytes()
    damaged = [flip(whole, at) for at in range(len(whole))]
    cut = [whole[:length] for length in range(len(whole))]

    for content in (*damaged, *cut, whole + b"\0", b""):
        file_of(kept).write_bytes(content)
        assert kept.find(NAME) is None


def to_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a file that others may write": lambda path: path.chmod(0o622),
    "a link": to_link,
    "a pipe": to_pipe,
    "a folder": to_folder,
    "a folder that others may write": lambda path: path.parent.chmod(0o777),
    "a folder in one that others may write": lambda path: path.parent.parent.chmod(0o777),
}
GIVEN_AWAY: dict[str, Callable[[Path], object]] = {
    "a file of another user": lambda path: os.chown(path, 65534, 65534),
    "a folder of another user": lambda path: os.chown(path.parent, 65534, 65534),
    "a folder in one of another user": lambda path: os.chown(path.parent.parent, 65534, 65534),
}


@pytest.mark.parametrize("spoil", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_others_could_have_written_is_passed_over(
    kept: Kept, spoil: Callable[[Path], object]
) -> None:
    kept.keep(NAME, BODY)
    spoil(file_of(kept))

    assert kept.find(NAME) is None
    kept.keep("1" * 64, BODY)  # and is no reason to fail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("spoil", GIVEN_AWAY.values(), ids=GIVEN_AWAY.keys())
def test_what_is_of_another_user_is_passed_over(
    kept: Kept, spoil: Callable[[Path], object]
) -> None:
    kept.keep(NAME, BODY)
    spoil(file_of(kept))

    assert kept.find(NAME) is None


def test_where_nothing_can_be_kept_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for kept in (Kept(None), Kept(tmp_path / "file"), Kept(tmp_path / "file" / "made")):
        kept.keep(NAME, BODY)
        assert kept.find(NAME) is None
        assert len(kept.namer()("part")) == len(NAME)


def test_what_is_too_large_is_not_kept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapenv.kept.MOST_BYTES", len(BODY) - 1)
    kept.keep(NAME, BODY)

    assert kept.find(NAME) is None


def test_what_was_not_needed_for_long_is_forgotten_and_the_key_is_not(kept: Kept) -> None:
    name, needed, unneeded = kept.namer()("x"), "1" * 64, "2" * 64
    for one in (needed, unneeded):
        kept.keep(one, BODY)
        os.utime(file_of(kept, one), times=(0, time.time() - KEPT_S + DAY_S))
    os.utime(file_of(kept, "key"), times=(0, 0))
    kept.find(needed)
    assert file_of(kept, needed).stat().st_mtime > time.time() - DAY_S
    os.utime(file_of(kept, unneeded), times=(0, time.time() - KEPT_S - DAY_S))

    _forget_once.cache_clear()  # as in the next command

    kept.keep(NAME, BODY)

    assert kept.find(needed) == BODY
    assert kept.find(unneeded) is None
    assert kept.namer()("x") == name


@given(
    left=st.lists(st.binary(max_size=3), max_size=4),
    right=st.lists(st.binary(max_size=3), max_size=4),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_other_parts_have_another_name(kept: Kept, left: list[bytes], right: list[bytes]) -> None:
    name = kept.namer()

    assert (name(*left) == name(*right)) == (left == right)
    assert Kept(kept.folder).namer()(*left) == name(*left)


def test_a_name_cannot_be_guessed_without_the_folder(kept: Kept, tmp_path: Path) -> None:
    name = kept.namer()("hunter2")

    assert name != Kept(tmp_path / "other").namer()("hunter2")
    assert name != hashlib.sha256(b"hunter2").hexdigest()


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_was_kept_is_put_where_it_is_wanted(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "cache" / "wheels")
    digest = written(tmp_path / "a.whl", BODY)

    files.keep(digest, tmp_path / "a.whl")

    assert files.find(digest, tmp_path / "b.whl")
    assert (tmp_path / "b.whl").read_bytes() == BODY
    kept_file = tmp_path / "cache" / "wheels" / digest
    assert kept_file.stat().st_mode & 0o777 == 0o600
    assert kept_file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in kept_file.parent.iterdir()] == [digest]


def test_a_file_system_without_hard_links_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    files = KeptFiles(tmp_path / "cache")
    digest = written(tmp_path / "a.whl", BODY)

    files.keep(digest, tmp_path / "a.whl")

    assert files.find(digest, tmp_path / "b.whl")
    assert (tmp_path / "b.whl").stat().st_nlink == 1
    assert (tmp_path / "cache" / digest).stat().st_mode & 0o777 == 0o600


def test_a_kept_file_with_other_bytes_is_taken_away(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "cache")
    digest = written(tmp_path / "a.whl", BODY)
    files.keep(digest, tmp_path / "a.whl")
    (tmp_path / "cache" / digest).write_bytes(b"others")

    assert not files.find(digest, tmp_path / "b.whl")
    assert not (tmp_path / "b.whl").exists()
    assert not (tmp_path / "cache" / digest).exists()


def test_a_kept_file_that_others_may_write_is_passed_over(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "cache")
    digest = written(tmp_path / "a.whl", BODY)
    files.keep(digest, tmp_path / "a.whl")
    (tmp_path / "cache" / digest).chmod(0o666)

    assert not files.find(digest, tmp_path / "b.whl")


def test_the_oldest_files_go_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_OF_FILES_BYTES", 2 * len(BODY) + 2)
    files = KeptFiles(tmp_path / "cache")
    digests = [written(tmp_path / "a.whl", BODY + bytes([number])) for number in range(3)]
    for number, digest in enumerate(digests):
        path = tmp_path / f"{number}.whl"
        written(path, BODY + bytes([number]))
        os.utime(path, times=(0, time.time() - DAY_S * (3 - number)))
        files.keep(digest, path)

    found = [files.find(digest, tmp_path / "x.whl") for digest in digests]

    assert found == [False, True, True]


def test_a_name_that_is_no_hash_is_never_a_path(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path / "cache")
    written(tmp_path / "a.whl", BODY)

    files.keep("../a", tmp_path / "a.whl")

    assert not files.find("../a", tmp_path / "b.whl")
    assert not (tmp_path / "cache").exists()


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that are hashed from now on."""
    hashed = list[Path]()

    def hash_file(file: Path) -> object:
        hashed.append(file)
        return sha256_of(file)

    monkeypatch.setattr(module, "sha256_of", hash_file)
    return hashed


def test_files_that_did_not_change_are_hashed_once(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = KeptFiles(tmp_path / "wheels")
    digests = [hashlib.sha256(content).hexdigest() for content in (b"one", b"other")]
    for digest, content in zip(digests, (b"one", b"other"), strict=True):
        files.keep(digest, content)
    hashed = count_hashes(monkeypatch)

    first = files.look_up_all(digests, kept)
    (tmp_path / "link").hardlink_to(tmp_path / "wheels" / digests[0])
    again = files.look_up_all(digests, kept)

    assert first == again == [tmp_path / "wheels" / digest for digest in digests]
    assert len(hashed) == len(digests)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"two"),
        lambda file: file.write_bytes(b"long"),
        lambda file: file.chmod(0o622),
        lambda file: file.unlink(),
    ],
    ids=["another time", "another size", "writable for others", "gone"],
)
def test_a_file_that_has_changed_is_hashed_again(
    kept: Kept, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    files, digest = KeptFiles(tmp_path / "wheels"), hashlib.sha256(b"one").hexdigest()
    files.keep(digest, b"one")
    assert files.look_up_all([digest], kept)

    change(tmp_path / "wheels" / digest)

    assert files.look_up_all([digest], kept) is None


def test_after_a_start_of_the_machine_all_are_hashed_again(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, digest = KeptFiles(tmp_path / "wheels"), hashlib.sha256(b"one").hexdigest()
    files.keep(digest, b"one")
    assert files.look_up_all([digest], kept)
    hashed = count_hashes(monkeypatch)

    for boot, times in (("another", 1), ("another", 1), ("", 2), ("", 3)):
        monkeypatch.setattr(module, "boot_id", lambda boot=boot: boot)
        assert files.look_up_all([digest], kept)
        assert len(hashed) == times
