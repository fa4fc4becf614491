from __future__ import annotations

import base64
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from uv import find_uv_bin

from snapenv.errors import PackageIndexError
from snapenv.index.wheels import IndexWheels
from tests.index.machine import (
    DEMO,
    compile_with_uv,
    put_keyring,
    quick_wheels,
    write_pip_conf,
    write_uv_toml,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engines.index_server import IndexServer

CANARY = "canary-p@ss/7f3a"
QUOTED = "canary-p%40ss%2F7f3a"

Tell = "Callable[[Path, IndexServer, pytest.MonkeyPatch], object]"


def by_pip_conf(home: Path, server: IndexServer, _: pytest.MonkeyPatch) -> None:
    write_pip_conf(home, index_url=server.index_as(f"me:{QUOTED}"))


def by_extra_index(home: Path, server: IndexServer, _: pytest.MonkeyPatch) -> None:
    write_pip_conf(
        home, index_url="http://127.0.0.1:9/simple", extra_index_url=server.index_as(f"me:{QUOTED}")
    )


def by_pip_variable(_: Path, server: IndexServer, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PIP_INDEX_URL", server.index_as(f"me:{QUOTED}"))


def by_netrc(home: Path, server: IndexServer, _: pytest.MonkeyPatch) -> None:
    write_pip_conf(home, index_url=server.index)
    (home / ".netrc").write_text(f"machine 127.0.0.1\nlogin me\npassword {CANARY}\n")
    (home / ".netrc").chmod(0o600)


def by_named_netrc(home: Path, server: IndexServer, patch: pytest.MonkeyPatch) -> None:
    write_pip_conf(home, index_url=server.index)
    (home / "logins").write_text(f"machine 127.0.0.1 login me password {CANARY}\n")
    patch.setenv("NETRC", str(home / "logins"))


def by_uv_variables(home: Path, server: IndexServer, patch: pytest.MonkeyPatch) -> None:
    write_uv_toml(home, f'[[index]]\nname = "our-team"\nurl = "{server.index}"\ndefault = true\n')
    patch.setenv("UV_INDEX_OUR_TEAM_USERNAME", "me")
    patch.setenv("UV_INDEX_OUR_TEAM_PASSWORD", CANARY)


def by_named_uv_variable(_: Path, server: IndexServer, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("UV_DEFAULT_INDEX", f"team={server.index}")
    patch.setenv("UV_INDEX_TEAM_USERNAME", "me")
    patch.setenv("UV_INDEX_TEAM_PASSWORD", CANARY)


def by_uv_toml(home: Path, server: IndexServer, _: pytest.MonkeyPatch) -> None:
    write_uv_toml(home, f'index-url = "{server.index_as(f"me:{QUOTED}")}"\n')


def by_uv_login(home: Path, server: IndexServer, _: pytest.MonkeyPatch) -> None:
    write_pip_conf(home, index_url=server.index)
    login = ("--username", "me", "--password", CANARY)
    subprocess.run((find_uv_bin(), "auth", "login", server.address, *login), check=True)


def by_keyring(home: Path, server: IndexServer, patch: pytest.MonkeyPatch) -> None:
    write_pip_conf(home, index_url=server.index_as("me"))
    put_keyring(home / "bin", {f"{server.index} me": CANARY}, patch)


def by_keyring_of_the_host(home: Path, server: IndexServer, patch: pytest.MonkeyPatch) -> None:
    write_pip_conf(home, index_url=server.index_as("me"), keyring_provider="subprocess")
    host = server.address.removeprefix("http://")
    put_keyring(home / "bin", {f"{host} me": CANARY}, patch)


ALL = [
    by_pip_conf,
    by_extra_index,
    by_pip_variable,
    by_netrc,
    by_named_netrc,
    by_uv_variables,
    by_named_uv_variable,
    by_uv_toml,
    by_uv_login,
    by_keyring,
    by_keyring_of_the_host,
]


@pytest.mark.parametrize("tell", ALL)
def test_a_login_is_found_where_pip_and_uv_look_for_it(
    server: IndexServer,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tell: Callable[[Path, IndexServer, pytest.MonkeyPatch], None],
) -> None:
    server.login = ("me", CANARY)
    with pytest.raises(PackageIndexError, match="refuses with 401"):
        quick_wheels().record(server.wheel(DEMO))
    tell(home, server, monkeypatch)
    wheels = quick_wheels(tmp_path / "cache")

    record = wheels.record(server.wheel(DEMO)).text

    assert record.startswith("demo.py,")
    assert wheels.is_private(server.wheel(DEMO))
    assert CANARY in {secret.value for secret in wheels.secrets()}
    assert not [
        path for path in (tmp_path / "cache").rglob("*") if path.is_file() and holds(path, CANARY)
    ]


@pytest.mark.parametrize("tell", [each for each in ALL if each is not by_extra_index])
def test_uv_gets_at_the_same_index_with_what_it_is_told(
    server: IndexServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    tell: Callable[[Path, IndexServer, pytest.MonkeyPatch], None],
) -> None:
    server.login = ("me", CANARY)
    tell(home, server, monkeypatch)

    found = compile_with_uv("demo", quick_wheels().variables())

    assert [url.rpartition("/")[2] for url in found] == [DEMO]


def test_a_keyring_is_asked_once_and_only_after_a_refusal(
    server: IndexServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pip_conf(home, index_url=server.index_as("me"))
    log = put_keyring(home / "bin", {f"{server.index} me": CANARY}, monkeypatch)
    wheels = quick_wheels()

    wheels.record(server.wheel(DEMO))
    before = log.read_text()
    server.login = ("me", CANARY)
    wheels.record(server.wheel(DEMO))
    wheels.record(server.wheel(DEMO))

    assert before == ""
    assert log.read_text() == f"get {server.index} me\n"


def test_a_keyring_that_knows_the_user_too_is_asked_for_both(
    server: IndexServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = ("me", CANARY)
    write_pip_conf(home, index_url=server.index)
    put_keyring(home / "bin", {f"--mode creds {server.index}": f"me\n{CANARY}"}, monkeypatch)

    assert quick_wheels().record(server.wheel(DEMO)).text


def test_a_keyring_is_not_asked_where_pip_is_told_not_to(
    server: IndexServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = ("me", CANARY)
    write_pip_conf(home, index_url=server.index_as("me"), keyring_provider="disabled")
    log = put_keyring(home / "bin", {f"{server.index} me": CANARY}, monkeypatch)

    with pytest.raises(PackageIndexError, match="refuses with 401"):
        quick_wheels().record(server.wheel(DEMO))

    assert log.read_text() == ""
    assert "UV_KEYRING_PROVIDER" not in quick_wheels().variables()


def test_a_keyring_that_knows_nothing_is_no_crash(
    server: IndexServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = ("me", CANARY)
    put_keyring(home / "bin", {}, monkeypatch)

    with pytest.raises(PackageIndexError, match="refuses with 401"):
        quick_wheels().record(server.wheel(DEMO))


def test_a_keyring_that_knows_nothing_is_asked_once(
    server: IndexServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = ("me", CANARY)
    log = put_keyring(home / "bin", {}, monkeypatch)
    wheels = quick_wheels()

    for _ in range(3):
        with pytest.raises(PackageIndexError):
            wheels.record(server.wheel(DEMO))

    host = server.address.removeprefix("http://")
    services = (server.index, host)
    assert log.read_text() == "".join(f"get --mode creds {service}\n" for service in services)


def test_a_default_login_is_given_only_to_a_host_that_asks(server: IndexServer, home: Path) -> None:
    (home / ".netrc").write_text(f"default login me password {CANARY}\n")
    wheels = quick_wheels()

    wheels.record(server.wheel(DEMO))
    before = [one for one in server.asked if "Authorization" in one.headers]
    private_before = wheels.is_private(server.wheel(DEMO))
    server.login = ("me", CANARY)

    assert wheels.record(server.wheel(DEMO)).text
    assert (before, private_before) == ([], False)
    assert wheels.is_private(server.wheel(DEMO))


def test_no_login_is_sent_to_another_port(
    server: IndexServer, other: IndexServer, home: Path
) -> None:
    other.wheels = dict(server.wheels)
    write_pip_conf(home, index_url=server.index_as(f"me:{QUOTED}"))
    wheels = quick_wheels()

    wheels.record(other.wheel(DEMO))

    assert not wheels.is_private(other.wheel(DEMO))
    assert [one for one in other.asked if "Authorization" in one.headers] == []


def test_of_two_indexes_on_a_host_the_nearer_one_gives_the_login(
    server: IndexServer, home: Path
) -> None:
    server.login = ("near", CANARY)
    write_pip_conf(
        home,
        index_url=server.index_as("far:wrong").replace("/team/", "/public/"),
        extra_index_url=server.index_as(f"near:{QUOTED}"),
    )

    assert quick_wheels().record(server.wheel(DEMO)).text


def test_a_token_without_a_password_is_sent_as_the_user(server: IndexServer, home: Path) -> None:
    server.login = ("token-0123456789abcdef", "")
    write_pip_conf(home, index_url=server.index_as("token-0123456789abcdef"))

    assert quick_wheels().record(server.wheel(DEMO)).text


def test_a_netrc_that_is_broken_is_no_crash_and_its_passwords_are_secrets(
    server: IndexServer, home: Path
) -> None:
    (home / ".netrc").write_text(f"nonsense\nmachine x login me password {CANARY}\n")

    assert quick_wheels().record(server.wheel(DEMO)).text
    assert CANARY in {secret.value for secret in IndexWheels(None).secrets()}


def test_every_form_of_a_login_is_a_secret(home: Path) -> None:
    write_pip_conf(home, index_url=f"https://me:{QUOTED}@example.com/simple")
    in_header = base64.b64encode(f"me:{CANARY}".encode()).decode()

    found = {secret.value: secret.what for secret in IndexWheels(None).secrets()}

    assert found[CANARY] == wording("the password of example.com in pip.conf")
    assert QUOTED in found
    assert f"me:{QUOTED}" in found
    assert any(in_header.startswith(value) and len(value) > 20 for value in found)
    assert "me" not in found


def test_a_password_is_a_secret_as_an_address_would_hold_it(home: Path) -> None:
    (home / ".netrc").write_text(f"machine example.com login me password {CANARY}\n")

    assert {CANARY, QUOTED} <= {secret.value for secret in IndexWheels(None).secrets()}


def test_secrets_of_every_place_are_listed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pip_conf(
        home,
        index_url="https://me:secret-1@a.example.com/simple",
        find_links="https://me:secret-2@b.example.com/wheels",
        proxy="http://me:secret-3@proxy.example.com:3128",
    )
    write_uv_toml(home, 'index-url = "https://me:secret-4@c.example.com/simple"\n')
    (home / ".netrc").write_text("machine d.example.com login me password secret-5\n")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://me:secret-6@e.example.com/simple")
    monkeypatch.setenv("UV_INDEX_ABSENT_PASSWORD", "secret-7")
    monkeypatch.setenv("UV_PUBLISH_TOKEN", "secret-8")
    store = home / ".local" / "share" / "uv" / "credentials" / "credentials.toml"
    store.parent.mkdir(parents=True)
    store.write_text(
        '[[credential]]\nservice = "https://f.example.com/"\nusername = "__token__"\n'
        'scheme = "basic"\npassword = "secret-9"\n'
    )
    monkeypatch.setenv("UV_INDEX", "https://secret-10-is-a-long-token@g.example.com/simple")

    found = {secret.value for secret in IndexWheels(None).secrets()}

    expected = {f"secret-{number}" for number in range(1, 10)} | {"secret-10-is-a-long-token"}
    assert expected - found == set()


def test_a_machine_that_is_told_nothing_has_no_secrets(home: Path) -> None:
    assert os.environ["HOME"] == str(home)
    assert IndexWheels(None).secrets() == ()
    assert quick_wheels().variables().keys() <= {"SSL_CERT_FILE"}


def holds(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()
