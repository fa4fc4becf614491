"""Why a registry cannot be asked: by TLS and by proxies, each with a text and a mend of its own."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import NotFoundError, RegistryError
from snapenv.model.image import ImageRef
from snapenv.network.address import AUTHORITY_VARIABLES
from snapenv.network.session import Patience
from snapenv.registry.client import RegistryClient
from tests.certificates import OPENSSL, make_certificates, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = Patience(connect_s=60.0, retries=0)
FAR = ImageRef.parse("registry.example.com/team/env:1")
PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY", "NO_PROXY")

needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "made")


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AUTHORITY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def refusal(ref: ImageRef) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        RegistryClient(patience=QUICK).read(ref)
    return caught.value


@needs_openssl
@pytest.mark.parametrize(
    ("shown", "trusted", "message", "hint"),
    [
        (
            "expired",
            True,
            wording("HOST has a certificate that has expired: HOST/team/env:1"),
            "Renew the certificate",
        ),
        (
            "not-yet-valid",
            True,
            wording(
                "HOST has a certificate that is not valid yet by the clock of this machine: HOST/team/env:1"
            ),
            "timedatectl",
        ),
        (
            "other-name",
            True,
            wording("HOST has a certificate for another host name: HOST/team/env:1"),
            "openssl s_client",
        ),
        (
            "good",
            False,
            wording(
                "HOST has a certificate from an authority that is not trusted: HOST/team/env:1"
            ),
            "/etc/docker/certs.d/{}/ca.crt",
        ),
        (
            None,
            True,
            wording("HOST answers over plain HTTP where HTTPS is expected: HOST/team/env:1"),
            '"insecure-registries": ["{}"]',
        ),
    ],
)
def test_each_fault_of_tls_has_a_text_and_a_mend_of_its_own(  # noqa: PLR0913
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    shown: str | None,
    trusted: bool,
    message: str,
    hint: str,
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.crt"))
    with serve(certificates / f"{shown}.crt" if shown else None) as host:
        error = refusal(ImageRef.parse(f"{host}/team/env:1"))

    assert error.message.replace(host, "HOST") == message
    assert hint.format(host) in error.hint


@needs_openssl
def test_a_certificate_that_lacks_an_extension_is_taken_until_python_3_12(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.crt"))
    with serve(certificates / "malformed.crt") as host:
        is_taken = sys.version_info < (3, 13)
        with pytest.raises(NotFoundError if is_taken else RegistryError, match=host) as caught:
            RegistryClient(patience=QUICK).read(ImageRef.parse(f"{host}/team/env:1"))

    assert is_taken != ("lacks what RFC 5280 requires" in str(caught.value))


@needs_openssl
@pytest.mark.parametrize("variable", ["PIP_CERT", "SSL_CERT_FILE"])
def test_a_certificate_without_fault_is_taken(
    certificates: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificates / "ca.crt"))
    with serve(certificates / "good.crt") as host, pytest.raises(NotFoundError):
        RegistryClient(patience=QUICK).read(ImageRef.parse(f"{host}/team/env:1"))


@contextlib.contextmanager
def proxy(answer: bytes) -> Iterator[str]:
    """Answer whoever connects in one way; give host and port."""

    def serve_one() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve_one)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_does_not_answer_is_named_without_its_login(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://user:canary@127.0.0.1:9")

    error = refusal(FAR)

    assert error.message.startswith(
        "registry.example.com cannot be reached through the proxy http://127.0.0.1:9: "
        "the connection is refused"
    )
    assert "NO_PROXY=registry.example.com" in error.hint
    assert "canary" not in error.message + error.hint


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (
            "407 Proxy Authentication Required",
            wording(
                "registry.example.com cannot be reached: the proxy http://PROXY requires a login: registry.example.com/team/env:1"
            ),
            "USER:PASSWORD@",
        ),
        (
            "403 Forbidden",
            wording(
                "registry.example.com cannot be reached through the proxy http://PROXY: it answers with 403: registry.example.com/team/env:1"
            ),
            "NO_PROXY=",
        ),
        (
            "503 Service Unavailable",
            wording(
                "registry.example.com cannot be reached through the proxy http://PROXY: it answers with 503: registry.example.com/team/env:1"
            ),
            "NO_PROXY=",
        ),
    ],
)
def test_what_a_proxy_answers_is_told_as_the_proxys(
    monkeypatch: pytest.MonkeyPatch, status: str, message: str, hint: str
) -> None:
    with proxy(f"HTTP/1.1 {status}\r\n\r\n".encode()) as name:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:canary@{name}")
        error = refusal(FAR)

    assert error.message.replace(name, "PROXY") == message
    assert hint in error.hint
    assert "canary" not in error.message


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4a"])
def test_a_socks_proxy_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:canary@127.0.0.1:9")

    error = refusal(FAR)

    assert f"{scheme}://127.0.0.1:9" in error.message
    assert "SOCKS" in error.message
    assert "pip install pysocks" in error.hint
    assert "canary" not in error.message + error.hint


def test_no_proxy_goes_past_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com,0.0.0.0")

    error = refusal(ImageRef.parse("0.0.0.0:9/team/env:1"))

    assert error.message == wording(
        "0.0.0.0:9 does not answer: the connection is refused: 0.0.0.0:9/team/env:1"
    )


def test_a_name_that_does_not_resolve_is_told() -> None:
    error = refusal(ImageRef.parse("registry.invalid/team/env:1"))

    assert error.message == wording(
        "registry.invalid does not answer: its name cannot be resolved: registry.invalid/team/env:1"
    )
    assert "spelled right" in error.hint
