"""The form of an archive: a tar of an OCI image layout in one zstd frame.

Its members are ``oci-layout``, the snapshot's files in ``snapshot/``, the blobs, ``index.json`` and
at last ``SHA256SUMS`` over all others. Layers are not packed themselves. All but an image's config
and the snapshot has one form only, so that whatever differs from it is refused.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from snapenv.json_text import read_json
from snapenv.model.image import Layer
from snapenv.model.oci import (
    LINUX,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    REF_NAME,
    SCHEMA,
    Config,
    Descriptor,
    Index,
    Manifest,
    Platform,
    encode,
    sha256_digest,
)
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, SNAPSHOT_LABEL, SUMS_FILE

ARCHIVE_SCHEMA = 1

LAYOUT_FILE, INDEX_FILE = "oci-layout", "index.json"
BLOBS, SNAPSHOT = "blobs/sha256/", "snapshot/"
OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)

MAX_MEMBERS = 512  # an engine allows 127 layers
MAX_TEXT_BYTES = 16 << 20  # as much as is read of a snapshot's file out of an image
MAX_DOCUMENT_BYTES = 4 << 20  # of an image's manifest or config

SCHEMA_KEY = "io.snapenv.archive"
_HEX = "[0-9a-f]{64}"
_BINARY = 0x80  # the first byte of a number that is not octal
NAMES = re.compile(
    rf"{LAYOUT_FILE}|{INDEX_FILE}|{SUMS_FILE}|{BLOBS}{_HEX}"
    rf"|{SNAPSHOT}[A-Za-z0-9][A-Za-z0-9._+!-]{{0,79}}",
    re.ASCII,
)

Part: TypeAlias = tuple[str, int, Iterator[bytes]]
"""A digest, a size in bytes, and as many bytes, to be read before the next part is asked for."""

Decoded = TypeVar("Decoded")


class Sum(NamedTuple):
    """What a member was found to be."""

    size_bytes: int
    sha256: str  # hex


class Archived(Struct, frozen=True, kw_only=True):
    """What an archive holds, each byte of it checked; its layers stay in the file."""

    tag: str
    snapshot: str  # the digest that the image's label names
    files: Mapping[str, bytes]  # of the snapshot, as the image holds them
    config: bytes
    layers: tuple[Layer, ...]  # unpacked, bottom first; one may stand there twice
    absent: int  # so many of the lowest layers are not in it, but in the base image
    labels: Mapping[str, str]
    variables: Mapping[str, str]
    machine: str  # "amd64"

    @property
    def config_digest(self) -> str:
        """What the image is known by."""
        return sha256_digest(self.config)

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The layers, bottom first."""
        return tuple(layer.digest for layer in self.layers)

    @property
    def base_layers(self) -> frozenset[str]:
        """The layers that are to come from the base image."""
        return frozenset(self.diff_ids[: self.absent])


def blob_name(digest: str) -> str:
    """Return where a blob lies."""
    return BLOBS + digest.removeprefix("sha256:")


def make_header(name: str, size: int) -> bytes:
    """Return the one block before a plain file, which is root's, of mode 644, and of 1970."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def parse_header(block: bytes, names: re.Pattern[str] = NAMES) -> tuple[str, int]:
    """Return the name, one of ``names``, and the size of a member.

    Raises:
        ValueError: It is not as ``make_header`` makes it, or the name is none of an archive.
    """
    name = block[:100].rstrip(b"\0").decode("ascii", errors="replace")
    if not names.fullmatch(name):
        raise ValueError(f"it holds {name[:99]!r}, which does not belong in an archive")
    size = _parse_size(block[124:136])
    if make_header(name, size) != block:
        raise ValueError(f"{name} is not a plain file as archives hold them")
    return name, size


def padding(size: int) -> bytes:
    """Return what fills the last block of a file."""
    return bytes(-size % BLOCK)


def make_sums(members: Mapping[str, Sum]) -> bytes:
    """Return SHA256SUMS, which ``sha256sum -c`` understands."""
    lines = (f"{member.sha256}  {name}\n" for name, member in sorted(members.items()))
    return "".join(lines).encode()


def make_manifest(config: bytes, layers: tuple[Layer, ...]) -> bytes:
    """Return the image's manifest, of layers that are not packed."""
    return encode(
        Manifest(
            schema_version=SCHEMA,
            media_type=OCI_MANIFEST,
            config=_describe(config, OCI_CONFIG),
            layers=tuple(
                Descriptor(digest=layer.digest, size=layer.size_bytes, media_type=OCI_LAYER)
                for layer in layers
            ),
        )
    )


def make_index(manifest: bytes, *, tag: str, snapshot: str, machine: str) -> bytes:
    """Return index.json, which names the one image."""
    image = replace(
        _describe(manifest, OCI_MANIFEST),
        platform=Platform(architecture=machine, os=LINUX),
        annotations={REF_NAME: tag},
    )
    return encode(
        Index(
            schema_version=SCHEMA,
            media_type=OCI_INDEX,
            manifests=(image,),
            annotations={SCHEMA_KEY: str(ARCHIVE_SCHEMA), SNAPSHOT_LABEL: snapshot},
        )
    )


def parse_archive(members: Mapping[str, Sum], kept: Mapping[str, bytes]) -> Archived:
    """Return what an archive holds, from its members and the contents of its documents.

    Raises:
        ValueError: Something is missing, superfluous, or not what something else says of it.
    """
    others = {name: member for name, member in members.items() if name != SUMS_FILE}
    if kept.get(SUMS_FILE) != make_sums(others):
        raise ValueError(f"its files are not what {SUMS_FILE} says")
    if kept.get(LAYOUT_FILE) != OCI_LAYOUT:
        raise ValueError(f"{LAYOUT_FILE} is of another version")
    index = decode(INDEX_FILE, kept.get(INDEX_FILE, b""), Index)
    refuse_newer(index)
    if len(index.manifests) != 1:
        raise ValueError(f"{INDEX_FILE} names {len(index.manifests)} images")
    manifest_name = blob_name(index.manifests[0].digest)
    manifest = decode("the manifest", kept.get(manifest_name, b""), Manifest)
    if not 0 < len(manifest.layers) <= MAX_MEMBERS:
        raise ValueError(f"the image has {len(manifest.layers)} layers")
    config_name = blob_name(manifest.config.digest)
    config = kept.get(config_name, b"")
    layers = tuple(Layer(digest=layer.digest, size_bytes=layer.size) for layer in manifest.layers)
    archived = _archived(config, layers, others, index=index, kept=kept)
    _refuse_other_forms(archived, kept[manifest_name], kept[INDEX_FILE])
    _refuse_other_blobs(others, {manifest_name, config_name}, archived)
    return archived


def refuse_newer(index: Index) -> None:
    """Refuse what a newer snapenv wrote in another form.

    Raises:
        ValueError: It is so.
    """
    schema = index.annotations.get(SCHEMA_KEY, "")
    if schema.isdecimal() and len(schema) < BLOCK and int(schema) > ARCHIVE_SCHEMA:
        raise ValueError("it was written by a newer snapenv")


def machine_and_labels(config: bytes) -> tuple[str, Mapping[str, str]]:
    """Read of an image's config for which machine it is, and its labels.

    Raises:
        ValueError: It is no config of an image for Linux.
    """
    parsed = decode("the image's config", config, Config)
    return parsed.architecture, parsed.labels


def _archived(
    config: bytes,
    layers: tuple[Layer, ...],
    members: Mapping[str, Sum],
    *,
    index: Index,
    kept: Mapping[str, bytes],
) -> Archived:
    parsed = decode("the image's config", config, Config)
    if tuple(layer.digest for layer in layers) != parsed.rootfs.diff_ids:
        raise ValueError("the image's layers are not those of its config")
    return Archived(
        tag=index.manifests[0].annotations.get(REF_NAME, ""),
        snapshot=parsed.labels.get(SNAPSHOT_LABEL, ""),
        files={
            name.removeprefix(SNAPSHOT): content
            for name, content in kept.items()
            if name.startswith(SNAPSHOT)
        },
        config=config,
        layers=layers,
        absent=_count_absent(layers, members, parsed.labels),
        labels=parsed.labels,
        variables=parsed.variables,
        machine=parsed.architecture,
    )


def _count_absent(
    layers: tuple[Layer, ...], members: Mapping[str, Sum], labels: Mapping[str, str]
) -> int:
    """Count the lowest layers that are not there; of those that are, check the size."""
    present = [blob_name(layer.digest) in members for layer in layers]
    absent = present.index(True) if True in present else len(layers)
    left_out = {layer.digest for layer in layers[:absent]}
    for layer, there in zip(layers, present, strict=True):
        if not there and layer.digest not in left_out:
            raise ValueError(f"layer {layer.digest} is missing")
        if there and members[blob_name(layer.digest)].size_bytes != layer.size_bytes:
            raise ValueError(f"layer {layer.digest} is not of the size that the manifest says")
    if absent and not (labels.get(BASE_NAME_LABEL) and labels.get(BASE_DIGEST_LABEL)):
        raise ValueError(f"layer {layers[0].digest} is missing, and no base image is named")
    return absent


def _refuse_other_forms(archived: Archived, manifest: bytes, index: bytes) -> None:
    if make_manifest(archived.config, archived.layers) != manifest:
        raise ValueError("the manifest is not as an archive has it")
    again = make_index(
        manifest, tag=archived.tag, snapshot=archived.snapshot, machine=archived.machine
    )
    if again != index:
        raise ValueError(f"{INDEX_FILE} is not what the image's config says")


def _refuse_other_blobs(
    members: Mapping[str, Sum], documents: set[str], archived: Archived
) -> None:
    layers = {
        blob_name(digest) for digest in archived.diff_ids if digest not in archived.base_layers
    }
    for name, member in members.items():
        if not name.startswith(BLOBS):
            continue
        if member.sha256 != name.removeprefix(BLOBS):
            raise ValueError(f"{name} holds other bytes than its name says")
        if name not in layers | documents:
            raise ValueError(f"{name} belongs to no image")


def _parse_size(field: bytes) -> int:
    """Read a number: octal, or from 8 GiB on binary."""
    if field[0] == _BINARY:
        return int.from_bytes(field[1:], "big")
    return int(field[:11], 8)


def _describe(document: bytes, media_type: str) -> Descriptor:
    return Descriptor(digest=sha256_digest(document), size=len(document), media_type=media_type)


def decode(what: str, text: bytes, kind: type[Decoded]) -> Decoded:
    """Read a document of someone else.

    Raises:
        ValueError: It is not there, or not of its form.
    """
    try:
        return read_json(text, kind)
    except ValueError as error:
        raise ValueError(f"{what} is not of its form: {error}") from error
