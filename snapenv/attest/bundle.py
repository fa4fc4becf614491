"""Sigstore bundles, version 0.3: a statement with its signature, as cosign reads them.

Sources: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto and
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

import base64

import msgspec
from msgspec import Struct

from snapenv.json_text import read_json
from snapenv.model.attachment import BUNDLE_TYPE, STATEMENT_TYPE


class Signed(Struct, frozen=True, kw_only=True):
    """A statement, and the signatures over it, by whatever keys."""

    statement: bytes
    signatures: tuple[bytes, ...]


class _Hint(Struct, frozen=True, kw_only=True):
    hint: str


class _Material(Struct, frozen=True, kw_only=True, rename="camel"):
    public_key: _Hint | None = None  # of one without keys there is a certificate


class _Signature(Struct, frozen=True, kw_only=True):
    sig: str  # base64


class _Envelope(Struct, frozen=True, kw_only=True, rename="camel"):
    payload: str  # base64
    payload_type: str
    signatures: tuple[_Signature, ...]


class _Bundle(Struct, frozen=True, kw_only=True, rename="camel"):
    dsse_envelope: _Envelope
    media_type: str
    verification_material: _Material | None = None


def write_bundle(signed: Signed, *, key_digest: bytes) -> bytes:
    """Return a bundle; ``key_digest`` is the sha256 of the public key in DER, a hint."""
    return msgspec.json.encode(
        _Bundle(
            media_type=BUNDLE_TYPE,
            verification_material=_Material(public_key=_Hint(hint=_base64(key_digest))),
            dsse_envelope=_Envelope(
                payload=_base64(signed.statement),
                payload_type=STATEMENT_TYPE,
                signatures=tuple(_Signature(sig=_base64(each)) for each in signed.signatures),
            ),
        )
    )


def read_bundle(content: bytes) -> Signed | None:
    """Read a bundle, whose signatures nobody has checked; None where it is none of a statement."""
    try:
        bundle = read_json(content, _Bundle)
        envelope = bundle.dsse_envelope
        if (bundle.media_type, envelope.payload_type) != (BUNDLE_TYPE, STATEMENT_TYPE):
            return None
        return Signed(
            statement=base64.b64decode(envelope.payload, validate=True),
            signatures=tuple(
                base64.b64decode(each.sig, validate=True) for each in envelope.signatures
            ),
        )
    except ValueError:  # also of base64
        return None


def signed_bytes(statement: bytes) -> bytes:
    """Return what is signed of a statement: DSSE's pre-authentication encoding."""
    kind = STATEMENT_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(statement), statement)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
