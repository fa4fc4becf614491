"""Attach documents to an image in its registry, and read what others have attached."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Literal

from snapenv import __version__
from snapenv.attest.bundle import read_bundle
from snapenv.attest.statement import (
    Verification,
    exports_of,
    failed_checks,
    losses_of,
    machine_of,
    make_provenance,
    make_verification,
    read_verification,
)
from snapenv.errors import (
    EngineError,
    InterpreterError,
    NotFoundError,
    NotVerifiedError,
    ProbeError,
    RegistryError,
    UsageError,
)
from snapenv.model.attachment import (
    BUNDLE_CONTENT,
    BUNDLE_PREDICATE,
    BUNDLE_TYPE,
    PREDICATE,
    PROVENANCE,
    SBOM_TYPE,
    STATEMENT_TYPE,
    VERIFICATION,
    Attachment,
    TrustedSigner,
)
from snapenv.model.image import ImageRef
from snapenv.model.results import Attached
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, IMAGE_PYTHON

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.attest.keyless import KeylessSigner, KeylessVerifier
    from snapenv.attest.signing import Signer, Verifier
    from snapenv.model.exports import ExportFormat
    from snapenv.model.image import Image
    from snapenv.model.oci import Descriptor
    from snapenv.model.snapshot import Snapshot
    from snapenv.model.wheel_sbom import WheelSbom
    from snapenv.ports import Services
    from snapenv.steps.prove import Proved

    StatementSigner = Signer | KeylessSigner
    StatementVerifier = Verifier | KeylessVerifier

PASSWORD_VARIABLE = "SNAPENV_SIGN_PASSWORD"  # noqa: S105 - the name of a variable

_MOST_BYTES = 1 << 20  # of a statement that anybody may have attached
_MOST_STATEMENTS = 50  # that are read, the last ones first
_EXTRAS = {"cryptography": "sign", "sigstore": "sigstore"}
_FILES = {PROVENANCE: "provenance.json", VERIFICATION: "verification.json"}


def read_signer(key: Path | None, *, keyless: bool) -> StatementSigner | None:
    """Return what signs statements: a private key, or this machine's identity; None for nothing.

    Raises:
        KeyFileError: The key cannot be used.
        SigstoreError: There is no identity, or Sigstore's keys cannot be had.
        UsageError: What signs is not installed, or both are asked for.
    """
    if key and keyless:
        raise UsageError("--sign and --sign-key are two ways to sign", hint="Leave one out.")
    if keyless:
        _require("sigstore", "an identity")
        from snapenv.attest.keyless import public_signer

        return public_signer()
    if key is None:
        return None
    _require("cryptography", "a key")
    from snapenv.attest.signing import read_signer as read_key

    return read_key(key, os.environ.get(PASSWORD_VARIABLE))


def attach_build(
    ref: ImageRef,
    image: Image,
    snapshot: Snapshot,
    services: Services,
    *,
    signer: StatementSigner | None,
) -> tuple[tuple[Attached, ...], tuple[str, ...]]:
    """Attach to an image that was pushed what is in it, and what made it; with warnings.

    ``ref`` has the digest. Of an image without the labels of a build there is nothing to say.

    Raises:
        RegistryError: The registry takes no such documents.
    """
    name, digest = (image.labels.get(label) for label in (BASE_NAME_LABEL, BASE_DIGEST_LABEL))
    if not (name and digest):
        return (), ()
    from snapenv.attest.sbom import FILE, make_sbom

    base = ImageRef.parse(name).at(digest)
    with services.progress.task(f"Attaching an SBOM and provenance to {ref.tagged}") as task:
        carried, warnings = _carried_sboms(image, services)
        sbom = make_sbom(snapshot.lock, snapshot=snapshot.digest, base=base, carried=carried)
        provenance = make_provenance(
            snapshot.lock, image=ref, base=base, snapshot=snapshot.digest, sbom=sbom.content
        )
        documents = (
            Attachment(media_type=SBOM_TYPE, file=FILE, content=sbom.content),
            _statement(provenance, PROVENANCE, signer),
        )
        entries = services.registry.attach(ref, documents, task)
    return tuple(map(attached, entries)), (*warnings, *sbom.warnings)


def _carried_sboms(
    image: Image, services: Services
) -> tuple[tuple[WheelSbom, ...], tuple[str, ...]]:
    """Read the bills in the wheels of an image; one that does not run is told."""
    from snapenv.probe.sboms import find_sboms

    target = services.engine.image_target(image, python=IMAGE_PYTHON, gpus=None)
    try:
        return find_sboms(target), ()
    except (EngineError, InterpreterError, ProbeError) as error:
        return (), (f"SBOMs that packages carry are not in that of the image: {error.message}",)


def attach_proof(
    ref: ImageRef, verification: Verification, services: Services, *, signer: StatementSigner | None
) -> Attached:
    """Attach to an image in a registry that it was verified; ``ref`` has the digest.

    Raises:
        RegistryError: The registry does not answer, or takes no such documents.
    """
    document = _statement(make_verification(ref, verification), VERIFICATION, signer)
    with services.progress.task(f"Attaching the verification to {ref.tagged}") as task:
        (entry,) = services.registry.attach(ref, (document,), task)
    return attached(entry)


def verification_of(snapshot: Snapshot, proved: Proved, *, date: str) -> Verification:
    """Return what a proof has found; ``date`` is RFC 3339."""
    failed = failed_checks(proved.checks)
    return Verification(
        snapenv=__version__,
        snapshot=snapshot.digest,
        tag=snapshot.lock.tag,
        passed=proved.verdict.ok,
        tier=proved.tier,
        failed_checks=failed,
        expected=losses_of(proved.baseline if proved.fingerprint else None),
        actual=losses_of(proved.fingerprint),
        captured_on=machine_of(snapshot.lock.hardware),
        verified_on=machine_of(proved.facts.hardware),
        date=date,
        exports=exports_of(proved.exports, failed),
    )


def find_registry_name(ref: ImageRef, image: Image) -> ImageRef | None:
    """Return the name of a local image in its registry, with its digest there, if it has one."""
    prefix = f"{ref.repository}@"
    digests = (name.removeprefix(prefix) for name in image.digests if name.startswith(prefix))
    return next((ref.at(digest) for digest in digests), None)


def registry_name(ref: ImageRef, image: Image) -> ImageRef:
    """Return the name of a local image in its registry, with its digest there.

    Raises:
        NotFoundError: It was neither pushed nor pulled under this name.
    """
    name = find_registry_name(ref, image)
    if name:
        return name
    raise NotFoundError(
        f"{ref.tagged} is on this machine alone",
        hint="Push it first: snapenv build SNAPSHOT --repository REPOSITORY --push",
    )


def list_attached(ref: ImageRef, services: Services) -> tuple[Attached, ...]:
    """Return what is attached to an image by its digest; nothing where nobody tells."""
    try:
        return tuple(map(attached, services.registry.attachments(ref)))
    except RegistryError:
        return ()


def require_verified(
    ref: ImageRef,
    snapshot: str,
    services: Services,
    *,
    signer: TrustedSigner,
    exports: Sequence[ExportFormat] = (),
) -> Verification:
    """Return the last verification of an image in a registry that passed with a smoke-train.

    ``ref`` has the digest, ``snapshot`` is that of the image's label. Only what ``signer`` has
    signed counts; of nobody, anybody who may push can have written it. All of ``exports``
    must have been tried, and have passed.

    Raises:
        KeyFileError: The key cannot be used.
        NotVerifiedError: There is none.
        RegistryError: The registry does not answer.
        UsageError: What checks signatures is not installed.
    """
    verifier = _verifier(signer)
    with services.progress.task(f"Reading what is attached to {ref.tagged}"):
        verifications = [
            verification
            for entry in _statements(ref, services)
            if (verification := _read(ref, entry, verifier, services))
            and verification.snapshot == snapshot
        ]
    good = [
        each
        for each in verifications
        if each.passed and each.tier not in {None, "different"} and each.has_exports(exports)
    ]
    if good:
        return max(good, key=lambda each: each.date)
    signed = f" that {signer.name} has signed" if signer.name else ""
    words = " --sign-key FILE" if signer.key else " --sign" if signer.identity else ""
    exported = f" with exports to {', '.join(exports)}" if exports else ""
    raise NotVerifiedError(
        f"{ref} has no verification{signed} that passed{exported}"
        + (f": {len(verifications)} did not" if verifications else ""),
        hint="Where it was verified: snapenv verify REF --attest"
        + (f" --exports {','.join(exports)}" if exports else "")
        + words,
    )


def attached(entry: Descriptor) -> Attached:
    """Return what is shown of an attachment."""
    predicate = entry.annotations.get(PREDICATE) or entry.annotations.get(BUNDLE_PREDICATE)
    return Attached(
        type=entry.artifact_type or "unknown",
        predicate=predicate,
        signed=entry.artifact_type == BUNDLE_TYPE,
        digest=entry.digest,
        size_bytes=entry.size,
    )


def _statement(statement: bytes, predicate: str, signer: StatementSigner | None) -> Attachment:
    file = _FILES[predicate]
    if signer is None:
        return Attachment(
            media_type=STATEMENT_TYPE,
            file=file,
            content=statement,
            annotations={PREDICATE: predicate},
        )
    return Attachment(
        media_type=BUNDLE_TYPE,
        file=f"{file.removesuffix('.json')}.sigstore.json",
        content=signer.sign(statement),
        annotations={BUNDLE_CONTENT: "dsse-envelope", BUNDLE_PREDICATE: predicate},
    )


def _statements(ref: ImageRef, services: Services) -> list[Descriptor]:
    entries = [
        entry
        for entry in services.registry.attachments(ref)
        if entry.artifact_type in {STATEMENT_TYPE, BUNDLE_TYPE}
        and entry.size <= _MOST_BYTES
        and attached(entry).predicate in {VERIFICATION, None}
    ]
    return entries[-_MOST_STATEMENTS:]


def _read(
    ref: ImageRef, entry: Descriptor, verifier: StatementVerifier | None, services: Services
) -> Verification | None:
    """Read a verification; None where it is none, or not signed by the key that counts."""
    document = services.registry.read_attachment(ref, entry)
    if verifier:
        statement = verifier.statement(document)
    elif entry.artifact_type == BUNDLE_TYPE:
        signed = read_bundle(document)
        statement = signed.statement if signed else None
    else:
        statement = document
    return read_verification(statement, digest=str(ref.digest)) if statement else None


def _verifier(signer: TrustedSigner) -> StatementVerifier | None:
    if signer.key:
        _require("cryptography", "a key")
        from snapenv.attest.signing import read_verifier

        return read_verifier(signer.key)
    if signer.identity and signer.issuer:
        _require("sigstore", "an identity")
        from snapenv.attest.keyless import public_verifier

        return public_verifier(identity=signer.identity, issuer=signer.issuer)
    return None


def _require(package: Literal["cryptography", "sigstore"], what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UsageError(
            f"{what} needs the package {package}, which is not installed beside snapenv",
            hint=f"Install it: pip install 'snapenv[{_EXTRAS[package]}]'",
        )
