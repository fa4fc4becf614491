from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import urllib3.exceptions
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.network.address import show_address
from snapenv.network.cause import Kind, causes, find_cause, find_in_words
from tests.certificates import ADDRESS, OPENSSL, make_certificates, serve

if TYPE_CHECKING:
    from pathlib import Path

HOST = "example.com"
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


def behind(error: BaseException, *outer: BaseException) -> BaseException:
    """Put an error behind others."""
    for one in outer:
        one.__context__ = error
        error = one
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(111, "refused"), "refused"),
        (OSError(101, "Network is unreachable"), "unreachable"),
        (OSError(113, "No route to host"), "unreachable"),
        (ConnectionResetError(104, "reset"), "cut"),
        (TimeoutError("timed out"), "timeout"),
        (ssl.SSLEOFError(8, "EOF"), "cut"),
        (urllib3.exceptions.ProtocolError("aborted"), "cut"),
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_cause_is_found_however_deep_it_lies(error: OSError, kind: Kind, depth: int) -> None:
    outer = behind(error, *(RuntimeError("wrapped") for _ in range(depth)))

    found = find_cause(outer, host=HOST)

    assert found is not None
    assert found.kind == kind


@needs_openssl
def test_a_certificate_that_python_refuses_from_3_13_on_is_told(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "made")
    context = ssl.create_default_context(cafile=str(made / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT

    with (
        serve(made / "malformed.crt") as host,
        socket.create_connection((ADDRESS, int(host.rpartition(":")[2]))) as connection,
        pytest.raises(ssl.SSLError) as caught,
    ):
        context.wrap_socket(connection, server_hostname=ADDRESS)

    found = find_cause(caught.value, host=host)
    assert found
    assert found.what == wording(
        "has a certificate that lacks what RFC 5280 requires, which Python 3.13 and newer refuse"
    )
    assert f"openssl s_client -x509_strict -connect {host}" in (found.hint or "")


def test_what_is_none_of_the_network_has_no_cause() -> None:
    assert find_cause(ValueError("x"), host=HOST) is None
    assert find_cause(ValueError("x"), host=HOST, proxy="http://proxy.example.com:1") is None


def test_errors_that_lie_behind_one_another_in_a_circle_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first

    assert list(causes(first)) == [first, second]


def test_a_failure_behind_a_proxy_is_the_hosts_and_one_before_it_the_proxys() -> None:
    proxy = "http://me:canary@proxy.example.com:3128"
    behind_it = ssl.SSLCertVerificationError(1, "certificate verify failed")
    behind_it.verify_code = 10

    told = find_cause(behind_it, host=HOST, proxy=proxy)
    other = find_cause(ConnectionRefusedError(111, "refused"), host=HOST, proxy=proxy)

    assert told is not None
    assert other is not None
    assert (told.kind, other.kind) == ("expired", "proxy")
    assert "proxy.example.com:3128" in other.what
    assert "canary" not in other.what


@given(
    scheme=st.sampled_from(["http", "https", "socks5h"]),
    login=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=3, max_size=9),
    path=st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=9),
)
def test_a_shown_address_holds_no_login_and_no_path(scheme: str, login: str, path: str) -> None:
    shown = show_address(f"{scheme}://{login}:{login}@proxy.example.com:3128/{path}")

    assert shown == f"{scheme}://proxy.example.com:3128"


def test_one_cause_is_told_in_the_same_words_on_both_sides() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = 62

    ours = find_cause(error, host=HOST)
    engines = find_in_words(
        "tls: failed to verify certificate: x509: certificate is valid for a, not b",
        host=HOST,
        machine="the engine's machine",
    )

    assert ours is not None
    assert engines is not None
    assert (ours.kind, ours.what, ours.hint) == (engines.kind, engines.what, engines.hint)


@pytest.mark.parametrize(
    "text", ["", "manifest unknown", "net/http: TLS handshake timeout", "denied: x509-images/env"]
)
def test_other_words_are_no_cause(text: str) -> None:
    assert find_in_words(text, host=HOST, machine="x") is None
