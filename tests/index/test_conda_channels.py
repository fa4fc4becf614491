"""A package of a private channel is fetched with what conda, mamba and pixi know of the channel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.content import sha256_of
from snapenv.model.wheels import IndexWheel
from snapenv.network.session import basic
from tests.conda.channel import serve_channel
from tests.conda.packages import Package
from tests.fakes import FakeTask
from tests.index.machine import quick_wheels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conda.channel import ChannelServer

TINY = Package(name="tiny", files={"share/tiny.txt": b"tiny\n"})
CANARY = "tk-canary-7f3a-0001"
TOKEN = {"token": CANARY}
BASIC = {"authorization": basic("me", CANARY)}
BEARER = {"authorization": f"Bearer {CANARY}"}


def by_channel(home: Path, server: ChannelServer) -> None:
    text = f"channels:\n  - defaults\n  - '{server.address_as(token=CANARY)}'\n"
    (home / ".condarc").write_text(text)


def by_alias(home: Path, server: ChannelServer) -> None:
    (home / ".conda").mkdir()
    alias = server.address_as(user_info=f"me:{CANARY}").removesuffix("/zoo")
    (home / ".conda" / "condarc").write_text(f"channel_alias: {alias}\n")


def by_netrc(home: Path, _: ChannelServer) -> None:
    (home / ".netrc").write_text(f"machine 127.0.0.1 login me password {CANARY}\n")


def by_rattler(login: object, host: str = "127.0.0.1") -> Callable[[Path, ChannelServer], None]:
    def tell(home: Path, server: ChannelServer) -> None:
        port = server.address.split("/")[2].partition(":")[2]
        (home / ".rattler").mkdir()
        text = json.dumps({f"{host}:{port}" if host[0] != "*" else host: login, "odd": 1})
        (home / ".rattler" / "credentials.json").write_text(text)

    return tell


WAYS = {
    "a token in a channel of .condarc": (TOKEN, by_channel),
    "a login in the alias of .conda/condarc": (BASIC, by_alias),
    "netrc": (BASIC, by_netrc),
    "a token that rattler keeps": (TOKEN, by_rattler({"CondaToken": CANARY})),
    "a bearer that rattler keeps": (BEARER, by_rattler({"BearerToken": CANARY})),
    "a login that rattler keeps for all below a name": (
        BASIC,
        by_rattler({"BasicHTTP": {"username": "me", "password": CANARY}}, "*.0.0.1"),
    ),
}


@pytest.mark.parametrize(("asked_for", "tell"), WAYS.values(), ids=WAYS)
def test_what_is_known_of_a_channel_is_sent_to_it(
    asked_for: dict[str, Any],
    tell: Callable[[Path, ChannelServer], None],
    home: Path,
    tmp_path: Path,
) -> None:
    original = TINY.write(tmp_path / "channel")
    with serve_channel(tmp_path / "channel", **asked_for) as server:
        tell(home, server)
        package = IndexWheel(
            name="tiny",
            version="1.0",
            url=f"{server.address}/{TINY.subdir}/{TINY.filename}",
            sha256=sha256_of(original).hexdigest(),
        )
        wheels = quick_wheels()

        wheels.fetch(package, tmp_path / "fetched.conda", FakeTask())

    assert (tmp_path / "fetched.conda").read_bytes() == original.read_bytes()
    assert wheels.is_private(package)
    assert CANARY in {secret.value for secret in wheels.secrets()}
