"""Signatures without keys, by an instance of Sigstore of our own: who signed, and that nobody else did."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from sigstore.models import ClientTrustConfig

from snapenv.attest.bundle import read_bundle
from snapenv.attest.keyless import (
    KeylessSigner,
    KeylessVerifier,
    public_signer,
    public_verifier,
    read_identity,
)
from snapenv.attest.statement import make_verification, read_verification
from snapenv.errors import SigstoreError
from tests.attest.sigstore_instance import IDENTITY, ISSUER, running, token
from tests.attest.verifications import DIGEST, IMAGE, VERIFICATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.attest.sigstore_instance import Instance

STATEMENT = make_verification(IMAGE, VERIFICATION)


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with running() as made:
        yield made


@pytest.fixture
def in_ci(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What GitLab gives a job."""
    for name in ("GITHUB_ACTIONS", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token())
    return monkeypatch


def verifier(instance: Instance, identity: str = IDENTITY, issuer: str = ISSUER) -> KeylessVerifier:
    return KeylessVerifier(instance.config.trusted_root, identity=identity, issuer=issuer)


@pytest.mark.usefixtures("in_ci")
def test_what_was_signed_is_read_by_who_trusts_the_identity(instance: Instance) -> None:
    bundle = KeylessSigner(instance.config).sign(STATEMENT)

    assert verifier(instance).statement(bundle) == STATEMENT
    assert verifier(instance, identity="https://example.com/other").statement(bundle) is None
    assert verifier(instance, issuer="https://other.example.com").statement(bundle) is None
    with running() as other:
        assert verifier(other).statement(bundle) is None
    read = read_bundle(bundle)
    assert read
    assert read.statement == STATEMENT
    assert len(instance.logged) == 1


@pytest.mark.usefixtures("in_ci")
def test_no_part_of_a_bundle_can_be_exchanged(instance: Instance) -> None:
    bundle = json.loads(KeylessSigner(instance.config).sign(STATEMENT))
    other = json.loads(KeylessSigner(instance.config).sign(STATEMENT))
    forged = STATEMENT.replace(b'"identical"', b'"different"')
    assert forged != STATEMENT

    def changed(*path: str | int, to: object) -> bytes:
        copy = json.loads(json.dumps(bundle))
        inner = copy
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to
        return json.dumps(copy).encode()

    material = other["verificationMaterial"]
    damaged = [
        changed("dsseEnvelope", "payload", to=base64.b64encode(forged).decode()),
        changed("dsseEnvelope", "signatures", to=other["dsseEnvelope"]["signatures"]),
        changed("verificationMaterial", "certificate", to=material["certificate"]),
        changed("verificationMaterial", "tlogEntries", to=material["tlogEntries"]),
        changed("verificationMaterial", "tlogEntries", to=[]),
        changed("verificationMaterial", "tlogEntries", 0, "integratedTime", to="1"),
        changed("dsseEnvelope", "payloadType", to="text/plain"),
    ]

    assert verifier(instance).statement(json.dumps(bundle).encode()) == STATEMENT
    assert [verifier(instance).statement(each) for each in damaged] == [None] * len(damaged)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000, b'{"mediaType": 1}', b"\xff"])
def test_what_is_no_bundle_counts_for_nothing(instance: Instance, content: bytes) -> None:
    assert verifier(instance).statement(content) is None


@pytest.mark.usefixtures("in_ci")
def test_a_verification_survives_being_signed(instance: Instance) -> None:
    bundle = KeylessSigner(instance.config).sign(STATEMENT)

    statement = verifier(instance).statement(bundle)

    assert statement
    assert read_verification(statement, digest=DIGEST) == VERIFICATION


def test_without_a_ci_there_is_no_identity(in_ci: pytest.MonkeyPatch) -> None:
    in_ci.delenv("GITLAB_CI")

    with pytest.raises(SigstoreError) as caught:
        read_identity()

    assert caught.value.message == wording(
        "there is no identity to sign with: this is no CI that gives one"
    )
    assert "--sign-key FILE" in caught.value.hint


def test_a_ci_that_gives_no_token_is_named(in_ci: pytest.MonkeyPatch) -> None:
    in_ci.delenv("SIGSTORE_ID_TOKEN")
    with pytest.raises(SigstoreError) as caught:
        read_identity()
    assert "SIGSTORE_ID_TOKEN" in caught.value.message

    in_ci.setenv("SIGSTORE_ID_TOKEN", "a secret that is no token")
    with pytest.raises(SigstoreError) as caught:
        read_identity()
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_an_instance_that_does_not_answer_is_named_and_no_token(
    instance: Instance, in_ci: pytest.MonkeyPatch
) -> None:
    in_ci.setattr(instance, "is_down", True)

    with pytest.raises(SigstoreError) as caught:
        KeylessSigner(instance.config).sign(STATEMENT)

    assert caught.value.message.startswith(
        "Sigstore has not signed: 503 Server Error: Service Unavailable for url: http://127.0.0.1:"
    )
    assert token()[:40] not in str(caught.value.__cause__)


def test_keys_that_cannot_be_fetched_are_named(in_ci: pytest.MonkeyPatch, tmp_path: object) -> None:
    in_ci.setenv("HOME", str(tmp_path))
    in_ci.setenv("https_proxy", "http://127.0.0.1:9")
    in_ci.setattr("sigstore.models.DEFAULT_TUF_URL", "https://127.0.0.1:9")

    for make in (public_signer, lambda: public_verifier(identity=IDENTITY, issuer=ISSUER)):
        with pytest.raises(SigstoreError) as caught:
            make()
        assert caught.value.message.startswith("the keys of Sigstore cannot be fetched: ")


def test_the_public_instance_is_what_is_asked(
    instance: Instance, in_ci: pytest.MonkeyPatch
) -> None:
    in_ci.setattr(ClientTrustConfig, "production", lambda: instance.config)

    bundle = public_signer().sign(STATEMENT)

    assert public_verifier(identity=IDENTITY, issuer=ISSUER).statement(bundle) == STATEMENT
