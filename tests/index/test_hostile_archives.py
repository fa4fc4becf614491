"""Whatever a host serves in place of a wheel ends in a PackageIndexError, and costs little."""

from __future__ import annotations

import io
import random
import resource
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import PackageIndexError
from tests.engines.index_server import Fault, IndexServer, build_wheel
from tests.index.machine import DEMO, quick_wheels

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.usefixtures("home")
RECORD = "demo-1.0.dist-info/RECORD"


def archive(*files: tuple[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice
        for path, content in files:
            made.writestr(path, content)
    return packed.getvalue()


@pytest.mark.parametrize("place", ["bytes */10", "nonsense", f"bytes {'9' * 5000}-1/1", ""])
def test_a_part_that_does_not_say_where_it_lies_is_no_part(server: IndexServer, place: str) -> None:
    server.faults = [Fault(status=206, headers={"Content-Range": place})]

    assert quick_wheels().record(server.wheel(DEMO)).text
    assert [one.status for one in server.files_asked()] == [206, 200]


def zeros(mib: int) -> bytes:
    """Pack a RECORD of so many zeros, without ever holding them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made, made.open(RECORD, "w") as into:
        for _ in range(mib):
            into.write(bytes(1 << 20))
    return packed.getvalue()


@pytest.mark.parametrize("ranges", ["all", "ignored"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"<html>Please log in</html>" * 10,
        archive(),
        archive(("demo.py", b"")),
        archive(("other-1.0.dist-info/RECORD", b"")),
        archive((f"vendored/{RECORD}", b"")),
        archive((RECORD, b""), (RECORD, b"")),
        archive((RECORD, b"\xff\xfe")),
        archive((RECORD, bytes(100)), packing=zipfile.ZIP_LZMA),
        archive((RECORD, bytes(100)), packing=zipfile.ZIP_BZIP2),
    ],
)
def test_what_is_no_wheel_of_this_name_is_refused(
    server: IndexServer, content: bytes, ranges: str
) -> None:
    server.ranges = ranges  # type: ignore[assignment]
    server.wheels[DEMO] = content

    with pytest.raises(PackageIndexError, match=r"^demo 1\.0: 127\.0\.0\.1 "):
        quick_wheels().record(server.wheel(DEMO))


def test_a_record_that_unpacks_to_much_more_than_it_says_does_no_harm(
    server: IndexServer,
) -> None:
    bomb = bytearray(zeros(200))
    for place in (bomb.find(b"PK\x03\x04") + 22, bomb.find(b"PK\x01\x02") + 24):
        bomb[place : place + 4] = (1000).to_bytes(4, "little")
    server.wheels[DEMO] = bytes(bomb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(PackageIndexError):
        quick_wheels().record(server.wheel(DEMO))

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 << 10


def test_a_record_that_is_too_large_is_refused(server: IndexServer) -> None:
    server.wheels[DEMO] = zeros(65)

    with pytest.raises(PackageIndexError, match="RECORD is too large"):
        quick_wheels().record(server.wheel(DEMO))


def test_a_wheel_whose_size_is_not_what_the_index_says_is_refused(server: IndexServer) -> None:
    wheel = server.wheel(DEMO)
    server.wheels[DEMO] += b"?"

    with pytest.raises(PackageIndexError, match="its size differs"):
        quick_wheels().record(wheel)


def test_no_damage_is_a_crash(server: IndexServer) -> None:
    chance = random.Random(4)
    _, whole = build_wheel("demo")
    wheels = quick_wheels()
    outcomes = set[str]()

    for _ in range(400):
        server.wheels[DEMO] = damaged(whole, chance)
        try:
            wheels.record(server.wheel(DEMO))
            outcomes.add("read")
        except PackageIndexError:
            outcomes.add("refused")

    assert outcomes == {"read", "refused"}


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Change some bytes, or leave some out, mostly where the archive describes itself."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        changed[-chance.randint(1, min(len(changed), 400))] = chance.choice((0, 1, 255, 80))
    return bytes(changed[: chance.randint(1, len(changed))] if chance.random() < 0.2 else changed)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-9/10"},
        {"Content-Range": "bytes 5-2/10"},
        {"Content-Range": "bytes 5-9/*"},
    ],
)
def test_a_part_that_is_not_the_one_asked_for_is_refused(
    server: IndexServer, headers: Mapping[str, str]
) -> None:
    server.faults = [Fault(status=206, headers=headers)]

    with pytest.raises(PackageIndexError) as caught:
        quick_wheels().record(replace(server.wheel(DEMO), size_bytes=None))

    assert str(caught.value) == wording("demo 1.0: 127.0.0.1 serves other ranges than requested")
