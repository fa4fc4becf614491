"""Manifests, indexes and configs of images: read field by field, and never believed unchecked.

Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md
Source: https://distribution.github.io/distribution/spec/manifest-v2-2/
"""

from __future__ import annotations

import hashlib
import re
from typing import TypeVar

import msgspec

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFESTS = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_SCHEMA = 2
_SYSTEM = "linux"
_LEAST_LEVEL = {"amd64": 1, "arm64": 8}

Document = TypeVar("Document")


class DocumentError(Exception):
    """What was served is not what it should be: ``what`` follows "serves" in a sentence."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What a manifest says of a part."""

    digest: str
    size: int
    media_type: str | None = None


class Platform(msgspec.Struct, frozen=True):
    """For which kind of machine an image is."""

    architecture: str = ""
    os: str = ""
    variant: str = ""

    @property
    def level(self) -> int:
        """What of its kind a machine must be: 1 for any amd64, 3 for ``v3``; 8 for any arm64."""
        found = re.fullmatch(r"v(\d{1,2})", self.variant, re.ASCII)
        return int(found[1]) if found else _LEAST_LEVEL.get(self.architecture, 0)

    @property
    def name(self) -> str:
        """The kind of machine as people write it: ``amd64``, ``amd64/v3``."""
        plain = self.level == _LEAST_LEVEL.get(self.architecture, 0)
        return self.architecture if plain else f"{self.architecture}/{self.variant}"


class Entry(msgspec.Struct, frozen=True):
    """One image of an index."""

    digest: str
    platform: Platform = Platform()


class Manifest(msgspec.Struct, frozen=True):
    """The manifest of one image; layers bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class Index(msgspec.Struct, frozen=True):
    """The images of one name."""

    manifests: tuple[Entry, ...]


class RootFs(msgspec.Struct, frozen=True):
    """The layers, unpacked, bottom first."""

    diff_ids: tuple[str, ...] = ()


class RunConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """What a container of the image starts with."""

    env: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None


class Config(msgspec.Struct, frozen=True):
    """The config of an image."""

    architecture: str
    rootfs: RootFs
    created: str | None = None
    config: RunConfig | None = None


class TagList(msgspec.Struct, frozen=True):
    """A page of tags."""

    tags: tuple[str, ...] | None = None


class Token(msgspec.Struct, frozen=True):
    """What an authority answers; either name is in use."""

    token: str = ""
    access_token: str = ""


class _Kind(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str = ""
    schema_version: int = 0
    manifests: object = None


def sha256_digest(content: bytes) -> str:
    """Return what a registry would name these bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def parse(content: bytes, kind: type[Document], *, what: str) -> Document:
    """Read a document of a known form.

    Raises:
        DocumentError: It is not of this form; the place in it is named.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"a damaged {what}: {error}") from error


def parse_manifest(content: bytes, media_type: str) -> Manifest | Index:
    """Read the manifest of an image, or of several.

    Raises:
        DocumentError: It is neither, or of the form before 2016.
    """
    kind = parse(content, _Kind, what="manifest")
    named = kind.media_type or media_type.partition(";")[0].strip()
    if kind.schema_version != _SCHEMA:
        raise DocumentError("a manifest of a form that is not known: push the image again")
    if named in {OCI_INDEX, DOCKER_LIST} or (named not in MANIFESTS and kind.manifests):
        return _checked_index(parse(content, Index, what="index"))
    manifest = parse(content, Manifest, what="manifest")
    for part in (manifest.config, *manifest.layers):
        _check_digest(part.digest)
        if part.size < 0:
            raise DocumentError("a damaged manifest: a size below 0")
    return manifest


def choose(index: Index, machine: str) -> str | None:
    """Return the digest of an index's image for a kind of machine: ``amd64``, or ``amd64/v3``.

    Engines take the first that every machine of the kind can run. Which of the others they take, if
    any, depends on the processor and on their version; the least demanding stands for them, where
    the very one is not named.
    Source: https://github.com/containerd/platforms/blob/main/compare.go
    """
    kind, _, variant = machine.partition("/")
    level = Platform(architecture=kind, variant=variant).level
    fitting = [
        one
        for one in index.manifests
        if (one.platform.os, one.platform.architecture) == (_SYSTEM, kind)
    ]
    order = sorted(fitting, key=lambda one: (one.platform.level != level, one.platform.level))
    return order[0].digest if order else None


def machines(index: Index) -> tuple[str, ...]:
    """List the kinds of machine that an index has images for, sorted."""
    found = {one.platform.name for one in index.manifests if one.platform.os == _SYSTEM}
    return tuple(sorted(found))


def _checked_index(index: Index) -> Index:
    for one in index.manifests:
        _check_digest(one.digest)
    return index


def _check_digest(text: str) -> None:
    if not _DIGEST.fullmatch(text):
        raise DocumentError(f"a damaged manifest: {text[:80]!r} is no sha256 digest")
