"""What an installer linked from its cache is not read again, and when it is.

As in ``test_index``, hashes are exchanged for ``LIE`` to show which files were not read.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snapenv_probe import cache, hash_index, hashing, linked

if TYPE_CHECKING:
    from collections.abc import Callable

LIE = "11" * 32
DAY_S = 24 * 3600


@dataclass(frozen=True)
class Looks:
    """Looks at environments, each with an index of its own beside what is kept of all."""

    index: Any
    hashing: Any
    linked: Any
    cache: Any
    place: Path

    def hash(
        self, file: Path, *, fresh: bool = True, rehash: bool = False, after_s: float = 10
    ) -> str:
        """Hash a file in a look at its folder that begins so many seconds from now."""
        index = self.index.Index(
            str(self.place / f"{file.parent.name}.index"),
            is_fresh=fresh,
            rehash=rehash,
            now_ns=time.time_ns() + int(after_s * 1e9),
        )
        found = self.hashing.hash_files([str(file)], index)
        index.save()
        return str(found[str(file)].sha256)

    def lie(self) -> None:
        """Exchange every hash that is kept of linked files."""
        kept = self.kept()
        assert kept
        body = b"".join(key + answer[:-32] + bytes.fromhex(LIE) for key, answer in kept.items())
        self.cache.write(str(self.place / "linked"), self.linked.MAGIC, body)

    def kept(self) -> dict[bytes, bytes]:
        """Return what is kept of linked files."""
        body = self.cache.read(str(self.place / "linked"), self.linked.MAGIC)
        kept: dict[bytes, bytes] = self.linked._parse(body)
        return kept


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    place = tmp_path / "cache" / "hashes"
    return Looks(index=hash_index, hashing=hashing, linked=linked, cache=cache, place=place)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file that an installer linked from its cache."""
    cached = tmp_path / "uv" / "file.py"
    cached.parent.mkdir()
    cached.write_text("ANSWER = 42\n")
    return link(cached, "first")


def link(file: Path, folder: str) -> Path:
    path = file.parents[1] / folder / file.name
    path.parent.mkdir()
    path.hardlink_to(file)
    return path


def truth(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_was_linked_into_a_new_environment_is_not_read_again(looks: Looks, file: Path) -> None:
    first = looks.hash(file)
    looks.lie()

    assert (first, looks.hash(link(file, "second"))) == (truth(file), LIE)


def test_a_capture_reads_for_the_restores_that_follow(looks: Looks, file: Path) -> None:
    looks.hash(file, fresh=False)
    looks.lie()

    assert looks.hash(link(file, "second")) == LIE


@pytest.mark.parametrize("how", [{"fresh": False}, {"rehash": True}])
def test_it_is_read_where_the_environment_is_not_new_or_a_person_asks(
    looks: Looks, file: Path, how: dict[str, bool]
) -> None:
    looks.hash(file)
    looks.lie()

    assert looks.hash(link(file, "second"), **how) == truth(file)


def edit(file: Path) -> None:
    file.write_text("ANSWER = 43\n")


def edit_through_another_name(file: Path) -> None:
    edit(file.parents[1] / "uv" / file.name)


def grow(file: Path) -> None:
    before = file.stat()
    file.write_text("ANSWER = 42\n\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy(file: Path) -> None:
    before, content = file.stat(), file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [edit, edit_through_another_name, grow, copy])
def test_what_changed_is_read_again(
    looks: Looks, file: Path, change: Callable[[Path], None]
) -> None:
    looks.hash(file)
    looks.lie()
    second = link(file, "second")
    change(second)

    assert looks.hash(second) == truth(second)


def test_of_a_file_with_one_name_nothing_is_kept(looks: Looks, file: Path) -> None:
    (file.parents[1] / "uv" / file.name).unlink()

    looks.hash(file)

    assert looks.kept() == {}


def test_of_a_file_that_had_just_changed_nothing_is_kept(looks: Looks, file: Path) -> None:
    looks.hash(file, after_s=1)

    assert looks.kept() == {}


def test_what_is_met_stays_and_what_is_not_is_forgotten_after_ninety_days(
    looks: Looks, file: Path
) -> None:
    looks.hash(file)
    ((key, answer),) = looks.kept().items()
    long_ago = (int.from_bytes(answer[:4], "little") - 91).to_bytes(4, "little")
    other = bytes(len(key))
    body = key + long_ago + answer[4:] + other + long_ago + answer[4:]
    looks.cache.write(str(looks.place / "linked"), looks.linked.MAGIC, body)

    looks.hash(link(file, "second"))

    assert looks.kept() == {key: answer}


def test_past_the_limit_the_longest_unmet_is_forgotten(
    looks: Looks, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks.linked, "MOST", 1)
    other = file.with_name("other.py")
    other.write_text("")
    looks.hash(file)

    looks.hash(link(other, "linked"), after_s=DAY_S)

    assert [answer[-32:].hex() for answer in looks.kept().values()] == [truth(other)]


def test_what_is_damaged_is_passed_over(looks: Looks, file: Path) -> None:
    looks.hash(file)
    looks.lie()
    kept = looks.place / "linked"
    kept.write_bytes(kept.read_bytes()[:-1])

    assert looks.hash(link(file, "second")) == truth(file)
