from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.engine.address import find_address, parse_url, tls_config
from snapenv.errors import EngineMissingError

if TYPE_CHECKING:
    from pathlib import Path

USUAL = "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("unix:///x/y.sock", "unix:///x/y.sock"),
        ("unix://x/y.sock", "unix:///x/y.sock"),
        ("unix:/x/y.sock", "unix:///x/y.sock"),
        ("unix://", USUAL),
        ("unix:///", USUAL),
        ("UNIX:///x", "unix:///x"),
        ("tcp://example.com:2376", "tcp://example.com:2376"),
        ("tcp://example.com:2376/", "tcp://example.com:2376"),
        ("tcp://example.com", "tcp://example.com:2375"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        ("tcp://", "tcp://127.0.0.1:2375"),
        ("tcp://:2377", "tcp://127.0.0.1:2377"),
        ("localhost:2375", "tcp://localhost:2375"),
        ("192.0.2.1:2375", "tcp://192.0.2.1:2375"),
        ("[::1]:2375", "tcp://[::1]:2375"),
        ("http://example.com:1", "http://example.com:1"),
        ("ssh://me@example.com", "ssh://me@example.com"),
        ("ssh://example.com:22/x/y.sock", "ssh://example.com:22/x/y.sock"),
    ],
)
def test_an_address_is_completed_as_docker_does(text: str, url: str) -> None:
    assert parse_url(text, tls=False) == url


def test_the_usual_port_with_certificates_is_another_one() -> None:
    assert parse_url("tcp://example.com", tls=True) == "tcp://example.com:2376"


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        (
            "/x/y.sock",
            wording("DOCKER_HOST names no Docker engine: it has no scheme"),
            "DOCKER_HOST=unix:///PATH",
        ),
        (
            "//me:canary@example.com",
            wording("DOCKER_HOST names no Docker engine: it has no scheme"),
            "DOCKER_HOST=unix:///PATH",
        ),
        (
            "docker",
            wording("DOCKER_HOST names no Docker engine: it has no scheme"),
            "tcp://HOST:PORT",
        ),
        (
            "fd://",
            wording(
                "DOCKER_HOST names no Docker engine: fd:// is what systemd starts the engine with, and no address of it"
            ),
            "unix://",
        ),
        (
            "npipe:////./pipe/docker_engine",
            wording(
                "DOCKER_HOST names no Docker engine: npipe:// is a pipe of Windows, and this is Linux"
            ),
            "unset DOCKER_HOST",
        ),
        (
            "foo://bar",
            wording("DOCKER_HOST names no Docker engine: foo:// is no way to one"),
            "ssh://USER@HOST",
        ),
        (
            "tcp://example.com:x",
            wording("DOCKER_HOST names no Docker engine: it is not an address"),
            "tcp://HOST:2375",
        ),
        (
            "tcp://example.com:99999",
            wording("DOCKER_HOST names no Docker engine: it is not an address"),
            "tcp://HOST:2375",
        ),
        (
            "tcp://[::1",
            wording("DOCKER_HOST names no Docker engine: it is not an address"),
            "tcp://HOST:2375",
        ),
        (
            "tcp://me:canary",
            wording("DOCKER_HOST names no Docker engine: it is not an address"),
            "tcp://HOST:2375",
        ),
        (
            "tcp://me:canary@example.com:1",
            wording("DOCKER_HOST holds a password, which no engine takes"),
            "tcp://HOST:2375",
        ),
        (
            "ssh://me:canary@example.com",
            wording("DOCKER_HOST holds a password, which no engine takes"),
            "ssh://HOST:22",
        ),
        (
            "ssh://",
            wording("DOCKER_HOST names no Docker engine: it has no host"),
            "ssh://USER@HOST",
        ),
    ],
)
def test_what_is_no_address_is_told_with_what_to_write(text: str, why: str, hint: str) -> None:
    with pytest.raises(EngineMissingError) as caught:
        parse_url(text, tls=False)

    assert caught.value.message == why
    assert hint in caught.value.hint
    assert "canary" not in caught.value.message + caught.value.hint


def test_a_blank_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "  ")

    assert find_address().url == USUAL


@pytest.mark.parametrize(
    ("there", "variables", "missing"),
    [
        ((), {"DOCKER_TLS_VERIFY": "1"}, "ca.pem, cert.pem, key.pem"),
        (("cert.pem", "key.pem"), {"DOCKER_TLS_VERIFY": "1"}, "ca.pem"),
        (("ca.pem", "cert.pem"), {}, "key.pem"),
    ],
)
def test_certificates_that_are_not_there_are_named(
    tmp_path: Path, there: tuple[str, ...], variables: dict[str, str], missing: str
) -> None:
    for name in there:
        (tmp_path / name).touch()

    with pytest.raises(EngineMissingError, match=f"has no {missing}$") as caught:
        tls_config({**variables, "DOCKER_CERT_PATH": str(tmp_path)})

    assert "DOCKER_CERT_PATH" in caught.value.hint


def test_certificates_are_for_tcp_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/nonexistent")
    monkeypatch.setenv("DOCKER_HOST", "unix:///x")

    assert find_address().tls is None
