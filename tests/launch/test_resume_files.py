"""The files of an interrupted training: which are whole, which copies stay, which rows count."""

from __future__ import annotations

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv_resume.files import (
    damage,
    keep_copy,
    keep_newest,
    keep_saved,
    list_checkpoints,
    wait_for_next,
)
from snapenv_resume.results import keep_rows

if TYPE_CHECKING:
    from pathlib import Path

MOMENT = 1_800_000_000  # 2027-01-15 08:00:00 UTC
HEADER = "epoch,loss\n"


def checkpoint(path: Path, content: str = "x", *, age_s: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content * 100)
    os.utime(path, (MOMENT - age_s,) * 2)
    return path


def test_a_whole_checkpoint_has_no_damage(tmp_path: Path) -> None:
    assert damage(checkpoint(tmp_path / "last.pt")) is None


@pytest.mark.parametrize(
    ("content", "word"), [(b"", "empty"), (b"PK\3\4", "cut off"), (b"\x80\2torch", "cut off")]
)
def test_what_is_no_archive_is_damaged(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "last.pt").write_bytes(content)

    assert word in (damage(tmp_path / "last.pt") or "")


def test_a_cut_and_a_flipped_byte_are_damage(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path / "last.pt").read_bytes()

    (tmp_path / "cut.pt").write_bytes(whole[:-30])
    flipped = bytearray(whole)
    flipped[whole.index(b"xxx")] ^= 1
    (tmp_path / "flipped.pt").write_bytes(flipped)

    assert "cut off" in (damage(tmp_path / "cut.pt") or "")
    assert damage(tmp_path / "flipped.pt") == wording("it is damaged at archive/data.pkl")


def test_a_copy_is_no_link_and_is_made_once(tmp_path: Path) -> None:
    last = checkpoint(tmp_path / "weights" / "last.pt")

    copies = {keep_copy(tmp_path), keep_copy(tmp_path)}
    last.write_bytes(b"written in place")

    assert copies == {tmp_path / "snapenv" / "kept-20270115T080000.000000.pt"}
    assert damage(*copies) is None  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "snapenv").iterdir()] == [
        "kept-20270115T080000.000000.pt"
    ]


def test_a_damaged_checkpoint_is_not_kept(tmp_path: Path) -> None:
    checkpoint(tmp_path / "weights" / "last.pt").write_bytes(b"")

    assert keep_copy(tmp_path) is None


def test_two_copies_stay(tmp_path: Path) -> None:
    for age_s in (20, 10, 0):
        checkpoint(tmp_path / "weights" / "last.pt", age_s=age_s)
        keep_copy(tmp_path)

    keep_newest(tmp_path)

    assert sorted(path.name for path in (tmp_path / "snapenv").iterdir()) == [
        "kept-20270115T075950.000000.pt",
        "kept-20270115T080000.000000.pt",
    ]


def test_the_last_checkpoint_comes_first_and_then_the_newest(tmp_path: Path) -> None:
    last = checkpoint(tmp_path / "weights" / "last.pt", age_s=300)
    saved = checkpoint(tmp_path / "weights" / "epoch5.pt", age_s=100)
    kept = checkpoint(tmp_path / "snapenv" / "kept-20270101T000000.000000.pt", age_s=200)
    checkpoint(tmp_path / "weights" / "best.pt")

    assert list_checkpoints(tmp_path) == [last, saved, kept]


@pytest.mark.parametrize(
    ("rows", "epochs", "left"),
    [
        (["1,.9\n", "2,.8\n", "3,.7\n"], 2, ["1,.9\n", "2,.8\n"]),
        (["0,.9\n", "1,.8\n", "2,.7\n"], 2, ["0,.9\n", "1,.8\n"]),
        (["   1, .9\n", "   2, .8\n", "   2, .7\n"], 3, ["   1, .9\n", "   2, .7\n"]),
        (["1,.9\n", "2,"], 1, ["1,.9\n"]),
        ([], 1, []),
    ],
)
def test_each_epoch_that_is_done_has_one_row(
    tmp_path: Path, rows: list[str], epochs: int, left: list[str]
) -> None:
    results = tmp_path / "results.csv"
    results.write_text(HEADER + "".join(rows))

    keep_rows(results, epochs)

    assert results.read_text() == HEADER + "".join(left)


def test_without_results_there_is_nothing_to_do(tmp_path: Path) -> None:
    keep_rows(tmp_path / "results.csv", 1)

    assert not list(tmp_path.iterdir())


def test_the_next_checkpoint_is_waited_for_until_it_is_whole(tmp_path: Path) -> None:
    last = checkpoint(tmp_path / "weights" / "last.pt", "old", age_s=60)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait_for_next, tmp_path)
        assert not wait([waiting], timeout=0.6).done
        last.write_bytes(b"half of it")
        assert not wait([waiting], timeout=0.8).done
        checkpoint(last, "new")
        copy = waiting.result(timeout=300)

    assert copy.name == "kept-20270115T080000.000000.pt"
    assert copy.read_bytes() == last.read_bytes()


def test_the_checkpoint_of_an_epoch_that_has_its_row_is_waited_for(tmp_path: Path) -> None:
    last = checkpoint(tmp_path / "weights" / "last.pt", "old", age_s=60)
    rows = tmp_path / "results.csv"
    rows.write_text("epoch\n1\n")
    os.utime(rows, (last.stat().st_mtime + 30,) * 2)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(keep_saved, tmp_path)
        assert not wait([waiting], timeout=0.8).done
        last.write_bytes(b"half of it")
        assert not wait([waiting], timeout=0.8).done
        checkpoint(last, "new")
        copy = waiting.result(timeout=300)

    assert copy
    assert copy.read_bytes() == last.read_bytes()


def test_what_is_saved_already_is_kept_at_once_and_what_never_comes_not_waited_for_long(
    tmp_path: Path,
) -> None:
    last = checkpoint(tmp_path / "weights" / "last.pt", "new")
    assert keep_saved(tmp_path)

    rows = tmp_path / "results.csv"
    rows.write_text("epoch\n1\n")
    os.utime(rows, (last.stat().st_mtime + 30,) * 2)
    assert keep_saved(tmp_path, patience_s=0.3)
    last.unlink()
    assert keep_saved(tmp_path, patience_s=0.3) is None
