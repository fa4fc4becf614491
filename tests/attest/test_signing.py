"""Signatures of key files: ours are checked by ours and by cosign, and nobody else's count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from inline_snapshot import snapshot as wording

from snapenv.attest.bundle import read_bundle
from snapenv.attest.signing import read_signer, read_verifier
from snapenv.errors import KeyFileError
from tests.attest.keys import write_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STATEMENT = b'{"_type": "https://in-toto.io/Statement/v1"}'
KINDS: dict[str, Callable[[], ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey]] = {
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture(params=list(KINDS))
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, KINDS[request.param]())


def test_a_signed_statement_is_read_with_the_public_key(keys: tuple[Path, Path]) -> None:
    private, public = keys

    bundle = read_signer(private, None).sign(STATEMENT)

    assert read_verifier(public).statement(bundle) == STATEMENT


def test_the_signature_of_another_key_does_not_count(
    keys: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle = read_signer(keys[0], None).sign(STATEMENT)

    for name, kind in KINDS.items():
        _, other = write_keys(tmp_path / name, kind())
        assert read_verifier(other).statement(bundle) is None


def test_a_changed_statement_does_not_count(keys: tuple[Path, Path]) -> None:
    private, public = keys
    bundle = json.loads(read_signer(private, None).sign(STATEMENT))
    bundle["dsseEnvelope"]["payload"] = "e30="  # {}

    changed = json.dumps(bundle).encode()

    signed = read_bundle(changed)
    assert signed
    assert signed.statement == b"{}"
    assert read_verifier(public).statement(changed) is None


@pytest.mark.parametrize(
    ("change", "value"),
    [("payload", "no base64!"), ("payloadType", "text/plain"), ("signatures", "none")],
)
def test_what_is_no_bundle_of_a_statement_is_none(
    keys: tuple[Path, Path], change: str, value: str
) -> None:
    private, public = keys
    bundle = json.loads(read_signer(private, None).sign(STATEMENT))
    bundle["dsseEnvelope"][change] = value

    content = json.dumps(bundle).encode()

    assert read_bundle(content) is None
    assert read_verifier(public).statement(content) is None


def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, KINDS["ed25519"](), password="long and secret")

    bundle = read_signer(private, "long and secret").sign(STATEMENT)

    assert read_verifier(public).statement(bundle) == STATEMENT
    for password, problem in ((None, "is encrypted"), ("wrong", "its password is wrong")):
        with pytest.raises(KeyFileError) as caught:
            read_signer(private, password)
        assert problem in caught.value.message
        assert "long and secret" not in caught.value.message + caught.value.hint


def test_keys_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = write_keys(tmp_path, other)
    damaged, cosign = tmp_path / "damaged", tmp_path / "cosign.key"
    damaged.write_text("no key")
    cosign.write_text("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nabc\n")

    said = []
    for path in (private, damaged, cosign, tmp_path / "absent"):
        with pytest.raises(KeyFileError) as caught:
            read_signer(path, None)
        said.append(caught.value.message.removeprefix(f"cannot read {tmp_path}/"))
    for path in (public, damaged):
        with pytest.raises(KeyFileError):
            read_verifier(path)

    assert [message.removeprefix(f"{tmp_path}/") for message in said] == wording(
        [
            "key.pem holds a key of another kind",
            "damaged is not a private key, or its password is wrong",
            "cosign.key is a private key in a format that only cosign reads",
            "absent: No such file or directory",
        ]
    )
