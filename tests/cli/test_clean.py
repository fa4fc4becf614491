"""``snapenv clean`` as a user runs it, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from tests.command import Command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def command(tmp_path: Path) -> Command:
    kept = tmp_path / "cache" / "snapenv" / "hashes" / "x"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"12345")
    (tmp_path / "cache" / "mine").write_bytes(b"")
    return Command(
        {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "state")}
    )


def test_a_cache_is_listed_and_then_freed(command: Command, tmp_path: Path) -> None:
    listed = command.run("clean")
    freed = command.document("clean", "--yes")
    again = command.run("clean", "--yes")

    assert listed.returncode == 0
    assert "free    " + str(tmp_path / "cache" / "snapenv" / "hashes") in listed.stdout
    assert "5 B can be freed; nothing was, without --yes" in listed.stdout
    assert freed["result"]["freed_bytes"] == 5
    assert freed["warnings"][0].replace(str(tmp_path), "TMP") == wording(
        "no Docker engine answers at unix:///nonexistent/docker.sock: there is no such socket: images are not listed"
    )
    assert again.stdout == "nothing to free\n"
    assert (tmp_path / "cache" / "mine").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--older-than", "7"), 2, "'7' is not an age such as 12h, 7d or 4w"),
        (("--keep", "train"), 3, "there is no environment train to keep; nothing was freed"),
    ],
)
def test_what_cannot_be_chosen(
    command: Command, words: tuple[str, ...], code: int, message: str
) -> None:
    done = command.run("clean", *words)

    assert done.returncode == code
    assert message in done.stderr
