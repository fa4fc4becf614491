"""Names of images: references, the tag convention, and what an engine says of an image.

Source of the reference grammar: https://pkg.go.dev/github.com/distribution/reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.carried import Content

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?)"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_TAG = re.compile(
    r"(?P<purpose>[a-z][a-z0-9_.]*)"
    r"-(?P<framework>(?:yolov|torch|py)[0-9][A-Za-z0-9_.]*)"
    r"-(?P<level>[A-Za-z0-9_.]+)"
    r"-(?P<compute>cpu|cu[0-9]+)",
    re.ASCII,
)
_TAG_LENGTH = 128  # of the reference grammar
_KEPT = "replaced-"


class ImageRef(Struct, frozen=True, kw_only=True):
    """``repository[:tag][@sha256:…]``; the repository includes the registry's host."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Read a reference.

        Raises:
            ValueError: The text is not of the reference grammar.
        """
        parts = _REFERENCE.fullmatch(text)
        if parts is None:
            raise ValueError(_no_reference(text))
        return cls(**parts.groupdict())

    @property
    def registry(self) -> str | None:
        """The registry's host and port, or None for the engine's default registry."""
        host, slash, _ = self.repository.partition("/")
        return host if slash and (host == "localhost" or re.search("[.:A-Z]", host)) else None

    @property
    def path(self) -> str:
        """The repository without its registry: ``nvidia/pytorch``."""
        return self.repository.removeprefix(f"{self.registry}/")

    @property
    def tagged(self) -> str:
        """``repository:tag``, as an engine names a local image."""
        return f"{self.repository}:{self.tag}" if self.tag else self.repository

    def at(self, digest: str) -> ImageRef:
        """Pin this name to a digest."""
        return replace(self, digest=digest)

    def mirrored(self, mirror: str) -> ImageRef:
        """Name the same image below a mirror's ``HOST[/PREFIX]``; ``debian`` is library/debian."""
        is_official = self.registry is None and "/" not in self.path
        path = f"library/{self.path}" if is_official else self.path
        return replace(self, repository=f"{mirror.rstrip('/')}/{path}")

    def __str__(self) -> str:
        return self.tagged + (f"@{self.digest}" if self.digest else "")


def _no_reference(text: str) -> str:
    above, slash, name = text.rpartition("/")
    last, colon, tag = name.partition(":")
    lower = f"{above}{slash}{last}".lower() + colon + tag
    if _REFERENCE.fullmatch(lower):
        return f"{text!r} is not an image reference: a repository is in lower case, as in {lower}"
    return f"{text[:160]!r} is not an image reference, such as example.com/team/env:tag"


class Tag(Struct, frozen=True, kw_only=True):
    """``{purpose}-{framework}-{level}-{compute}``, for example ``train-yolov8.4.190-amp-cu118``."""

    purpose: str = "train"
    framework: str
    level: str = "base"
    compute: str

    def __post_init__(self) -> None:
        """Refuse parts that would not come back from the text.

        Raises:
            ValueError: A part is not of the grammar.
        """
        text = str(self)
        if len(text) > _TAG_LENGTH or self.purpose == "latest" or not _TAG.fullmatch(text):
            raise ValueError(f"{text!r} is not a tag of the form purpose-framework-level-compute")

    @classmethod
    def parse(cls, text: str) -> Tag:
        """Read a tag.

        Raises:
            ValueError: The text is not of the convention.
        """
        parts = _TAG.fullmatch(text)
        if parts is None:
            raise ValueError(f"{text!r} is not a tag of the form purpose-framework-level-compute")
        return cls(**parts.groupdict())

    def __str__(self) -> str:
        return f"{self.purpose}-{self.framework}-{self.level}-{self.compute}"


def tag_part(text: str) -> str:
    """Replace what a part of a tag may not hold by ``_``: ``2.6.0+debian`` is ``2.6.0_debian``."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", text)


def kept_tag(digest: str) -> str:
    """Return the tag that keeps what lost its own: ``replaced-`` and the digits of a digest.

    In a registry that is the manifest's digest, in an engine the image's id.
    """
    return f"{_KEPT}{digest.removeprefix('sha256:')}"


def is_kept_tag(tag: str) -> bool:
    """Return whether a tag keeps what lost its own, and so is no name that people use."""
    return tag.startswith(_KEPT)


Compression = Literal["gzip", "zstd"]
"""How the layers of an image are packed in a registry."""


class BuildContext(Struct, frozen=True, kw_only=True):
    """What a build is given: files by name, the Dockerfile among them, and labels.

    ``compression`` is that of new layers; a base's stay as they came. ``machine`` is the kind that
    the image is for, where the engine is to emulate it: ``arm64``.
    """

    files: Mapping[str, Content]
    labels: Mapping[str, str]
    dockerfile: str = "Dockerfile"
    compression: Compression = "gzip"
    machine: str | None = None


class Image(Struct, frozen=True, kw_only=True):
    """An image that an engine holds.

    ``id`` differs between storage back ends and is good for the engine that gave it alone;
    ``diff_ids`` (the layers, uncompressed, bottom first) are the same everywhere.
    """

    id: str
    diff_ids: tuple[str, ...]
    digests: tuple[str, ...] = ()  # as "repository@sha256:…", of the registries it came from
    labels: Mapping[str, str]
    variables: Mapping[str, str]  # its ENV
    machine: str  # "amd64"
    variant: str | None = None  # "v3": what of its kind a machine must be
    size_bytes: int
    entrypoint: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()  # its ONBUILD: instructions of a build that starts from it

    @property
    def platform(self) -> str:
        """The kind of machine with what it must be of it: ``amd64``, ``amd64/v3``."""
        return f"{self.machine}/{self.variant}" if self.variant else self.machine

    def digest_in(self, repository: str) -> str | None:
        """Return the digest that a repository gave the image, if it came from there."""
        prefix = f"{repository}@"
        known = (name.removeprefix(prefix) for name in self.digests if name.startswith(prefix))
        return next(known, None)


class Layer(Struct, frozen=True, kw_only=True):
    """One layer as a registry holds it: packed."""

    digest: str  # of the packed bytes
    size_bytes: int  # packed
    media_type: str | None = None  # "application/vnd.oci.image.layer.v1.tar+zstd"


class RemoteImage(Struct, frozen=True, kw_only=True):
    """An image as its registry describes it: its manifest and its config, a few kB.

    ``layers`` and ``diff_ids`` are in one order, bottom first.
    """

    ref: ImageRef  # with the digest of the manifest for ``machine``
    config_digest: str
    layers: tuple[Layer, ...]
    diff_ids: tuple[str, ...]  # the layers, uncompressed
    labels: Mapping[str, str]
    variables: Mapping[str, str]  # its ENV
    machine: str  # "amd64"
    created: str | None = None  # RFC 3339

    @property
    def size_bytes(self) -> int:
        """What a pull of everything moves."""
        return sum(layer.size_bytes for layer in self.layers)
