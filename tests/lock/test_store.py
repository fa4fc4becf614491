from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.content import read_chunks
from snapenv.errors import (
    LockError,
    NotFoundError,
    PlaceTakenError,
    SnapshotDamagedError,
    SnapshotVersionError,
    WriteError,
)
from snapenv.lock.store import (
    make_snapshot,
    parse_snapshot,
    read_digest,
    read_snapshot,
    write_snapshot,
)
from snapenv.model.exports import Export
from snapenv.model.fingerprint import Speed
from snapenv.model.snapshot import LOCK_FILE, MEASURED_FILE, SUMS_FILE
from tests.samples import (
    CAPTURED_AT,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_lock,
    sample_snapshot,
)
from tests.sampling import sample
from tests.small_disk import mounted
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snapenv.model.carried import Content
    from snapenv.model.snapshot import Snapshot

SMALL = make_snapshot(
    sample_lock(facts=sample_facts(environment=sample_environment(torch=None, distributions=()))),
    pylock=b'lock-version = "1.0"\ncreated-by = "snapenv"\npackages = []\n',
    dockerfile=b"FROM example.com/base:1\n",
    captured_at=CAPTURED_AT,
)
DATE = f"# captured at {CAPTURED_AT}\n".encode()
CARRIED = {
    "vendor/edited-1.0+local-py3-none-any.whl": b"a wheel",
    "overlay/index.json": b"[]",
    "overlay/apply.py": b"pass",
    f"overlay/{'0' * 64}": b"a file",
}
WHEEL = next(iter(CARRIED))


def with_carried(carried: Mapping[str, Content] = CARRIED) -> Snapshot:
    return make_snapshot(
        SMALL.lock,
        pylock=SMALL.text("pylock.toml"),
        dockerfile=SMALL.text("Dockerfile"),
        captured_at=CAPTURED_AT,
        carried=carried,
    )


def contents_of(snapshot: Snapshot) -> dict[str, bytes]:
    """Return every file's bytes, wherever they lie."""
    return {name: b"".join(read_chunks(content)) for name, content in snapshot.files.items()}


FILES = contents_of(SMALL)
ALL_FILES = contents_of(with_carried())


def damage(contents: Mapping[str, Content]) -> str:
    with pytest.raises(SnapshotDamagedError) as caught:
        parse_snapshot(contents, where="there")
    return caught.value.message


def damage_in(folder: Path) -> str:
    """Say what is wrong in a folder; every message is of one line that is safe to show."""
    with pytest.raises((SnapshotDamagedError, NotFoundError)) as caught:
        read_snapshot(folder)
    assert caught.value.message.isprintable()
    return caught.value.message.removeprefix(f"{folder}/")


def forged(changed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a small snapshot with other files, and checksums that are right."""
    contents = {**FILES, **changed}
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(contents.items())
        if name != SUMS_FILE
    )
    return {**contents, SUMS_FILE: DATE + sums.encode()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A snapshot that carries files."""
    write_snapshot(with_carried(), tmp_path / "one")
    return tmp_path / "one"


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
    when, *sums = first.text(SUMS_FILE).splitlines()
    assert when == b"# captured at 2026-03-01T12:00:00+00:00"
    assert second.text(SUMS_FILE).splitlines()[1:] == sums


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


@pytest.mark.parametrize("name", sorted(ALL_FILES))
def test_every_flipped_byte_is_found(folder: Path, name: str) -> None:
    content, tried, found = ALL_FILES[name], 0, []

    for position in sample(range(len(content)), 100, seed=name):
        for pattern in (1 << position % 8, 0x20, 0xFF):
            tried += 1
            flipped = bytearray(content)
            flipped[position] ^= pattern
            (folder / name).write_bytes(flipped)
            if not is_another_date(name, bytes(flipped)):
                found.append(damage_in(folder))

    assert len(found) >= tried - len(CAPTURED_AT) * 3


def is_another_date(name: str, content: bytes) -> bool:
    """Return whether a change is no damage: SHA256SUMS cannot hold a sum of when it was written."""
    when, _, sums = content.partition(b"\n")
    if name != SUMS_FILE or sums != ALL_FILES[SUMS_FILE].partition(b"\n")[2]:
        return False
    try:
        text = when.decode("ascii").removeprefix("# captured at ")
        return datetime.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def test_another_date_is_the_same_snapshot(folder: Path) -> None:
    text = ALL_FILES[SUMS_FILE].replace(b"2026-03-01", b"2027-03-01")
    (folder / SUMS_FILE).write_bytes(text)

    read = read_snapshot(folder)

    assert read.captured_at == "2027-03-01T12:00:00+00:00"
    assert read.digest == with_carried().digest


def with_speed(images_per_s: float) -> Snapshot:
    speed = Speed(images_per_s=images_per_s, step_ms_median=80.0, step_ms_p95=95.25)
    return sample_snapshot(sample_lock(baseline=replace(sample_fingerprint(), speed=speed)))


def test_how_fast_the_smoke_train_went_is_no_part_of_the_digest_and_comes_back() -> None:
    fast, slow = with_speed(12.5), with_speed(2.5)

    assert fast.digest == slow.digest
    assert {name for name in fast.files if fast.files[name] != slow.files[name]} == {
        MEASURED_FILE,
        SUMS_FILE,
    }
    assert parse_snapshot(fast.files, where="there") == fast


def test_exports_of_the_capture_come_back_and_are_no_part_of_the_digest() -> None:
    exports = (Export(format="onnx", runtime="onnxruntime 1.22.0", box_difference=3e-5),)
    plain, exported = (
        sample_snapshot(sample_lock(baseline=replace(sample_fingerprint(), exports=each)))
        for each in (None, exports)
    )

    assert plain.digest == exported.digest
    assert parse_snapshot(exported.files, where="there") == exported
    assert exported.text(LOCK_FILE) == plain.text(LOCK_FILE)


def test_every_flipped_byte_of_the_speed_is_found_by_snapenv_and_by_sha256sum(
    tmp_path: Path,
) -> None:
    write_snapshot(with_speed(12.5), tmp_path / "one")
    measured = tmp_path / "one" / MEASURED_FILE
    content = measured.read_bytes()

    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1
        measured.write_bytes(flipped)
        assert damage_in(tmp_path / "one") == wording("measured.json is not what SHA256SUMS says")

    assert subprocess.run(
        ("sha256sum", "--check", "--quiet", SUMS_FILE),
        cwd=measured.parent,
        capture_output=True,
        check=False,
    ).returncode


def test_a_speed_that_is_gone_or_in_no_sum_is_damage() -> None:
    files = with_speed(12.5).files
    gone = {name: content for name, content in files.items() if name != MEASURED_FILE}

    assert damage(gone) == "there/measured.json is missing"
    assert damage({**FILES, MEASURED_FILE: b"{}"}) == wording(
        "there/measured.json is not in SHA256SUMS"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"images_per_s": "fast"}',
        b'{"exports": {}}',
        b'{"exports": [{"format": "x"}]}',
    ],
)
def test_what_was_measured_in_another_form_is_named(content: bytes) -> None:
    assert damage(forged({MEASURED_FILE: content})).startswith("there/measured.json: ")


@pytest.mark.parametrize("name", sorted(ALL_FILES))
def test_every_shorter_file_is_found(folder: Path, name: str) -> None:
    for size in sample(range(len(ALL_FILES[name])), 100, seed=name):
        (folder / name).write_bytes(ALL_FILES[name][:size])
        assert damage_in(folder)


def test_a_file_that_was_left_whole_is_not_damaged(folder: Path) -> None:
    assert contents_of(read_snapshot(folder)) == ALL_FILES


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("tail", [b"\n", b"#", b"\0", b"\r\n"])
def test_a_file_that_grew_is_found(name: str, tail: bytes) -> None:
    assert damage({**FILES, name: FILES[name] + tail})


@pytest.mark.parametrize(
    "when",
    [
        "",
        "soon",
        "2026-03-01",
        "2026-13-01T12:00:00Z",
        "2026-02-30T12:00:00+00:00",
        "2026-03-01T12:00:00+00:00\x1b[2J",
        "2026-03-01T12:00:00\r",
    ],
)
def test_the_line_that_says_when_says_that_and_nothing_else(when: str) -> None:
    sums = FILES[SUMS_FILE].replace(CAPTURED_AT.encode(), when.encode())

    assert damage({**FILES, SUMS_FILE: sums}) == wording("there/SHA256SUMS is not of its form")


@pytest.mark.parametrize("when", ["2026-03-01T12:00:00+00:00", "2026-03-01T12:00:00Z"])
def test_the_date_comes_back(when: str) -> None:
    snapshot = sample_snapshot(captured_at=when)

    assert parse_snapshot(snapshot.files, where="there").captured_at == when


@pytest.mark.parametrize("name", ["snapenv.toml", "pylock.toml", "Dockerfile"])
def test_a_missing_file_is_named(name: str) -> None:
    rest = {key: content for key, content in FILES.items() if key != name}

    assert damage(rest) == f"there/{name} is missing"


def test_a_file_that_is_missing_from_the_sums_too_is_still_missed() -> None:
    rest = {key: content for key, content in FILES.items() if key != "pylock.toml"}
    sums = b"".join(
        line for line in FILES[SUMS_FILE].splitlines(keepends=True) if b"pylock.toml" not in line
    )

    assert damage({**rest, SUMS_FILE: sums}) == "there/pylock.toml is missing"


def test_a_file_too_many_is_named() -> None:
    message = damage({**FILES, "setup.py": b"import os"})

    assert message == wording("there/setup.py is not in SHA256SUMS")


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/b", "..", "a\\b", ".hidden", "é"])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    line = f"{'0' * 64}  {name}\n".encode()

    message = damage({**FILES, SUMS_FILE: FILES[SUMS_FILE] + line, name: b""})

    assert message == wording("there/SHA256SUMS is not of its form")


def test_a_name_with_two_sums_is_refused() -> None:
    first, *sums = FILES[SUMS_FILE].splitlines(keepends=True)
    twice = b"".join((first, b"0" * 64 + b"  Dockerfile\n", *sums))

    assert damage({**FILES, SUMS_FILE: twice}) == wording("there/SHA256SUMS is not of its form")


def test_sums_in_another_order_are_the_same_snapshot() -> None:
    first, *sums = FILES[SUMS_FILE].splitlines(keepends=True)
    turned = {**FILES, SUMS_FILE: b"".join((first, *reversed(sums)))}

    assert parse_snapshot(turned, where="there").digest == SMALL.digest


def test_files_that_agree_with_their_sums_and_are_no_lock_are_damaged_all_the_same() -> None:
    made = make_snapshot(SMALL.lock, pylock=b"", dockerfile=b"", captured_at=CAPTURED_AT)
    other = make_snapshot(
        replace(SMALL.lock, snapenv="0.2.0"), pylock=b"", dockerfile=b"", captured_at=CAPTURED_AT
    )

    assert damage({**made.files, SUMS_FILE: other.files[SUMS_FILE]}) == wording(
        "there/snapenv.toml is not what SHA256SUMS says"
    )


@pytest.mark.parametrize("place", ["nowhere", "", "file", "file/below", "nul\0"])
def test_where_no_snapshot_is_none_is_found(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotFoundError, match="holds no snapshot"):
        read_snapshot(tmp_path / place)


def test_a_place_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SnapshotDamagedError, match="n{300}/SHA256SUMS cannot be read: File name too long"
    ):
        read_snapshot(tmp_path / ("n" * 300))


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    write_snapshot(SMALL, tmp_path / "one")
    (tmp_path / "one" / "Dockerfile").write_bytes(b"FROM scratch\n")

    with pytest.raises(SnapshotDamagedError) as caught:
        read_snapshot(tmp_path / "one")

    assert caught.value.message.replace(str(tmp_path), "TMP") == wording(
        "TMP/one/Dockerfile is not what SHA256SUMS says"
    )


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


@pytest.mark.parametrize("place", ["file/one", "n" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(WriteError) as caught:
        write_snapshot(SMALL, tmp_path / place)

    assert caught.value.message.startswith(f"cannot write {tmp_path / place}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "16k")


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "1m")


def test_a_full_disk_is_said_and_nothing_is_left_behind(tiny_disk: Path) -> None:
    big = make_snapshot(SMALL.lock, pylock=b"#" * 100_000, dockerfile=b"", captured_at=CAPTURED_AT)

    with pytest.raises(WriteError) as caught:
        write_snapshot(big, tiny_disk / "snapshots" / "one")

    assert steady(caught.value) == wording(
        "cannot write TMP/disk/snapshots/one: No space left on device"
    )
    assert [path.name for path in tiny_disk.rglob("*")] == ["snapshots"]


def test_a_carried_file_that_does_not_fit_leaves_nothing_behind(
    tiny_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "wheel").write_bytes(bytes(100_000))

    with pytest.raises(WriteError) as caught:
        write_snapshot(with_carried({WHEEL: tmp_path / "wheel"}), tiny_disk / "one")

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "cannot write TMP/disk/one: No space left on device"
    )
    assert list(tiny_disk.iterdir()) == []


def test_what_fits_is_written_to_a_small_disk(tiny_disk: Path) -> None:
    write_snapshot(SMALL, tiny_disk / "one")

    assert read_snapshot(tiny_disk / "one") == SMALL


def test_what_is_carried_comes_back_as_files_and_the_small_texts_as_bytes(folder: Path) -> None:
    read = read_snapshot(folder)

    assert contents_of(read) == ALL_FILES
    assert read.digest == with_carried().digest
    assert {name: held for name, held in read.files.items() if isinstance(held, Path)} == {
        name: folder / name for name in (WHEEL, f"overlay/{'0' * 64}")
    }


def test_a_carried_file_is_the_same_snapshot_as_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "wheel").write_bytes(CARRIED[WHEEL])

    by_path = with_carried({**CARRIED, WHEEL: tmp_path / "wheel"})

    assert by_path.digest == with_carried().digest
    assert by_path.files[SUMS_FILE] == with_carried().files[SUMS_FILE]
    assert contents_of(by_path) == ALL_FILES


def test_a_carried_file_is_copied(tmp_path: Path) -> None:
    wheel = tmp_path / "wheel"
    wheel.write_bytes(CARRIED[WHEEL])

    write_snapshot(with_carried({**CARRIED, WHEEL: wheel}), tmp_path / "one")
    wheel.write_bytes(b"changed later")

    assert contents_of(read_snapshot(tmp_path / "one")) == ALL_FILES


def test_a_file_of_a_folder_that_will_be_removed_is_linked_and_anyone_may_read_it(
    tmp_path: Path,
) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "below").mkdir(parents=True)
    wheel = scratch / "below" / "wheel"
    wheel.write_bytes(CARRIED[WHEEL])
    wheel.chmod(0o600)

    write_snapshot(with_carried({**CARRIED, WHEEL: wheel}), tmp_path / "one", scratch=scratch)

    assert (tmp_path / "one" / WHEEL).samefile(wheel)
    assert (tmp_path / "one" / WHEEL).stat().st_mode & 0o777 == 0o644
    shutil.rmtree(scratch)
    assert contents_of(read_snapshot(tmp_path / "one")) == ALL_FILES


def test_a_file_of_another_disk_is_copied_also_if_it_will_be_removed(
    other_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "wheel").write_bytes(CARRIED[WHEEL])

    write_snapshot(with_carried({WHEEL: tmp_path / "wheel"}), other_disk / "one", scratch=tmp_path)
    (tmp_path / "wheel").unlink()

    assert (other_disk / "one" / WHEEL).read_bytes() == CARRIED[WHEEL]


def test_a_carried_file_that_is_gone_before_it_is_written_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    (tmp_path / "wheel").write_bytes(b"a wheel")
    snapshot = with_carried({WHEEL: tmp_path / "wheel"})
    (tmp_path / "wheel").unlink()

    with pytest.raises(SnapshotDamagedError) as caught:
        write_snapshot(snapshot, tmp_path / "one")

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP/wheel cannot be read: No such file or directory"
    )
    with pytest.raises(SnapshotDamagedError) as caught:
        with_carried({WHEEL: tmp_path / "wheel"})

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP/wheel cannot be read: No such file or directory"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../x", "vendor/../x", "vendor//x", "/x", "vendor/a\nb", "vendor/a b", "staged/x", ""]
)
def test_a_name_that_could_not_be_read_again_is_not_written(name: str) -> None:
    with pytest.raises(LockError) as caught:
        with_carried({name: b""})

    assert caught.value.message.partition(" is ")[2] == wording("no name that a snapshot can hold")
    assert caught.value.message.isprintable()


def test_a_text_that_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(LockError) as caught:
        with_carried({"overlay/index.json": bytes(2**24 + 1)})

    assert str(caught.value) == wording(
        "overlay/index.json is over 16 MiB: too much differs from what was installed"
    )


@pytest.mark.parametrize("name", sorted(ALL_FILES))
def test_a_file_that_is_gone_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    assert name in damage_in(folder)


@pytest.mark.parametrize("name", sorted(ALL_FILES))
def test_a_file_of_another_name_is_found(folder: Path, name: str) -> None:
    (folder / name).rename(folder / f"{name}.old")

    assert damage_in(folder)


@pytest.mark.parametrize(
    "name", ["new", "vendor/new.whl", "overlay/new", ".hidden", "a\x1b[2Jb", "ü"]
)
def test_a_file_too_many_in_a_folder_is_found(folder: Path, name: str) -> None:
    (folder / name).touch()

    assert damage_in(folder).endswith("is not in SHA256SUMS")


def test_a_file_whose_name_is_no_text_is_found(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).touch()

    assert damage_in(folder) == wording("'\\udcff\\udcfe' is not in SHA256SUMS")


@pytest.mark.parametrize("name", sorted(ALL_FILES))
@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "endless"])
def test_what_is_no_plain_file_is_found_and_not_read(
    folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    place, real = folder / name, tmp_path / "real"
    place.rename(real)

    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(real if kind == "link" else "/dev/zero")

    assert re.search(r"is no plain file|SHA256SUMS is missing", damage_in(folder))


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "large"])
def test_sums_that_are_no_plain_file_have_no_digest_and_are_not_read(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    sums = folder / "SHA256SUMS"
    assert read_digest(folder)
    sums.rename(tmp_path / "sums")
    if kind == "pipe":
        os.mkfifo(sums)
    elif kind == "link":
        sums.symlink_to(tmp_path / "sums")
    elif kind == "folder":
        sums.mkdir()
    else:
        with sums.open("wb") as file:
            file.truncate(1 << 40)

    assert read_digest(folder) is None


@pytest.mark.parametrize("above", ["vendor", "overlay"])
def test_a_link_in_the_place_of_a_folder_is_found(folder: Path, tmp_path: Path, above: str) -> None:
    (folder / above).rename(tmp_path / above)
    (folder / above).symlink_to(tmp_path / above)

    assert steady(damage_in(folder), above=above) == wording("ABOVE is no plain file")


def test_a_folder_too_many_is_found(folder: Path) -> None:
    (folder / "overlay" / "below").mkdir()

    assert damage_in(folder) == wording("overlay/below is no plain file")


@pytest.mark.parametrize("name", ["Dockerfile", SUMS_FILE, "overlay/apply.py"])
def test_a_text_that_is_too_large_is_found_before_it_is_read(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.truncate(2**40)

    begun = time.process_time()
    assert damage_in(folder)

    assert time.process_time() - begun < 30


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[None]:
    """Let the test be no root, who may read everything, but the owner of what it made."""
    if os.geteuid() != 0:
        yield
        return
    modes = {path: path.stat().st_mode for path in (tmp_path, *tmp_path.parents)}
    above = {path: mode for path, mode in modes.items() if mode & 0o055 != 0o055}
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 65534, -1)
    for path, mode in above.items():
        path.chmod(mode | 0o055)  # the group stays root's
    os.seteuid(65534)
    yield
    os.seteuid(0)
    for path, mode in above.items():
        path.chmod(mode)


@pytest.mark.parametrize("name", [*sorted(ALL_FILES), "vendor", "overlay", ""])
def test_what_may_not_be_read_is_named(
    request: pytest.FixtureRequest, folder: Path, name: str
) -> None:
    (folder / name).chmod(0)
    request.getfixturevalue("nobody")

    assert damage_in(folder) == f"{name or SUMS_FILE} cannot be read: Permission denied"


@pytest.mark.parametrize(
    "line",
    [
        "{}  /etc/passwd",
        "{}  ../x",
        "{}  vendor//x",
        "{}  vendor/../Dockerfile",
        "{}  vendor/",
        "{} *Dockerfile",
        "{}  vendor/./x",
        "{}  vendor/a/b",
        "{}  ",
        "# more",
        "",
        "{}  a\r",
    ],
)
def test_a_hostile_line_of_the_sums_is_refused(folder: Path, line: str) -> None:
    with (folder / SUMS_FILE).open("a", encoding="utf-8", newline="") as file:
        file.write(f"{line.format('0' * 64)}\n")

    assert damage_in(folder) == wording("SHA256SUMS is not of its form")


NEWER = FILES["snapenv.toml"].replace(
    b'schema = 2\nsnapenv = "0.1.0"', b'schema = 3\nsnapenv = "9.1.0"'
)


@pytest.mark.parametrize(
    "changed",
    [{}, {"weights": b"a new kind of file"}, {"a folder/of.its.own": b""}, {"SHA512SUMS": b""}],
)
def test_a_newer_snapshot_is_refused_with_the_version_that_reads_it(
    tmp_path: Path, changed: dict[str, bytes]
) -> None:
    contents = forged({"snapenv.toml": NEWER, **changed})
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    with pytest.raises(SnapshotVersionError) as caught:
        read_snapshot(tmp_path)

    assert caught.value.message.replace(str(tmp_path), "TMP") == wording(
        "TMP/snapenv.toml: schema 3 is not known here, only 1 to 2"
    )
    assert caught.value.hint == wording("Read it with snapenv 9.1.0 or newer.")


def test_a_newer_lock_that_is_not_what_its_sum_says_is_damaged() -> None:
    assert damage({**FILES, "snapenv.toml": NEWER}) == wording(
        "there/snapenv.toml is not what SHA256SUMS says"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"schema = ", b"schema = 1", b"[" * 10**7, b"schema = 1\na = 1\na = 2"],
)
def test_a_lock_that_is_none_is_damaged_although_its_sum_is_right(content: bytes) -> None:
    with pytest.raises((SnapshotDamagedError, SnapshotVersionError), match="^there/snapenv.toml: "):
        parse_snapshot(forged({"snapenv.toml": content}), where="there")


def test_another_machine_writes_the_same_bytes(tmp_path: Path) -> None:
    here = {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "UMASK": "022"}
    there = {"PYTHONHASHSEED": "2", "TZ": "America/Adak", "LC_ALL": "tr_TR.UTF-8", "UMASK": "077"}

    for number, variables in enumerate((here, {**there, "TURNED": "yes"})):
        subprocess.run(
            (sys.executable, "-m", "tests.lock.written", f"{tmp_path}/{number}"),
            env={**os.environ, **variables, "WHEN": f"2026-03-0{number + 1}T12:00:00+00:00"},
            check=True,
        )

    first, second = (read_snapshot(tmp_path / f"{number}" / "one") for number in range(2))
    assert first.digest == second.digest
    one, two = contents_of(first), contents_of(second)
    assert [name for name in one if one[name] != two[name]] == [SUMS_FILE]
    assert one[SUMS_FILE].splitlines()[1:] == two[SUMS_FILE].splitlines()[1:]
    assert len([name for name in one if "/" in name]) == 12


def test_an_image_holds_a_snapshot_without_what_it_was_built_with() -> None:
    contents = {name: text for name, text in ALL_FILES.items() if "/" not in name}

    read = parse_snapshot(contents, where="image", in_image=True)

    assert read.absent == tuple(sorted(CARRIED))
    assert read.digest == with_carried().digest


def test_a_carried_file_in_another_folder_is_no_part_of_a_snapshot() -> None:
    sums = ALL_FILES[SUMS_FILE].replace(b"  vendor/", b"  elsewhere/")

    assert damage({**ALL_FILES, SUMS_FILE: sums}) == wording("there/SHA256SUMS is not of its form")
