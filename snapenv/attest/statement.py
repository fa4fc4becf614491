"""Statements on an image: how it was built, and that it was verified to be what was captured.

Sources: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://slsa.dev/spec/v1.0/provenance
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import Struct, field

from snapenv.json_text import read_json
from snapenv.model.attachment import PROVENANCE, VERIFICATION
from snapenv.model.exports import ExportFormat
from snapenv.model.wheels import Pinned, Vendored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.exports import Export
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.hardware import Hardware
    from snapenv.model.image import ImageRef
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Lock

STATEMENT = "https://in-toto.io/Statement/v1"
BUILD_TYPE = "https://snapenv.io/build/v1"
BUILDER = "https://snapenv.io/builder/v1"  # snapenv, on whatever machine it ran

P = TypeVar("P")


class Resource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something by its digest, and where it comes from."""

    name: str | None = None
    uri: str | None = None
    digest: Mapping[str, str] = field(default_factory=dict)  # "sha256" to hex


class Statement(Struct, Generic[P], frozen=True, kw_only=True):
    """What is said of ``subject``, by its digest."""

    type_: str = field(default=STATEMENT, name="_type")
    subject: tuple[Resource, ...]
    predicate_type: str = field(name="predicateType")
    predicate: P


class Machine(Struct, frozen=True, kw_only=True):
    """Hardware on which the smoke-train ran; no name of a machine, no serial number."""

    processor: str | None  # the model
    gpus: tuple[str, ...]  # the models, in the driver's order
    driver: str | None  # the version


class Losses(Struct, frozen=True, kw_only=True):
    """The losses of one smoke-train: a sha256 over their ``float.hex``, a line each, and a count.

    ``device`` is "cpu" or the GPU's name.
    """

    sha256: str
    steps: int
    device: str


class VerifiedExport(Struct, frozen=True, kw_only=True):
    """What an export came to beside torch; no figures where it could not be compared."""

    format: ExportFormat
    passed: bool
    runtime: str | None = None  # that ran it, with its version
    device: str | None = None  # "cpu", or the GPU's name
    tolerance: float | None = None  # that neither difference may exceed
    box_difference: float | None = None  # the largest, as a share of the image's side
    score_difference: float | None = None  # the largest of a class, of 0 to 1
    boxes: int | None = None  # that were looked for
    matched: int | None = None  # of these


class Verification(Struct, frozen=True, kw_only=True):
    """That an image was compared with its snapshot, and trained in; and what came of it."""

    snapenv: str  # the version that verified
    snapshot: str  # the digest
    tag: str
    passed: bool
    tier: str | None  # of the losses: "identical", "close", …; None without a smoke-train
    failed_checks: tuple[str, ...] = ()  # ids
    expected: Losses | None = None  # of the capture
    actual: Losses | None = None  # of the verification
    captured_on: Machine
    verified_on: Machine
    date: str  # of the verification, RFC 3339
    exports: tuple[VerifiedExport, ...] = ()  # that were asked for; older ones have none

    def has_exports(self, formats: Sequence[ExportFormat]) -> bool:
        """Return whether exports to all of these formats were tried and passed."""
        return {each.format for each in self.exports if each.passed}.issuperset(formats)


def subject_of(image: ImageRef) -> Resource:
    """Return an image of a registry as the subject of a statement."""
    return Resource(name=image.repository, digest=_digest(str(image.digest)))


def make_provenance(
    lock: Lock, *, image: ImageRef, base: ImageRef, snapshot: str, sbom: bytes
) -> bytes:
    """Return the statement that an image was built of a snapshot, of a base and of wheels.

    ``image`` and ``base`` have their digests. It has no times: the same build says the same.
    """
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"snapshot": snapshot, "tag": lock.tag},
            "resolvedDependencies": [
                Resource(name="base", uri=f"docker://{base}", digest=_digest(str(base.digest))),
                Resource(name="snapshot", digest=_digest(snapshot)),
                *_wheels(lock),
            ],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"snapenv": lock.snapenv}},
            "byproducts": [
                Resource(name="sbom.cdx.json", digest={"sha256": hashlib.sha256(sbom).hexdigest()})
            ],
        },
    }
    return _encode(image, PROVENANCE, predicate)


def make_verification(image: ImageRef, verification: Verification) -> bytes:
    """Return the statement that an image, which has its digest, was verified."""
    return _encode(image, VERIFICATION, verification)


def read_verification(statement: bytes, *, digest: str) -> Verification | None:
    """Read a statement that anybody may have attached to an image of this digest.

    None where it is of another kind, of another image, or damaged.
    """
    try:
        read = read_json(statement, Statement[msgspec.Raw])
        if read.type_ != STATEMENT or read.predicate_type != VERIFICATION:
            return None
        if _digest(digest) not in [subject.digest for subject in read.subject]:
            return None
        return read_json(bytes(read.predicate), Verification)
    except ValueError:
        return None


def losses_of(fingerprint: Fingerprint | None) -> Losses | None:
    """Return what is said of a smoke-train."""
    if fingerprint is None:
        return None
    lines = "".join(f"{loss}\n" for loss in fingerprint.losses)
    return Losses(
        sha256=hashlib.sha256(lines.encode()).hexdigest(),
        steps=len(fingerprint.losses),
        device=fingerprint.conditions.device,
    )


def machine_of(hardware: Hardware) -> Machine:
    """Return what is said of a machine."""
    return Machine(
        processor=hardware.system.cpu,
        gpus=tuple(gpu.name for gpu in hardware.gpus),
        driver=hardware.driver.version if hardware.driver else None,
    )


def exports_of(exports: Sequence[Export], failed: Sequence[str]) -> tuple[VerifiedExport, ...]:
    """Return what is said of exports; ``failed`` are ids of checks. Why one failed stays here."""
    return tuple(
        VerifiedExport(
            format=each.format,
            passed=f"export.{each.format}" not in failed,
            runtime=each.runtime,
            device=each.device,
            tolerance=each.tolerance,
            box_difference=each.box_difference,
            score_difference=each.score_difference,
            boxes=each.boxes,
            matched=each.matched,
        )
        for each in exports
    )


def failed_checks(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return the ids of those that fail, sorted, each once."""
    return tuple(sorted({check.id for check in checks if check.fails}))


def _encode(image: ImageRef, predicate_type: str, predicate: object) -> bytes:
    statement = Statement[Any](
        subject=(subject_of(image),), predicate_type=predicate_type, predicate=predicate
    )
    return msgspec.json.encode(statement, order="sorted")


def _wheels(lock: Lock) -> Iterator[Resource]:
    for name, locked in sorted(lock.packages.items()):
        match locked:
            case Pinned(wheel=wheel):
                yield Resource(name=name, uri=wheel.url, digest={"sha256": wheel.sha256})
            case Vendored(wheel=rebuilt) if rebuilt:
                yield Resource(name=name, digest={"sha256": rebuilt.sha256})
            case _:
                pass


def _digest(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}
