"""A snapshot alone as an OCI artifact: what a registry holds of it, and what an archive does.

The first layer is a tar of its files, without those of ``vendor/``; each of these is a layer of its
own, so that a registry holds a wheel once, however many snapshots carry it.

Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from snapenv.errors import SnapshotVersionError
from snapenv.model.carried import Content
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import ImageRef
from snapenv.model.needs_label import make_label
from snapenv.model.oci import (
    CREATED,
    EMPTY_CONFIG,
    OCI_EMPTY,
    OCI_MANIFEST,
    SCHEMA,
    TITLE,
    Descriptor,
    Manifest,
    encode,
    sha256_digest,
)
from snapenv.model.snapshot import (
    BASE_NAME_LABEL,
    PARENT_LABEL,
    SNAPSHOT_LABEL,
    TAG_LABEL,
    VENDOR,
    VERSION_LABEL,
    Snapshot,
)

ARTIFACT_TYPE = "application/vnd.snapenv.snapshot.v1"
FILES_LAYER = "application/vnd.snapenv.snapshot.v1.tar+zstd"
PACKAGE_LAYER = "application/vnd.snapenv.package.v1"  # one file of vendor/, as it is

_ANY_VERSION = re.compile(r"application/vnd\.snapenv\.snapshot\.v[0-9]+", re.ASCII)
_PACKAGE = re.compile(rf"{VENDOR}/_?[A-Za-z0-9][A-Za-z0-9._+!-]*", re.ASCII)
_MOST_LAYERS = 4096
_MOST_BYTES = 64 << 30  # of one layer


class Artifact(Struct, frozen=True, kw_only=True):
    """An artifact that is about to be stored."""

    manifest: bytes
    blobs: Mapping[str, Content]  # its config and layers, by their digests, in their order


class RemoteSnapshot(Struct, frozen=True, kw_only=True):
    """A snapshot that lies alone in a registry, by its manifest."""

    ref: ImageRef  # with the digest of the manifest
    layers: tuple[Descriptor, ...]  # the files first, then each package that it carries
    annotations: Mapping[str, str]  # by the names that images have as labels

    @property
    def size_bytes(self) -> int:
        """What a pull of everything moves."""
        return sum(layer.size for layer in self.layers)

    @property
    def created(self) -> str | None:
        """When it was captured, RFC 3339."""
        return self.annotations.get(CREATED)


def make_artifact(snapshot: Snapshot, files: Content, layers: tuple[Descriptor, ...]) -> Artifact:
    """Return the artifact of a snapshot, whose ``files`` are the first of its ``layers``."""
    config = Descriptor(
        digest=sha256_digest(EMPTY_CONFIG), size=len(EMPTY_CONFIG), media_type=OCI_EMPTY
    )
    manifest = Manifest(
        schema_version=SCHEMA,
        media_type=OCI_MANIFEST,
        artifact_type=ARTIFACT_TYPE,
        config=config,
        layers=layers,
        annotations=_annotations(snapshot),
    )
    packages = {layer.digest: snapshot.files[layer.annotations[TITLE]] for layer in layers[1:]}
    return Artifact(
        manifest=encode(manifest),
        blobs={config.digest: EMPTY_CONFIG, layers[0].digest: files, **packages},
    )


def is_artifact(manifest: Manifest) -> bool:
    """Tell an artifact, of any kind, from an image."""
    return manifest.artifact_type is not None or manifest.config.media_type == OCI_EMPTY


def artifact_layers(manifest: Manifest) -> tuple[Descriptor, ...]:
    """Return the layers of a snapshot's artifact, which may be anybody's.

    Raises:
        ValueError: It is another artifact, or none of this form.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    kind = manifest.artifact_type or ""
    if kind != ARTIFACT_TYPE:
        if _ANY_VERSION.fullmatch(kind):
            raise SnapshotVersionError(
                f"the snapshot is of the form {kind}, which a newer snapenv wrote",
                hint="Update snapenv: uv tool upgrade snapenv",
            )
        raise ValueError(f"an artifact of type {kind[:80] or 'none'}, which is not a snapshot")
    layers = manifest.layers
    names = [package_name(layer) for layer in layers[1:]]
    if not layers or layers[0].media_type != FILES_LAYER or len(layers) > _MOST_LAYERS:
        raise ValueError("a snapshot without its files")
    if len({*names}) != len(names):
        raise ValueError("a snapshot that names a package twice")
    if any(layer.size > _MOST_BYTES for layer in layers):
        raise ValueError("a snapshot that is larger than any")
    return layers


def package_name(layer: Descriptor) -> str:
    """Return where a package lies in its snapshot: ``vendor/x-1-py3-none-any.whl``.

    Raises:
        ValueError: It is no such layer.
    """
    name = layer.annotations.get(TITLE, "")
    if layer.media_type != PACKAGE_LAYER or not _PACKAGE.fullmatch(name):
        raise ValueError(f"a snapshot with a layer {name[:80]!r} that belongs to none")
    return name


def _annotations(snapshot: Snapshot) -> dict[str, str]:
    lock = snapshot.lock
    base = ImageRef.parse(lock.base.image)
    return {
        SNAPSHOT_LABEL: snapshot.digest,
        VERSION_LABEL: lock.snapenv,
        TAG_LABEL: lock.tag,
        BASE_NAME_LABEL: base.tagged,
        NEEDS_LABEL: make_label(lock),
        CREATED: snapshot.captured_at,
        **({PARENT_LABEL: lock.parent} if lock.parent else {}),
    }
