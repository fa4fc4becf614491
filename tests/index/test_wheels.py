from __future__ import annotations

import base64
import hashlib
import socket
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import PackageIndexError, WriteError
from snapenv.index.wheels import IndexWheels
from snapenv.model.wheels import IndexWheel
from snapenv.network.session import Patience
from tests.engines.index_server import Fault, IndexServer, Ranges, build_wheel, serve_index
from tests.fakes import FakeTask
from tests.index.machine import DEMO, quick_wheels, write_pip_conf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.ports import Wheels

pytestmark = pytest.mark.usefixtures("home")
CANARY = "canary-7f3a"


def test_the_real_class_keeps_the_port() -> None:
    wheels: Wheels = IndexWheels(None)

    assert wheels.is_private(wheel_at("https://example.com/x.whl")) is False


def test_a_record_costs_some_kilobytes_of_a_wheel_of_fifty_megabytes() -> None:
    noise = bytes(range(256)) * 4096
    files = {f"big/part_{number}.bin": noise for number in range(50)}
    with serve_index(build_wheel("big", files=files, stored=True)) as server:
        wheel = server.wheel("big-1.0-py3-none-any.whl")

        record = quick_wheels().record(replace(wheel, size_bytes=None))

        assert record.size_bytes == len(server.wheels[wheel.filename]) > 50_000_000
        assert record.text.count("\n") == 53
        assert server.sent_bytes() < 20_000
        assert len(server.files_asked()) == 1


def test_what_may_be_run_is_told_and_kept(tmp_path: Path) -> None:
    files = {"tools/a.sh": b"", "tools/b.py": b""}
    with serve_index(build_wheel("tools", files=files, executable=["tools/a.sh"])) as server:
        wheel = server.wheel("tools-1.0-py3-none-any.whl")

        first = quick_wheels(tmp_path).record(wheel)
        again = quick_wheels(tmp_path).record(wheel)

        assert first.executable == again.executable == ("tools/a.sh",)
        assert len(server.files_asked()) == 1


def test_scripts_that_pip_cuts_are_told_with_what_is_left_of_them(tmp_path: Path) -> None:
    scripts = {
        "cut": b"#!python -u\nprint()\n",
        "window": b"#!pythonw -E\r\n",
        "whole": b"#!python\nprint()\n",
        "other": b"#!/bin/sh -e\n",
        "program": b"\x7fELF" + bytes(300_000),
    }
    files = {f"tools-1.0.data/scripts/{name}": content for name, content in scripts.items()}
    with serve_index(build_wheel("tools", files=files)) as server:
        wheel = server.wheel("tools-1.0-py3-none-any.whl")
        first, again = (quick_wheels(tmp_path).record(wheel) for _ in range(2))

    def left(content: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
        return f"sha256={digest.rstrip('=')}"

    assert (
        first.cut_scripts
        == again.cut_scripts
        == {
            "tools-1.0.data/scripts/cut": left(b"#!python\nprint()\n"),
            "tools-1.0.data/scripts/window": left(b"#!python\n"),
        }
    )


def test_what_lies_before_the_end_is_asked_for_alone() -> None:
    files = {f"many/module_with_a_long_name_{number:04}.py": b"" for number in range(2000)}
    with serve_index(build_wheel("many", files={**files, "many/big.bin": bytes(9)})) as server:
        wheel = server.wheel("many-1.0-py3-none-any.whl")

        record = quick_wheels().record(wheel).text

        assert record.count("\n") == 2004
        assert [one.status for one in server.files_asked()] == [206, 206, 206]


@pytest.mark.parametrize("ranges", ["all", "no suffix", "ignored"])
def test_each_server_gives_the_same_record(server: IndexServer, ranges: Ranges) -> None:
    server.ranges = ranges

    record = quick_wheels().record(server.wheel(DEMO))

    lines = record.text.splitlines()
    assert lines[0].startswith("demo.py,sha256=")
    assert lines[-1] == "demo-1.0.dist-info/RECORD,,"
    assert record.size_bytes == len(server.wheels[DEMO])


def test_where_only_the_end_cannot_be_asked_for_its_place_is() -> None:
    with serve_index(build_wheel("big", files={"big.bin": bytes(1 << 20)}, stored=True)) as server:
        server.ranges = "no suffix"

        quick_wheels().record(server.wheel("big-1.0-py3-none-any.whl"))

        assert [one.status for one in server.files_asked()] == [416, 206]
        assert server.sent_bytes() < 20_000


def test_a_wheel_that_had_to_be_downloaded_is_checked_by_its_hash(server: IndexServer) -> None:
    server.ranges = "ignored"
    wheel = replace(server.wheel(DEMO), sha256="0" * 64)

    with pytest.raises(PackageIndexError, match="serves other bytes"):
        quick_wheels().record(wheel)


def test_a_record_is_kept_and_not_asked_for_again(server: IndexServer, tmp_path: Path) -> None:
    first = quick_wheels(tmp_path / "cache").record(server.wheel(DEMO))
    asked = len(server.asked)

    again = quick_wheels(tmp_path / "cache").record(server.wheel(DEMO))

    assert again == first
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-9],
        lambda content: content[:30] + bytes([content[30] ^ 1]) + content[31:],
        lambda _: b"",
        lambda _: b"no record",
    ],
)
def test_a_damaged_record_in_the_cache_is_asked_for_anew(
    server: IndexServer, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    first = quick_wheels(tmp_path).record(server.wheel(DEMO))
    (kept,) = tmp_path.rglob("*.gz")
    kept.write_bytes(damage(kept.read_bytes()))

    again = quick_wheels(tmp_path).record(server.wheel(DEMO))

    assert again == first
    assert len(server.files_asked()) == 2


def test_a_cache_that_cannot_be_written_is_no_failure(server: IndexServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert quick_wheels(tmp_path / "file").record(server.wheel(DEMO)).text


def test_many_ask_at_once() -> None:
    names = [f"demo{number}" for number in range(40)]
    with serve_index(*(build_wheel(name) for name in names)) as server:
        wheels = quick_wheels()
        asked = [server.wheel(f"{name}-1.0-py3-none-any.whl") for name in names]

        with ThreadPoolExecutor(16) as pool:
            records = list(pool.map(wheels.record, asked))

    assert [record.text.partition(".py")[0] for record in records] == names


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault(status=403), "refuses with 403"),
        (Fault(status=404), "does not have it: 404"),
        (Fault(status=410), "does not have it: 410"),
        (Fault(status=418), "answers with 418"),
    ],
)
def test_a_refusal_names_the_distribution_and_the_host_and_is_final(
    server: IndexServer, fault: Fault, what: str
) -> None:
    server.faults = [fault]

    with pytest.raises(PackageIndexError) as caught:
        quick_wheels().record(server.wheel(DEMO))

    assert caught.value.message == f"demo 1.0: 127.0.0.1 {what}"
    assert len(server.files_asked()) == 1


def test_who_needs_a_login_is_told_where_it_is_looked_for(server: IndexServer) -> None:
    server.login = ("me", CANARY)

    with pytest.raises(PackageIndexError, match="refuses with 401") as caught:
        quick_wheels().record(server.wheel(DEMO))

    assert all(word in caught.value.hint for word in ("pip.conf", "netrc", "keyring", "UV_INDEX_"))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_failure_that_passes_is_waited_for(server: IndexServer, status: int) -> None:
    server.faults = [Fault(status=status, headers={"Retry-After": "0"})] * 2

    assert quick_wheels().record(server.wheel(DEMO)).text
    assert [one.status for one in server.files_asked()] == [status, status, 206]


def test_a_failure_that_stays_is_told(server: IndexServer) -> None:
    server.faults = [Fault(status=503)] * 3

    with pytest.raises(PackageIndexError, match="demo 1.0: 127.0.0.1 answers with 503"):
        quick_wheels().record(server.wheel(DEMO))


def test_a_broken_connection_is_made_anew(server: IndexServer) -> None:
    server.faults = [Fault(cut_after=10)]

    assert quick_wheels().record(server.wheel(DEMO)).text


def test_a_host_that_is_not_there_is_told() -> None:
    with pytest.raises(PackageIndexError) as caught:
        quick_wheels().record(wheel_at("http://127.0.0.1:9/x-1.0-py3-none-any.whl"))

    assert str(caught.value) == wording(
        "x 1.0: 127.0.0.1 does not answer: the connection is refused"
    )


def test_a_host_that_does_not_answer_is_told() -> None:
    patience = Patience(connect_s=0.2, read_s=0.2, retries=0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x-1.0-py3-none-any.whl"

        with pytest.raises(PackageIndexError) as caught:
            IndexWheels(None, patience=patience).record(wheel_at(url))

        assert str(caught.value) == wording("x 1.0: 127.0.0.1 does not answer in time")


def test_a_login_in_an_address_is_in_no_error(
    server: IndexServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = ("me", "another")
    write_pip_conf(home, index_url=server.index_as(f"me:{CANARY}"))

    with pytest.raises(PackageIndexError) as refused:
        quick_wheels().record(server.wheel(DEMO))
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{CANARY}@127.0.0.1:9")
    with pytest.raises(PackageIndexError) as unreachable:
        quick_wheels().record(server.wheel(DEMO))

    assert CANARY not in told(refused.value)
    assert CANARY not in told(unreachable.value)
    assert "proxy" in unreachable.value.message


def test_what_a_redirect_signs_is_in_no_error(server: IndexServer) -> None:
    server.redirect = f"http://127.0.0.1:9/?signature={CANARY}"

    with pytest.raises(PackageIndexError, match="connection is refused") as caught:
        quick_wheels().record(server.wheel(DEMO))

    assert CANARY not in told(caught.value)


def test_a_login_is_not_sent_on_to_another_host(
    server: IndexServer, other: IndexServer, home: Path
) -> None:
    server.login = ("me", CANARY)
    other.wheels = dict(server.wheels)
    server.redirect = other.address
    write_pip_conf(home, index_url=server.index_as(f"me:{CANARY}"))

    assert quick_wheels().record(server.wheel(DEMO)).text
    assert "Authorization" in server.asked[-1].headers
    assert [one for one in other.asked if "Authorization" in one.headers] == []


def test_a_host_that_was_redirected_to_is_asked_with_its_own_login(
    server: IndexServer, other: IndexServer, home: Path
) -> None:
    server.login, other.login = ("me", CANARY), ("you", "own")
    other.wheels = dict(server.wheels)
    server.redirect = other.address
    write_pip_conf(
        home,
        index_url=server.index_as(f"me:{CANARY}"),
        extra_index_url=other.index_as("you:own"),
    )

    assert quick_wheels().record(server.wheel(DEMO)).text


def test_a_wheel_is_fetched_whole_and_counted(server: IndexServer, tmp_path: Path) -> None:
    task, wheel = FakeTask(), server.wheel(DEMO)

    quick_wheels().fetch(wheel, tmp_path / DEMO, task)

    assert (tmp_path / DEMO).read_bytes() == server.wheels[DEMO]
    assert task.counts[-1] == (wheel.size_bytes, wheel.size_bytes)
    assert [path.name for path in tmp_path.glob("*.whl*")] == [DEMO]


def test_a_download_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    name, content = build_wheel("big", files={"big.bin": bytes(3 << 20)}, stored=True)
    with serve_index((name, content)) as server:
        server.faults = [Fault(cut_after=2 << 20)]

        quick_wheels().fetch(server.wheel(name), tmp_path / name, FakeTask())

        assert (tmp_path / name).read_bytes() == content
        assert [one.status for one in server.files_asked()] == [200, 206]
        assert server.sent_bytes() == len(content)


def test_a_download_starts_again_where_no_parts_are_given(tmp_path: Path) -> None:
    name, content = build_wheel("big", files={"big.bin": bytes(3 << 20)}, stored=True)
    with serve_index((name, content)) as server:
        server.ranges = "ignored"
        server.faults = [Fault(cut_after=2 << 20)]

        quick_wheels().fetch(server.wheel(name), tmp_path / name, FakeTask())

        assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda content: content[:-1] + b"?", "serves other bytes"),
        (lambda content: content + b"?", "serves more bytes"),
        (lambda content: content[:-1], "closes the connection early"),
    ],
)
def test_other_bytes_are_refused_and_nothing_is_left(
    server: IndexServer, tmp_path: Path, change: Callable[[bytes], bytes], what: str
) -> None:
    wheel = server.wheel(DEMO)
    server.wheels[DEMO] = change(server.wheels[DEMO])
    into = tmp_path / "into"
    into.mkdir()

    with pytest.raises(PackageIndexError, match=what):
        quick_wheels().fetch(wheel, into / DEMO, FakeTask())

    assert list(into.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(server: IndexServer, tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot write .*absent"):
        quick_wheels().fetch(server.wheel(DEMO), tmp_path / "absent" / DEMO, FakeTask())


def test_a_wait_that_a_host_asks_for_is_kept(server: IndexServer, tmp_path: Path) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "1"})]
    start = time.monotonic()

    quick_wheels().fetch(server.wheel(DEMO), tmp_path / DEMO, FakeTask())

    assert time.monotonic() - start >= 1.0


@pytest.mark.parametrize("ranges", ["all", "no suffix"])
def test_a_connection_is_used_again(server: IndexServer, ranges: Ranges) -> None:
    server.ranges = ranges
    wheels = quick_wheels()

    for _ in range(5):
        wheels.record(server.wheel(DEMO))

    assert len({one.port for one in server.asked}) == 1


def test_no_cookie_is_kept(server: IndexServer) -> None:
    server.faults = [Fault(status=503, headers={"Set-Cookie": f"session={CANARY}"})]

    quick_wheels().record(server.wheel(DEMO))

    assert [one for one in server.asked if "Cookie" in one.headers] == []


def test_a_folder_of_this_machine_is_no_index(tmp_path: Path) -> None:
    url = (tmp_path / DEMO).as_uri()

    with pytest.raises(PackageIndexError):
        quick_wheels().record(wheel_at(url))


@pytest.mark.parametrize("ranges", ["all", "ignored"])
def test_a_file_is_offered_as_long_as_it_is_there_and_of_its_size(
    server: IndexServer, ranges: Ranges
) -> None:
    server.ranges = ranges
    wheel, wheels = server.wheel(DEMO), quick_wheels()

    found = [wheels.is_offered(one) for one in (wheel, replace(wheel, size_bytes=None))]
    other = wheels.is_offered(replace(wheel, size_bytes=1))
    server.faults = [Fault(status=404), Fault(status=410)]
    gone = [wheels.is_offered(wheel) for _ in server.faults[:]]

    assert (found, other, gone) == ([True, True], False, [False, False])


@pytest.mark.parametrize("status", [403, 503])
def test_whether_a_file_is_offered_is_not_known_where_its_host_refuses(
    server: IndexServer, status: int
) -> None:
    server.faults = [Fault(status=status)] * 3

    with pytest.raises(PackageIndexError, match=f"demo 1.0: 127.0.0.1 .* with {status}"):
        quick_wheels().is_offered(server.wheel(DEMO))


def wheel_at(url: str) -> IndexWheel:
    return IndexWheel(name="x", version="1.0", url=url, sha256="0" * 64)


def told(error: PackageIndexError) -> str:
    return "".join((error.hint, *traceback.format_exception(error)))
