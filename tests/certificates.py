"""Certificates with one fault each, made by openssl, and servers that show them."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPENSSL = shutil.which("openssl")
PAST, NOW, LATER, FAR = "20240101000000Z", "20240601000000Z", "20480101000000Z", "20490101000000Z"
ADDRESS = "0.0.0.0"
LEAVES = {  # names and times of certificates
    "good": (f"IP:{ADDRESS}", PAST, LATER),
    "expired": (f"IP:{ADDRESS}", PAST, NOW),
    "not-yet-valid": (f"IP:{ADDRESS}", LATER, FAR),
    "other-name": ("DNS:other.example.com", PAST, LATER),
    "malformed": (f"IP:{ADDRESS}", PAST, LATER),  # without what RFC 5280 requires
}
_KEYS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
_CONFIG = """\
[ca]
default_ca = own
[own]
database = index
serial = serial
new_certs_dir = .
certificate = ca.crt
private_key = key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


def make_certificates(folder: Path) -> Path:
    """Make an authority ``ca.crt`` and below it a ``NAME.crt`` for each leaf, of one ``key``."""
    folder.mkdir()
    (folder / "ca.cnf").write_text(_CONFIG)
    (folder / "index").touch()
    (folder / "serial").write_text("01")
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key"
    usage = "-addext keyUsage=critical,keyCertSign,cRLSign"
    _openssl(folder, f"req -x509 {new_key} -out ca.crt -days 36500 -subj /CN=ca {usage}")
    for name, (names, begins, ends) in LEAVES.items():
        keys = "" if name == "malformed" else _KEYS
        (folder / "extensions").write_text(f"{keys}subjectAltName={names}\n")
        _openssl(folder, f"req -new -key key -out request -subj /CN={name}")
        _openssl(
            folder,
            f"ca -batch -config ca.cnf -in request -out {name}.crt -startdate {begins} "
            f"-enddate {ends} -extfile extensions -notext",
        )
    return folder


@contextlib.contextmanager
def serve(certificate: Path | None) -> Iterator[str]:
    """Answer each GET with 404, by TLS with a certificate or by plain http; give host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Nothing)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_name("key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield f"{ADDRESS}:{server.server_port}"


class _Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def _openssl(folder: Path, words: str) -> None:
    subprocess.run((str(OPENSSL), *words.split()), cwd=folder, check=True, capture_output=True)
