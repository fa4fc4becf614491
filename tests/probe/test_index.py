"""What is not read again, and when it is.

Nothing but a file's own hash is believed without reading; so an index in which the hashes were
exchanged for ``LIE`` shows which files were not read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from snapenv_probe import cache, file_status, hash_index, hashing
from tests.probe.environments import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.probe.environments import Venv

LIE = "11" * 32


@dataclass(frozen=True)
class Hasher:
    """The probe's hashing with an index, in this process."""

    index: Any
    hashing: Any
    status: Any
    cache: Any
    place: Path

    def hash(self, *files: Path, after_s: float = 10, rehash: bool = False) -> list[str]:
        """Hash files in a look that begins so many seconds from now."""
        now_ns = time.time_ns() + int(after_s * 1e9)
        index = self.index.Index(str(self.place), rehash=rehash, now_ns=now_ns)
        found = self.hashing.hash_files(map(str, files), index)
        index.save()
        return [found[str(file)].sha256 for file in files]

    def lie(self) -> None:
        """Exchange every hash of the index."""
        rows, places = self.rows()
        assert places
        key = self.index._KEY.size
        seen = {path: rows[at : at + key] + bytes.fromhex(LIE) for path, at in places.items()}
        self.cache.write(str(self.place), self.index.MAGIC, self.index._pack(seen))

    def rows(self) -> tuple[bytes, dict[str, int]]:
        """Return the index as it is written."""
        rows, places = self.index._parse(self.cache.read(str(self.place), self.index.MAGIC))
        return rows, places


@pytest.fixture
def hasher(tmp_path: Path) -> Hasher:
    return Hasher(
        index=hash_index,
        hashing=hashing,
        status=file_status,
        cache=cache,
        place=tmp_path / "cache" / "hashes" / "x.index",
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.py"
    path.write_text("ANSWER = 42\n")
    return path


def truth(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_file_that_did_not_change_is_not_read_again(hasher: Hasher, file: Path) -> None:
    first = hasher.hash(file)
    hasher.lie()

    again = hasher.hash(file)

    assert (first, again) == ([truth(file)], [LIE])


def test_rehash_reads_every_file_and_mends_the_index(hasher: Hasher, file: Path) -> None:
    hasher.hash(file)
    hasher.lie()

    asked, after = hasher.hash(file, rehash=True), hasher.hash(file)

    assert asked == after == [truth(file)]


def test_rehash_leaves_nothing_of_the_index(hasher: Hasher, file: Path) -> None:
    hasher.hash(file)
    hasher.lie()

    hasher.hash(file, rehash=True, after_s=1)  # too early to remember it

    assert hasher.hash(file) == [truth(file)]


def overwrite(file: Path) -> None:
    """Change a file to as many other bytes, and set its time back."""
    before = file.stat()
    file.write_text("ANSWER = 43\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path) -> None:
    """Put another file in its place, of the same size and time."""
    other = file.with_suffix(".new")
    other.write_text("ANSWER = 44\n")
    shutil.copystat(file, other)
    other.rename(file)


def touch(file: Path) -> None:
    os.utime(file, (1, 1))


@pytest.mark.parametrize("change", [overwrite, replace, touch])
def test_a_file_that_changed_is_read_again(
    hasher: Hasher, file: Path, change: Callable[[Path], None]
) -> None:
    hasher.hash(file)
    hasher.lie()
    change(file)

    assert hasher.hash(file) == [truth(file)]


def test_a_file_that_had_just_changed_is_read_again_the_next_time(
    hasher: Hasher, file: Path
) -> None:
    old = file.with_name("old.py")
    old.write_text("")
    later = time.time_ns() + 9_000_000_000
    os.utime(file, ns=(later, later))

    hasher.hash(file, old, after_s=10)
    hasher.lie()

    assert hasher.hash(file, old, after_s=20) == [truth(file), LIE]


def test_a_file_that_changes_while_it_is_read_is_read_again(hasher: Hasher, file: Path) -> None:
    index = hasher.index.Index(str(hasher.place), now_ns=time.time_ns() + 10**10)
    before = hasher.status.ask(str(file))
    overwrite(file)

    index.learn(str(file), LIE, before)
    index.save()

    assert hasher.hash(file) == [truth(file)]


def test_a_file_that_is_gone_is_forgotten(hasher: Hasher, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("")
    hasher.hash(file, other)

    hasher.hash(file)

    _, places = hasher.rows()
    assert list(places) == [str(file)]


def test_names_that_are_no_text_are_kept(hasher: Hasher, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9\n.py")
    odd.write_text("")
    hasher.hash(odd)
    hasher.lie()

    assert hasher.hash(odd) == [LIE]


def flip(content: bytes) -> bytes:
    return content[:-90] + bytes([content[-90] ^ 1]) + content[-89:]


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda content: content[:-1],
        lambda content: content[:20],
        lambda _: b"",
        lambda content: content.replace(b"hashes 2", b"hashes 3"),
        lambda _: b"DIRC\0\0\0\2 of another program" * 9,
    ],
    ids=["a bit", "the end", "the start alone", "empty", "another version", "foreign"],
)
def test_a_damaged_index_is_passed_over(
    hasher: Hasher, file: Path, damage: Callable[[bytes], bytes]
) -> None:
    hasher.hash(file)
    hasher.lie()
    hasher.place.write_bytes(damage(hasher.place.read_bytes()))

    hashed, after = hasher.hash(file), hasher.hash(file)

    assert hashed == after == [truth(file)]


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o720])
def test_an_index_in_a_folder_that_others_may_write_is_neither_believed_nor_written(
    hasher: Hasher, file: Path, mode: int
) -> None:
    hasher.hash(file)
    hasher.lie()
    before = hasher.place.read_bytes()
    hasher.place.parent.chmod(mode)

    hashed = hasher.hash(file), hasher.hash(file, rehash=True)

    assert hashed == ([truth(file)], [truth(file)])
    assert hasher.place.read_bytes() == before


def test_an_index_that_others_may_put_another_folder_over_is_not_believed(
    hasher: Hasher, file: Path
) -> None:
    hasher.hash(file)
    hasher.lie()
    hasher.place.parents[1].chmod(0o777)

    assert hasher.hash(file) == [truth(file)]


def test_an_index_that_others_may_write_is_not_believed(hasher: Hasher, file: Path) -> None:
    hasher.hash(file)
    hasher.lie()
    hasher.place.chmod(0o666)

    assert hasher.hash(file) == [truth(file)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("above", [0, 1, 2], ids=["the index", "its folder", "the folder above"])
def test_what_belongs_to_another_user_is_not_believed(
    hasher: Hasher, file: Path, above: int
) -> None:
    hasher.hash(file)
    hasher.lie()
    os.chown([hasher.place, *hasher.place.parents][above], 65534, 65534)

    assert hasher.hash(file) == [truth(file)]


def test_a_link_is_not_followed(hasher: Hasher, file: Path, tmp_path: Path) -> None:
    hasher.hash(file)
    hasher.lie()
    hasher.place.rename(tmp_path / "elsewhere")
    hasher.place.symlink_to(tmp_path / "elsewhere")

    assert hasher.hash(file) == [truth(file)]


def test_an_index_that_cannot_be_written_is_no_failure(hasher: Hasher, file: Path) -> None:
    hasher.place.parents[1].write_text("no folder")

    assert hasher.hash(file) == [truth(file)]


def test_only_the_user_can_read_the_index_and_nothing_else_is_left(
    hasher: Hasher, file: Path
) -> None:
    before = os.umask(0o002)
    try:
        hasher.hash(file)
    finally:
        os.umask(before)

    assert [path.name for path in hasher.place.parent.iterdir()] == ["x.index"]
    modes = [path.stat().st_mode & 0o777 for path in (hasher.place, hasher.place.parent)]
    assert modes == [0o600, 0o700]


def test_an_index_that_was_not_written_for_long_is_removed(hasher: Hasher, file: Path) -> None:
    hasher.hash(file)
    old, recent = (hasher.place.with_name(name) for name in ("old.index", "recent.index"))
    for other, days in ((old, 91), (recent, 89)):
        other.write_text("")
        os.utime(other, (time.time() - days * 86400,) * 2)

    hasher.hash(file, rehash=True)

    assert (old.exists(), recent.exists(), hasher.place.exists()) == (False, True, True)


def test_a_look_without_an_index_reads_every_file(
    hasher: Hasher, venv: Venv, tmp_path: Path
) -> None:
    venv.install(write_wheel(tmp_path, "plain", {"plain.py": "ANSWER = 42\n"}))
    time.sleep(2.1)  # until nothing has just changed
    target, hashes = LocalTarget(venv.python), tmp_path / "cache" / "hashes"

    first = probe(target, hashes=hashes)
    (place,) = hashes.glob("*.index")
    dataclasses.replace(hasher, place=place).lie()
    for answer in hashes.glob("*.answer"):  # none where apt changes something meanwhile
        answer.unlink()
    believed, anew = probe(target, hashes=hashes), probe(target)

    assert first == anew
    assert [found.files and found.files.edited for found in believed.environment.distributions] == [
        ("plain-1.0.dist-info/METADATA", "plain-1.0.dist-info/WHEEL", "plain.py")
    ]
    assert probe(target, hashes=hashes, rehash=True) == first
    assert probe(target, hashes=hashes) == first
