"""Signatures of key files: ECDSA of the curve P-256 over SHA-256, and Ed25519."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from snapenv.attest.bundle import Signed, read_bundle, signed_bytes, write_bundle
from snapenv.errors import KeyFileError

if TYPE_CHECKING:
    from pathlib import Path

_ECDSA = ECDSA(hashes.SHA256())
_KINDS = "an ECDSA key of the curve P-256, or one of Ed25519, in PEM"
_COSIGN = b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY"


class Signer:
    """Signs statements with a private key."""

    def __init__(self, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, statement: bytes) -> bytes:
        """Return a bundle that holds a statement and its signature."""
        signed = signed_bytes(statement)
        signature = (
            self._key.sign(signed)
            if isinstance(self._key, Ed25519PrivateKey)
            else self._key.sign(signed, _ECDSA)
        )
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return write_bundle(
            Signed(statement=statement, signatures=(signature,)),
            key_digest=hashlib.sha256(public).digest(),
        )


class Verifier:
    """Checks signatures by a public key."""

    def __init__(self, key: EllipticCurvePublicKey | Ed25519PublicKey) -> None:
        self._key = key

    def statement(self, bundle: bytes) -> bytes | None:
        """Return the statement of a bundle; None where this key has not signed it."""
        read = read_bundle(bundle)
        if read is None:
            return None
        signed = signed_bytes(read.statement)
        is_good = any(self._is_good(signature, signed) for signature in read.signatures)
        return read.statement if is_good else None

    def _is_good(self, signature: bytes, signed: bytes) -> bool:
        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, signed)
            else:
                self._key.verify(signature, signed, _ECDSA)
        except InvalidSignature:
            return False
        return True


def read_signer(path: Path, password: str | None) -> Signer:
    """Read a private key, which may be encrypted.

    Raises:
        KeyFileError: It cannot be read, is of another kind, or the password is wrong.
    """
    content = _read(path)
    if content.startswith(_COSIGN):
        raise KeyFileError(
            f"{path} is a private key in a format that only cosign reads",
            hint="Make one with: openssl genpkey -algorithm ed25519 -out FILE",
        )
    try:
        key = serialization.load_pem_private_key(content, password.encode() if password else None)
    except TypeError as error:  # a password for a key without one, or none for a key with one
        raise KeyFileError(
            f"{path} is not encrypted" if password else f"{path} is encrypted",
            hint="Set SNAPENV_SIGN_PASSWORD to the password of the key, where it has one.",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path} is not a private key, or its password is wrong", hint=f"Name {_KINDS}."
        ) from error
    if isinstance(key, Ed25519PrivateKey) or (
        isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    ):
        return Signer(key)
    raise _other_kind(path)


def read_verifier(path: Path) -> Verifier:
    """Read a public key.

    Raises:
        KeyFileError: It cannot be read, or is of another kind.
    """
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} is not a public key", hint=f"Name {_KINDS}.") from error
    if isinstance(key, Ed25519PublicKey) or (
        isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    ):
        return Verifier(key)
    raise _other_kind(path)


def _other_kind(path: Path) -> KeyFileError:
    return KeyFileError(f"{path} holds a key of another kind", hint=f"Name {_KINDS}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(
            f"cannot read {path}: {error.strerror}", hint="Check its path, and who may read it."
        ) from error
