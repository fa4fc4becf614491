"""A Sigstore of our own on loopback: authority, log of certificates, and transparency log.

It speaks what sigstore-python asks of Fulcio and of Rekor 1, with real keys, certificates and proofs,
and checks no token: whoever asks gets the identity that the token claims. Sources:
https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md,
https://www.rfc-editor.org/rfc/rfc6962 (SCTs and the tree) and
https://github.com/transparency-dev/formats/blob/main/log/README.md (checkpoints).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from sigstore.models import ClientTrustConfig

from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTITY = "https://example.com/team/env/.ci.yml@refs/heads/main"
ISSUER = "https://ci.example.com"

_SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ECDSA = ec.ECDSA(hashes.SHA256())
_DAY = timedelta(days=1)


def token(identity: str = IDENTITY, issuer: str = ISSUER) -> str:
    """Return an OIDC token as a CI gives it, signed by nobody who matters."""
    now = int(datetime.now(timezone.utc).timestamp())
    claims = {"iss": issuer, "sub": identity, "aud": "sigstore", "iat": now, "exp": now + 300}
    parts = (json.dumps({"alg": "none"}).encode(), json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


class Instance:
    """The keys of one instance, and what it answers."""

    def __init__(self) -> None:
        self.root, self.certificates, self.entries = (
            ec.generate_private_key(ec.SECP256R1()) for _ in range(3)
        )
        self.logged: list[bytes] = []
        self.is_down = False
        self._began = datetime.now(timezone.utc) - _DAY
        self._authority = self._sign_authority()
        self.url = ""

    @property
    def trusted_root(self) -> dict[str, Any]:
        """What a client trusts, as JSON."""
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log(self.entries)],
            "ctlogs": [self._log(self.certificates)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "tests", "commonName": "tests"},
                    "uri": self.url,
                    "certChain": {"certificates": [{"rawBytes": _text(_der(self._authority))}]},
                    "validFor": self._valid_for,
                }
            ],
        }

    @property
    def config(self) -> ClientTrustConfig:
        """What a client trusts, and whom it asks."""
        service = {
            "url": self.url,
            "majorApiVersion": 1,
            "validFor": self._valid_for,
            "operator": "tests",
        }
        signing = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service],
            "oidcUrls": [service],
            "rekorTlogUrls": [service],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaConfig": {"selector": "ANY"},
        }
        document = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root,
            "signingConfig": signing,
        }
        return ClientTrustConfig.from_json(json.dumps(document))

    @property
    def _valid_for(self) -> dict[str, str]:
        return {"start": self._began.isoformat()}

    def _log(self, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
        return {
            "baseUrl": self.url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": _text(_public(key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": self._valid_for,
            },
            "logId": {"keyId": _text(_key_id(key))},
        }

    def _sign_authority(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.root.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._began)
            .not_valid_after(self._began + 2 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.root.public_key()), critical=False
            )
            .sign(self.root, hashes.SHA256())
        )

    def certify(self, asked: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
        """Answer as Fulcio: a certificate of ten minutes for what the token claims."""
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
        now = datetime.now(timezone.utc).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._authority.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(minutes=10))
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(claims["sub"])]),
                critical=True,
            )
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER, claims["iss"].encode()), critical=False
            )
        )
        before = builder.sign(self.root, hashes.SHA256())
        listed = x509.UnrecognizedExtension(_SCT_LIST, self._sct_list(before, now))
        certificate = builder.add_extension(listed, critical=False).sign(self.root, hashes.SHA256())
        chain = [_pem(certificate), _pem(self._authority)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _sct_list(self, certificate: x509.Certificate, now: datetime) -> bytes:
        """Return the extension of a certificate that is in the log of certificates, in DER."""
        at_ms = int(now.timestamp() * 1000)
        body = certificate.tbs_certificate_bytes
        entry = _key_id(self.root) + struct.pack("!I", len(body))[1:] + body
        signed = struct.pack("!BBQH", 0, 0, at_ms, 1) + entry + struct.pack("!H", 0)
        signature = self.certificates.sign(signed, _ECDSA)
        sct = b"\0" + _key_id(self.certificates) + struct.pack("!QH", at_ms, 0)
        sct += b"\x04\x03" + struct.pack("!H", len(signature)) + signature  # SHA-256, ECDSA
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        assert len(listed) < 0x80  # one byte tells how long it is
        return b"\x04" + bytes([len(listed)]) + listed

    def log(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """Answer as Rekor: the entry is the only one of its tree."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": _hash(content["envelope"].encode()),
                "payloadHash": _hash(base64.b64decode(envelope["payload"])),
                "signatures": [
                    {"signature": each["sig"], "verifier": content["verifiers"][0]}
                    for each in envelope["signatures"]
                ],
            },
        }
        entry = _canonical(body)
        self.logged.append(entry)
        root = hashlib.sha256(b"\0" + entry).digest()
        promised = {
            "body": _text(entry),
            "integratedTime": int(datetime.now(timezone.utc).timestamp()),
            "logID": _key_id(self.entries).hex(),
            "logIndex": 0,
        }
        note = f"127.0.0.1 - 1\n1\n{_text(root)}\n"
        signature = _key_id(self.entries)[:4] + self.entries.sign(note.encode(), _ECDSA)
        proof = {
            "logIndex": 0,
            "rootHash": root.hex(),
            "treeSize": 1,
            "hashes": [],
            "checkpoint": f"{note}\n\u2014 127.0.0.1 {_text(signature)}\n",
        }
        stamp = _text(self.entries.sign(_canonical(promised), _ECDSA))
        verification = {"inclusionProof": proof, "signedEntryTimestamp": stamp}
        return {root.hex(): {**promised, "verification": verification}}


@contextmanager
def running() -> Iterator[Instance]:
    """Serve an instance until the block ends."""
    instance = Instance()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if instance.is_down:
                self.send_error(503)
                return
            if self.path == "/api/v2/signingCert":
                raw = self.headers["Authorization"].removeprefix("Bearer ")
                claims = raw.split(".")[1]
                claims += "=" * (-len(claims) % 4)
                answer = instance.certify(asked, json.loads(base64.urlsafe_b64decode(claims)))
            else:
                answer = instance.log(asked)
            content = json.dumps(answer).encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            del words

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        instance.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield instance


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _canonical(document: dict[str, Any]) -> bytes:
    """Return JSON as RFC 8785 has it, where there are but ASCII and whole numbers."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _hash(content: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
