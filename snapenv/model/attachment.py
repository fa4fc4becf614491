"""What is said of an image in its registry: documents of their own, attached to its digest.

Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md (``subject``), and
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from snapenv.model.artifact import Artifact
from snapenv.model.oci import (
    EMPTY_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA,
    TITLE,
    Descriptor,
    Index,
    Manifest,
    encode,
    sha256_digest,
)

SBOM_TYPE = "application/vnd.cyclonedx+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"  # a signed statement
PROVENANCE = "https://slsa.dev/provenance/v1"  # kinds of statements
VERIFICATION = "https://snapenv.io/verification/v1"
PREDICATE = "in-toto.io/predicate-type"  # an annotation of a statement, as BuildKit writes it
BUNDLE_PREDICATE = "dev.sigstore.bundle.predicateType"  # of a bundle, as cosign writes it
BUNDLE_CONTENT = "dev.sigstore.bundle.content"  # likewise: "dsse-envelope"

_FALLBACK_TAG = re.compile(r"sha256-[0-9a-f]{64}(\.[a-z]+)?", re.ASCII)


class Attachment(Struct, frozen=True, kw_only=True):
    """A document that is about to be attached to an image."""

    media_type: str  # of the document, and the type of its artifact
    file: str  # what it is called once it is downloaded: "sbom.cdx.json"
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


class TrustedSigner(Struct, frozen=True, kw_only=True):
    """Whose signature counts: that of a key, or of an identity; of nobody, all statements count."""

    key: Path | None = None  # a public one
    identity: str | None = None  # as a certificate of Sigstore names it
    issuer: str | None = None  # the URL of who vouches for it

    @property
    def name(self) -> str | None:
        """Who that is, for people."""
        return str(self.key) if self.key else self.identity


def attachment_artifact(attachment: Attachment, subject: Descriptor) -> Artifact:
    """Return the artifact that attaches a document to what ``subject`` describes.

    The same document has the same bytes, so that it is attached once.
    """
    config = Descriptor(
        digest=sha256_digest(EMPTY_CONFIG), size=len(EMPTY_CONFIG), media_type=OCI_EMPTY
    )
    layer = Descriptor(
        digest=sha256_digest(attachment.content),
        size=len(attachment.content),
        media_type=attachment.media_type,
        annotations={TITLE: attachment.file},
    )
    manifest = Manifest(
        schema_version=SCHEMA,
        media_type=OCI_MANIFEST,
        artifact_type=attachment.media_type,
        config=config,
        layers=(layer,),
        subject=subject,
        annotations=dict(attachment.annotations),
    )
    return Artifact(
        manifest=encode(manifest),
        blobs={config.digest: EMPTY_CONFIG, layer.digest: attachment.content},
    )


def describe_artifact(manifest: bytes, attachment: Attachment) -> Descriptor:
    """Return the entry of an attachment in a list of referrers."""
    return Descriptor(
        digest=sha256_digest(manifest),
        size=len(manifest),
        media_type=OCI_MANIFEST,
        artifact_type=attachment.media_type,
        annotations=dict(attachment.annotations),
    )


def fallback_tag(digest: str) -> str:
    """Return the tag of the list of referrers, in a registry that keeps none itself."""
    return digest.replace(":", "-", 1)


def is_fallback_tag(tag: str) -> bool:
    """Tell a tag that lists referrers, or that cosign keeps signatures under, from an image's."""
    return _FALLBACK_TAG.fullmatch(tag) is not None


def with_referrers(index: Index | None, added: tuple[Descriptor, ...]) -> bytes:
    """Return a list of referrers that has these too, each once."""
    known = {entry.digest: entry for entry in (*(index.manifests if index else ()), *added)}
    return encode(
        Index(
            schema_version=SCHEMA,
            media_type=OCI_INDEX,
            manifests=tuple(known.values()),
            annotations=index.annotations if index else {},
        )
    )
