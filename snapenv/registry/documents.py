"""What registries serve: read field by field, and never believed unchecked."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from snapenv.json_text import read_json
from snapenv.model.oci import (
    DOCKER_LIST,
    LINUX,
    MANIFESTS,
    OCI_INDEX,
    SCHEMA,
    Index,
    Manifest,
    Platform,
)

_LEAST_LEVEL = {"amd64": 1, "arm64": 8}

Document = TypeVar("Document")


class DocumentError(Exception):
    """What was served is not what it should be: ``what`` follows "serves" in a sentence."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


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


def parse(content: bytes, kind: type[Document], *, what: str) -> Document:
    """Read a document of a known form.

    Raises:
        DocumentError: It is not of this form; the place in it is named.
    """
    try:
        return read_json(content, kind)
    except ValueError as error:
        raise DocumentError(f"a damaged {what}: {error}") from error


def parse_manifest(content: bytes, media_type: str) -> Manifest | Index:
    """Read the manifest of an image, or of several.

    Raises:
        DocumentError: It is neither, or of the form before 2016.
    """
    kind = parse(content, _Kind, what="manifest")
    named = kind.media_type or media_type.partition(";")[0].strip()
    if kind.schema_version != SCHEMA:
        raise DocumentError("a manifest of a form that is not known: push the image again")
    if named in {OCI_INDEX, DOCKER_LIST} or (named not in MANIFESTS and kind.manifests):
        return parse(content, Index, what="index")
    return parse(content, Manifest, what="manifest")


def choose(index: Index, machine: str) -> str | None:
    """Return the digest of an index's image for a kind of machine: ``amd64``, or ``amd64/v3``.

    Engines take the first that every machine of the kind can run. Which of the others they take, if
    any, depends on the processor and on their version; the least demanding stands for them, where
    the very one is not named.
    Source: https://github.com/containerd/platforms/blob/main/compare.go
    """
    architecture, _, variant = machine.partition("/")
    wanted = _level(Platform(architecture=architecture, variant=variant))
    levels = [
        (_level(image.platform), image.digest)
        for image in index.manifests
        if image.platform
        and (image.platform.os, image.platform.architecture) == (LINUX, architecture)
    ]
    fitting = sorted(levels, key=lambda image: (image[0] != wanted, image[0]))
    return fitting[0][1] if fitting else None


def machines(index: Index) -> tuple[str, ...]:
    """List the kinds of machine that an index has images for, sorted."""
    platforms = (image.platform for image in index.manifests if image.platform)
    return tuple(sorted({_name(platform) for platform in platforms if platform.os == LINUX}))


def _level(platform: Platform) -> int:
    """Return what of its kind a machine must be: 1 for any amd64, 3 for ``v3``; 8 for any arm64."""
    number = re.fullmatch(r"v(\d{1,2})", platform.variant, re.ASCII)
    return int(number[1]) if number else _LEAST_LEVEL.get(platform.architecture, 0)


def _name(platform: Platform) -> str:
    """Return the kind of machine as people write it: ``amd64``, ``amd64/v3``."""
    plain = _level(platform) == _LEAST_LEVEL.get(platform.architecture, 0)
    return platform.architecture if plain else f"{platform.architecture}/{platform.variant}"
