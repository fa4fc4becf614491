from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.engine.failures import engine_failure, is_passing, registry_failure
from snapenv.engine.full_disk import FullDiskError, with_inodes
from snapenv.engine.venv import _failed
from snapenv.model.image import ImageRef
from snapenv.ports import Completed
from tests.fakes import DESCRIBED

FULL = "no space left on device"
MAKES = (
    f"failed to register layer: open /usr/lib/x.pyc: {FULL}",
    f"failed to register layer: Error processing tar file(exit status 1): mkdir /a b: {FULL}",
    f"ApplyLayer exit status 1 stdout:  stderr: symlink a /usr/b: {FULL}",
    f"link /a /b: {FULL}",
    "tar: ./x: Cannot open: No space left on device",
    "cp: cannot create directory 'x': No space left on device",
)
WRITES = (
    f"failed to register layer: write /usr/lib/open/mkdir: {FULL}",
    f"write /a.open x: {FULL}",
    "OSError: [Errno 28] No space left on device",
    f"mkdir /a: permission denied\nwrite /b: {FULL}",
)
ROOM = replace(DESCRIBED, root="/data", free_bytes=5_400_000_000, free_inodes=5947)


def failure(text: str) -> FullDiskError:
    error = engine_failure(text)
    assert isinstance(error, FullDiskError)
    return error


@pytest.mark.parametrize("text", MAKES)
def test_what_could_not_be_made_where_few_inodes_are_is_told_as_inodes(text: str) -> None:
    error = with_inodes(failure(text), ROOM)

    assert error.message == wording(
        "the disk of the Docker engine has no inodes for further files: at /data 5.4 GB are free, and 5,947 inodes, now that the engine has taken away what did not fit"
    )
    assert "df -i /data" in error.hint


@pytest.mark.parametrize("text", WRITES)
def test_what_could_not_be_written_is_told_as_bytes(text: str) -> None:
    error = with_inodes(failure(text), ROOM)

    assert error.message == wording("the disk of the Docker engine is full")


def test_no_inodes_at_all_are_told_whatever_failed() -> None:
    assert "no inodes" in with_inodes(failure(WRITES[0]), replace(ROOM, free_inodes=3)).message


@pytest.mark.parametrize("inodes", [None, 100_000, 9_000_000])
def test_where_inodes_are_not_scarce_or_not_seen_both_are_named(inodes: int | None) -> None:
    error = with_inodes(failure(MAKES[0]), replace(ROOM, free_inodes=inodes))

    assert error.message == wording("the disk of the Docker engine is full, of bytes or of inodes")
    assert "df -h and df -i" in error.hint
    assert with_inodes(failure(MAKES[0]), None).message == error.message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "failed to create directory `/x/lib`",
            wording("the disk is full, of bytes or of inodes: uv could not write the packages"),
        ),
        (
            "failed to write to file `/x/lib/creating`",
            wording("the disk is full: uv could not write the packages"),
        ),
    ],
)
def test_what_uv_could_not_make_may_be_for_want_of_inodes(words: str, message: str) -> None:
    stderr = f"error: {words}: No space left on device (os error 28)"

    assert _failed(Completed(exit_code=2, stdout="", stderr=stderr)).message == message


@pytest.mark.parametrize("name", ["timeout", "denied", "not found", "x509: ", "429"])
def test_a_path_that_reads_like_another_failure_is_none(name: str) -> None:
    text = f"failed to register layer: open /usr/lib/{name} 429 timeout: {FULL}"

    assert isinstance(registry_failure(text, ImageRef.parse("example.com/x:a")), FullDiskError)
    assert not is_passing(text)
