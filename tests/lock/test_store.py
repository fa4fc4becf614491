from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.errors import NotFoundError, PlaceTakenError, SnapshotDamagedError, WriteError
from snapenv.lock.store import (
    make_snapshot,
    parse_snapshot,
    read_snapshot,
    refuse_taken,
    write_snapshot,
)
from snapenv.model.snapshot import SUMS_FILE
from tests.samples import (
    CAPTURED_AT,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_lock,
    sample_snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snapenv.model.snapshot import Snapshot

SMALL = make_snapshot(
    sample_lock(facts=sample_facts(environment=sample_environment(torch=None, distributions=()))),
    pylock=b'lock-version = "1.0"\ncreated-by = "snapenv"\npackages = []\n',
    dockerfile=b"FROM example.com/base:1\n",
    captured_at=CAPTURED_AT,
)
DATE = f"# captured at {CAPTURED_AT}\n".encode()


def damage(contents: Mapping[str, bytes]) -> str:
    with pytest.raises(SnapshotDamagedError) as caught:
        parse_snapshot(contents, where="there")
    return caught.value.message


def test_a_snapshot_comes_back_from_its_folder(tmp_path: Path) -> None:
    snapshot = sample_snapshot(sample_lock(baseline=sample_fingerprint()))

    write_snapshot(snapshot, tmp_path / "snapshots" / "one")

    assert read_snapshot(tmp_path / "snapshots" / "one") == snapshot
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["one"]


def test_the_same_lock_gives_the_same_bytes() -> None:
    assert sample_snapshot() == sample_snapshot()


def test_two_captures_of_one_lock_differ_in_the_line_that_says_when_and_nowhere_else() -> None:
    first = sample_snapshot()
    second = sample_snapshot(captured_at="2027-01-01T00:00:00+00:00")

    assert first.digest == second.digest
    assert {name for name in first.files if first.files[name] != second.files[name]} == {SUMS_FILE}
    when, *sums = first.files[SUMS_FILE].splitlines()
    assert when == b"# captured at 2026-03-01T12:00:00+00:00"
    assert second.files[SUMS_FILE].splitlines()[1:] == sums


def test_another_lock_has_another_digest() -> None:
    changed = sample_lock(facts=sample_facts(variables={"OMP_NUM_THREADS": "2"}))

    assert sample_snapshot(changed).digest != sample_snapshot().digest


def test_sha256sum_accepts_what_was_written(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "one")

    done = subprocess.run(
        ("sha256sum", "--check", "--strict", SUMS_FILE),
        cwd=tmp_path / "one",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Dockerfile: OK\npylock.toml: OK\nsnapenv.toml: OK\n"


def test_anyone_may_read_what_was_written(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "one")

    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", sorted(SMALL.files))
def test_every_flipped_byte_is_found(name: str) -> None:
    content = SMALL.files[name]
    unsummed = range(len(DATE) - 1) if name == SUMS_FILE else range(0)  # held to a form alone

    for position in range(len(content)):
        if position not in unsummed:
            flipped = bytearray(content)
            flipped[position] ^= 1 << position % 8

            assert damage({**SMALL.files, name: bytes(flipped)})


@pytest.mark.parametrize("name", sorted(SMALL.files))
@pytest.mark.parametrize("tail", [b"\n", b"#", b"\0", b"\r\n"])
def test_a_file_that_grew_is_found(name: str, tail: bytes) -> None:
    assert damage({**SMALL.files, name: SMALL.files[name] + tail})


@pytest.mark.parametrize("name", sorted(SMALL.files))
def test_a_file_that_was_cut_short_is_found(name: str) -> None:
    assert damage({**SMALL.files, name: SMALL.files[name][:-1]})
    assert damage({**SMALL.files, name: b""})


@pytest.mark.parametrize(
    "when", ["", "soon", "2026-03-01", "2026-03-01T12:00:00+00:00\x1b[2J", "2026-03-01T12:00:00\r"]
)
def test_the_line_that_says_when_says_that_and_nothing_else(when: str) -> None:
    sums = SMALL.files[SUMS_FILE].replace(CAPTURED_AT.encode(), when.encode())

    assert damage({**SMALL.files, SUMS_FILE: sums}) == "there/SHA256SUMS is not of its form"


@pytest.mark.parametrize("when", ["2026-03-01T12:00:00+00:00", "2026-03-01T12:00:00Z"])
def test_the_date_comes_back(when: str) -> None:
    snapshot = sample_snapshot(captured_at=when)

    assert parse_snapshot(snapshot.files, where="there").captured_at == when


@pytest.mark.parametrize("name", ["snapenv.toml", "pylock.toml", "Dockerfile"])
def test_a_missing_file_is_named(name: str) -> None:
    rest = {key: content for key, content in SMALL.files.items() if key != name}

    assert damage(rest) == f"there/{name} is missing"


def test_a_file_that_is_missing_from_the_sums_too_is_still_missed() -> None:
    rest = {key: content for key, content in SMALL.files.items() if key != "pylock.toml"}
    sums = b"".join(
        line
        for line in SMALL.files[SUMS_FILE].splitlines(keepends=True)
        if b"pylock.toml" not in line
    )

    assert damage({**rest, SUMS_FILE: sums}) == "there/pylock.toml is missing"


def test_a_file_too_many_is_named() -> None:
    message = damage({**SMALL.files, "setup.py": b"import os"})

    assert message == "there/setup.py is not in SHA256SUMS"


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/b", "..", "a\\b", ".hidden", "é"])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    line = f"{'0' * 64}  {name}\n".encode()

    message = damage({**SMALL.files, SUMS_FILE: SMALL.files[SUMS_FILE] + line, name: b""})

    assert message == "there/SHA256SUMS is not of its form"


def test_a_name_with_two_sums_is_refused() -> None:
    first, *sums = SMALL.files[SUMS_FILE].splitlines(keepends=True)
    twice = b"".join((first, b"0" * 64 + b"  Dockerfile\n", *sums))

    assert damage({**SMALL.files, SUMS_FILE: twice}) == "there/SHA256SUMS is not of its form"


def test_sums_in_another_order_are_the_same_snapshot() -> None:
    first, *sums = SMALL.files[SUMS_FILE].splitlines(keepends=True)
    turned = {**SMALL.files, SUMS_FILE: b"".join((first, *reversed(sums)))}

    assert parse_snapshot(turned, where="there").digest == SMALL.digest


def test_files_that_agree_with_their_sums_and_are_no_lock_are_damaged_all_the_same() -> None:
    made = make_snapshot(SMALL.lock, pylock=b"", dockerfile=b"", captured_at=CAPTURED_AT)
    forged = make_snapshot(
        replace(SMALL.lock, snapenv="0.2.0"), pylock=b"", dockerfile=b"", captured_at=CAPTURED_AT
    )

    assert damage({**made.files, SUMS_FILE: forged.files[SUMS_FILE]}) == (
        "there/snapenv.toml is not what SHA256SUMS says"
    )


@pytest.mark.parametrize("place", ["nowhere", "", "file", "file/below", "nul\0"])
def test_where_no_snapshot_is_none_is_found(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotFoundError, match="holds no snapshot"):
        read_snapshot(tmp_path / place)


def test_a_place_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotDamagedError, match="n{300} cannot be read: File name too long"):
        read_snapshot(tmp_path / ("n" * 300))


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    write_snapshot(SMALL, tmp_path / "one")
    (tmp_path / "one" / "Dockerfile").write_bytes(b"FROM scratch\n")

    with pytest.raises(SnapshotDamagedError) as caught:
        read_snapshot(tmp_path / "one")

    assert caught.value.message == f"{tmp_path}/one/Dockerfile is not what SHA256SUMS says"


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda place: place.symlink_to("away")])
def test_what_stands_there_already_is_left_alone(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "one")
    before = (tmp_path / "one").lstat()

    with pytest.raises(PlaceTakenError, match="exists already"):
        write_snapshot(SMALL, tmp_path / "one")

    assert (tmp_path / "one").lstat() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_free_place_is_not_refused(tmp_path: Path) -> None:
    refuse_taken(tmp_path / "one")


@pytest.mark.parametrize("place", ["file/one", "n" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(WriteError) as caught:
        write_snapshot(SMALL, tmp_path / place)

    assert caught.value.message.startswith(f"cannot write {tmp_path / place}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 16 KiB; under CI a machine that cannot is a failure."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ("-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk))
    mount = shutil.which("mount") or "mount"
    if os.geteuid() != 0 or subprocess.run((mount, *options), check=False).returncode != 0:
        if "CI" in os.environ:
            pytest.fail("a small disk cannot be mounted here, and CI must")
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(("umount", str(disk)), check=True)


def test_a_full_disk_is_said_and_nothing_is_left_behind(tiny_disk: Path) -> None:
    big = make_snapshot(SMALL.lock, pylock=b"#" * 100_000, dockerfile=b"", captured_at=CAPTURED_AT)

    with pytest.raises(WriteError, match="No space left on device"):
        write_snapshot(big, tiny_disk / "snapshots" / "one")

    assert [path.name for path in tiny_disk.rglob("*")] == ["snapshots"]


def test_what_fits_is_written_to_a_small_disk(tiny_disk: Path) -> None:
    write_snapshot(SMALL, tiny_disk / "one")

    assert read_snapshot(tiny_disk / "one") == SMALL


CARRIED = {
    "vendor/edited-1.0+local-py3-none-any.whl": b"a wheel",
    "overlay/index.json": b"[]",
    f"overlay/{'0' * 64}": b"a file",
}


def with_carried() -> Snapshot:
    return make_snapshot(
        SMALL.lock,
        pylock=SMALL.files["pylock.toml"],
        dockerfile=SMALL.files["Dockerfile"],
        captured_at=CAPTURED_AT,
        carried=CARRIED,
    )


def test_what_is_carried_comes_back_from_its_folders(tmp_path: Path) -> None:
    write_snapshot(with_carried(), tmp_path / "one")

    assert read_snapshot(tmp_path / "one") == with_carried()
    assert (tmp_path / "one" / "overlay" / "index.json").read_bytes() == b"[]"


@pytest.mark.parametrize("name", CARRIED)
def test_a_carried_file_that_is_gone_is_named(tmp_path: Path, name: str) -> None:
    write_snapshot(with_carried(), tmp_path / "one")
    (tmp_path / "one" / name).unlink()

    with pytest.raises(SnapshotDamagedError, match="is missing"):
        read_snapshot(tmp_path / "one")


def test_an_image_holds_a_snapshot_without_what_it_was_built_with() -> None:
    contents = {name: text for name, text in with_carried().files.items() if "/" not in name}

    read = parse_snapshot(contents, where="image", in_image=True)

    assert read.absent == tuple(sorted(CARRIED))
    assert read.digest == with_carried().digest


def test_a_carried_file_in_another_folder_is_no_part_of_a_snapshot() -> None:
    snapshot = with_carried()
    sums = snapshot.files[SUMS_FILE].replace(b"  vendor/", b"  elsewhere/")

    assert "not of its form" in damage({**snapshot.files, SUMS_FILE: sums})
