"""The documents of an image as registries and image layouts hold them, to be read and written.

Source: https://github.com/opencontainers/image-spec/blob/main/media-types.md
Source: https://distribution.github.io/distribution/spec/manifest-v2-2/ (what Docker calls them)
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Struct

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"  # not packed
OCI_EMPTY = "application/vnd.oci.empty.v1+json"  # the config of what is no image
EMPTY_CONFIG = b"{}"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFESTS = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)

SCHEMA = 2
LINUX = "linux"
REF_NAME = "org.opencontainers.image.ref.name"  # an annotation: the tag
TITLE = "org.opencontainers.image.title"  # an annotation of a layer: the name of its file
CREATED = "org.opencontainers.image.created"  # an annotation: RFC 3339

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]


class Platform(Struct, frozen=True, omit_defaults=True):
    """For which kind of machine an image is."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a document says of another, or of a layer."""

    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0)]
    media_type: str | None = None
    platform: Platform | None = None
    artifact_type: str | None = None  # of an artifact's manifest
    annotations: dict[str, str] = {}


class Manifest(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The manifest of one image, layers bottom first; or of an artifact, which names its type."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str | None = None
    schema_version: int = 0
    artifact_type: str | None = None
    subject: Descriptor | None = None  # what an artifact says something of
    annotations: dict[str, str] = {}


class Index(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The images of one name."""

    manifests: tuple[Descriptor, ...]
    media_type: str | None = None
    schema_version: int = 0
    annotations: dict[str, str] = {}


class RootFs(Struct, frozen=True):
    """The layers, unpacked, bottom first."""

    diff_ids: tuple[Digest, ...]


class RunConfig(Struct, frozen=True, rename="pascal"):
    """What a container of the image starts with."""

    env: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None


class Config(Struct, frozen=True):
    """The config of an image."""

    architecture: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+\Z")]
    rootfs: RootFs
    created: str | None = None
    config: RunConfig | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return (self.config and self.config.labels) or {}

    @property
    def variables(self) -> dict[str, str]:
        """The variables that a container of the image starts with."""
        lines = (self.config and self.config.env) or ()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}


def sha256_digest(content: bytes) -> str:
    """Return what a registry calls these bytes: ``sha256:`` and hex digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encode(document: Manifest | Index) -> bytes:
    """Write a document; the same one has the same bytes."""
    return msgspec.json.encode(document, order="sorted")
