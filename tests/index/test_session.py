from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import PackageIndexError
from snapenv.index.session import choose_trust
from snapenv.model.wheels import IndexWheel
from tests.engines.index_server import build_wheel
from tests.index.machine import DEMO, quick_wheels
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

OPENSSL = shutil.which("openssl")


@pytest.mark.parametrize(
    ("pip", "environment", "expected"),
    [
        ("file", {"PIP_CERT": "pip", "REQUESTS_CA_BUNDLE": "requests"}, "pip"),
        ("file", {"REQUESTS_CA_BUNDLE": "requests", "SSL_CERT_FILE": "openssl"}, "requests"),
        ("file", {"PIP_CERT": "absent", "SSL_CERT_FILE": "openssl"}, "openssl"),
        ("file", {}, "file"),
        ("absent", {}, None),
    ],
)
def test_a_bundle_of_certificates_is_chosen_by_strength(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pip: str,
    environment: Mapping[str, str],
    expected: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pip", "requests", "openssl", "file"):
        (tmp_path / name).touch()

    assert choose_trust({"cert": pip}, environment).bundle == expected


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
@pytest.mark.parametrize("variable", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_authority_of_this_network_is_trusted_once_it_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("HOME", str(home))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    certificate = make_certificate(tmp_path)
    for wheel in serve_tls(certificate):
        with pytest.raises(PackageIndexError) as caught:
            quick_wheels().record(wheel)

        assert str(caught.value) == wording(
            "demo 1.0: 127.0.0.1 has a certificate from an authority that is not trusted"
        )
        monkeypatch.setenv(variable, str(certificate))

        assert quick_wheels().record(wheel).text
        assert "PIP_CERT" in caught.value.hint


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_a_host_that_pip_trusts_may_have_any_certificate(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    for wheel in serve_tls(make_certificate(tmp_path)):
        monkeypatch.setenv("PIP_TRUSTED_HOST", f"{wheel.host}:443 example.com")

        assert quick_wheels().record(wheel).text


def make_certificate(folder: Path) -> Path:
    """Make a certificate for loopback, and its key, in one file."""
    path = folder / "both.pem"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=loopback"
    )
    extra = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", path)
    subprocess.run((str(OPENSSL), *words.split(), *extra), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (folder / "key").read_bytes())
    return path


def serve_tls(certificate: Path) -> Iterator[IndexWheel]:
    """Serve one wheel, whole, over TLS, and give it as a lock names it."""
    _, content = build_wheel("demo")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        url = f"https://127.0.0.1:{server.server_port}/{DEMO}"
        yield IndexWheel(name="demo", version="1.0", url=url, sha256=sha256(content))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
