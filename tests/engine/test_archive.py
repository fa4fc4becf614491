from __future__ import annotations

import io
import tarfile

import pytest
from inline_snapshot import snapshot as wording

from snapenv.content import Tar
from snapenv.engine.archive import MAX_FILE_BYTES, MAX_FILES, unpack_folder, walk_folder
from snapenv.errors import EngineError, NotFoundError


def chunks(data: bytes, size: int = 700) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def archive(*members: tarfile.TarInfo) -> list[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return chunks(buffer.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, size
    made.linkname = "/etc/passwd" if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
    return made


def test_what_is_packed_in_a_folder_is_read_from_it() -> None:
    files = {"a.txt": b"one", "b.bin": bytes(range(256)) * 20}

    assert unpack_folder(Tar(files, "kept"), where="/kept") == files


def test_only_plain_files_directly_in_the_folder_are_read() -> None:
    found = unpack_folder(
        archive(
            member("kept", tarfile.DIRTYPE),
            member("kept/plain", size=3),
            member("kept/link", tarfile.SYMTYPE),
            member("kept/hard", tarfile.LNKTYPE),
            member("kept/device", tarfile.CHRTYPE),
            member("kept/below", tarfile.DIRTYPE),
            member("kept/below/file", size=3),
            member("kept/../../etc/cron.d/x", size=3),
        ),
        where="/kept",
    )

    assert found == {"plain": bytes(3)}


def test_all_that_lies_below_a_folder_is_given_in_order_with_the_bytes_of_plain_files() -> None:
    packed = archive(
        member("kept", tarfile.DIRTYPE),
        member("kept/plain", size=3),
        member("kept/link", tarfile.SYMTYPE),
        member("kept/below", tarfile.DIRTYPE),
        member("kept/below/large", size=3 << 20),
        member("kept/hard", tarfile.LNKTYPE),
    )

    found = walk_folder(packed, where="/kept")
    read = [(path, content and sum(map(len, content))) for path, content in found]

    assert read == [("plain", 3), ("link", None), ("below/large", 3 << 20), ("hard", None)]


@pytest.mark.parametrize("keep", [0, 100, 1600])
def test_a_folder_that_breaks_off_is_refused(keep: int) -> None:
    whole = b"".join(Tar({"a": bytes(4000)}, "kept"))

    with pytest.raises(EngineError, match="arrives incomplete"):
        _ = [list(content or ()) for _, content in walk_folder([whole[:keep]], where="/kept")]


def test_too_many_files_are_refused() -> None:
    files = {str(number): b"" for number in range(MAX_FILES + 1)}

    with pytest.raises(EngineError) as caught:
        unpack_folder(Tar(files, "kept"), where="/kept")

    assert str(caught.value) == wording("/kept holds more than 64 files")


def test_too_large_a_file_is_refused_before_it_is_read() -> None:
    large = archive(member("kept", tarfile.DIRTYPE), member("kept/large", size=MAX_FILE_BYTES + 1))

    with pytest.raises(EngineError) as caught:
        unpack_folder(large[:3], where="/kept")

    assert str(caught.value) == wording("/kept/large is over 16 MiB")


def test_a_file_in_the_place_of_the_folder_is_not_found() -> None:
    with pytest.raises(NotFoundError) as caught:
        unpack_folder(archive(member("kept", size=3)), where="/kept")

    assert str(caught.value) == wording("/kept is not a folder")


@pytest.mark.parametrize("keep", [0, 100, 1600])
def test_an_archive_that_breaks_off_is_refused(keep: int) -> None:
    whole = b"".join(Tar({"a": bytes(4000)}, "kept"))

    with pytest.raises(EngineError, match="/kept arrives incomplete"):
        unpack_folder([whole[:keep]], where="/kept")
