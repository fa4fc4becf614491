"""What ``docker save`` writes: a tar, read as it comes and never held, and how it names layers.

An engine gives all layers of an image in one tar, in no order, and only at its end says which is
which. But how it names a layer follows from the image's diff ids, so that one reading is enough.
Where an engine names them otherwise, as one with containerd's store does, its documents tell.

Sources: https://github.com/moby/docker-image-spec/blob/main/v1.2.md and
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from gzip import BadGzipFile, GzipFile
from typing import IO, TYPE_CHECKING, BinaryIO, TypeVar, cast

import zstandard
from msgspec import Struct
from zstandard import ZstdError

from snapenv.engine.failures import refuse_failed
from snapenv.errors import EngineError
from snapenv.json_text import read_json
from snapenv.model.oci import Config, Manifest
from snapenv.tars import DAMAGED, is_plain

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")
OpenTar = Callable[[], AbstractContextManager[Iterable[bytes]]]
"""Begins a tar; leaving the block before its end ends the transfer too."""

MOST_JSON_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@contextmanager
def saved_image(client: APIClient, image_id: str) -> Iterator[Iterable[bytes]]:
    """Ask for an image as a tar; leaving the block before its end ends the transfer too."""
    url = f"{client.base_url}/v{client.api_version}/images/{image_id}/get"
    with client.get(url, timeout=client.timeout, stream=True) as response:
        refuse_failed(response)
        yield response.iter_content(_CHUNK_BYTES)


class Content:
    """One file in a tar, which is read as it comes: once, and from its beginning."""

    def __init__(self, source: Source, size: int) -> None:
        self._source, self._left = source, size

    def peek(self, size: int) -> bytes:
        """Return what comes next without taking it; less than ``size`` only at the end."""
        return self._source.peek(min(size, self._left))

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, at most 4 MiB, or all that are left; fewer only at the end.

        Raises:
            tarfile.ReadError: The tar breaks off before.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        content = self._source.read(wanted)
        if len(content) < wanted:
            raise _broken_off()
        self._left -= wanted
        return content

    def pieces(self) -> Iterator[bytes]:
        """Yield what is left in the pieces that it comes in, without copying them.

        Raises:
            tarfile.ReadError: The tar breaks off before.
        """
        while self._left:
            piece = self._source.take(self._left)
            if not piece:
                raise _broken_off()
            self._left -= len(piece)
            yield piece


class Source:
    """Chunks as a file that is read forward alone, and has as much of tarfile's files as it needs.

    tarfile reads only the headers through it, and passes over what nobody has read. No more
    than 4 MiB and one chunk are held.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk, self._used = b"", 0
        self._place = 0

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        """Pass over what lies before a place; stop at the end.

        Raises:
            tarfile.ReadError: The place has been passed.
        """
        if place < self._place:
            raise tarfile.ReadError("a header leads backwards")
        while self._place < place and self.take(place - self._place):
            pass
        return self._place

    def read(self, size: int) -> bytes:
        """Return so many bytes, and fewer only at the end.

        Raises:
            tarfile.ReadError: They are more than any header or document has.
        """
        if not 0 <= size <= MOST_JSON_BYTES:
            raise tarfile.ReadError(f"a header or document of {size} bytes")
        pieces = [self.take(size)]
        left = size - len(pieces[0])
        while left and (piece := self.take(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def take(self, size: int) -> bytes:
        """Return up to so many bytes as they came; nothing at the end."""
        piece = self._following()[self._used : self._used + size]
        self._used += len(piece)
        self._place += len(piece)
        return piece

    def peek(self, size: int) -> bytes:
        """Return the bytes at hand without passing them; fewer than ``size`` only at the end."""
        chunk = self._following()
        while len(chunk) - self._used < size and (more := next(self._chunks, b"")):
            self._chunk, self._used = chunk[self._used :] + more, 0
            chunk = self._chunk
        return chunk[self._used : self._used + size]

    def _following(self) -> bytes:
        """Return the chunk of which something is left, if there is one."""
        while self._used == len(self._chunk) and (chunk := next(self._chunks, b"")):
            self._chunk, self._used = chunk, 0
        return self._chunk


def plain_files(chunks: Iterable[bytes]) -> Iterator[tuple[tarfile.TarInfo, Content]]:
    """Yield the plain files of a tar as they come, each to be read before the next is asked for.

    Raises:
        tarfile.TarError: It is none, or breaks off.
    """
    source = Source(chunks)
    with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r:") as tar:
        for member in iter(tar.next, None):
            tar.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps them all
            if is_plain(member):
                source.seek(member.offset_data)
                yield member, Content(source, member.size)


def _broken_off() -> tarfile.ReadError:
    return tarfile.ReadError("unexpected end of data")


def unpack(stream: Content) -> IO[bytes] | None:
    """Unpack a layer that is packed with gzip or zstd; None where it is not packed."""
    if begins(stream, _GZIP):
        return cast("IO[bytes]", GzipFile(fileobj=cast("IO[bytes]", stream)))
    if begins(stream, _ZSTD):
        return cast("IO[bytes]", zstandard.open(cast("BinaryIO", stream), "rb"))
    return None


def read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield what is left of a file, never more than 1 MiB at a time.

    Raises:
        EngineError: It is damaged.
    """
    with tar_errors():
        yield from iter(partial(file.read, _CHUNK_BYTES), b"")


def begins(stream: Content, magic: bytes) -> bool:
    return stream.peek(len(magic)) == magic


@contextmanager
def tar_errors() -> Iterator[None]:
    try:
        yield
    except (*DAMAGED, BadGzipFile, zlib.error, ZstdError) as error:
        raise unreadable(f"arrives incomplete: {error}") from error


def unreadable(what: str) -> EngineError:
    return EngineError(f"the image, as the engine saves it, {what}", hint="Build it again.")


class OtherNamesError(Exception):
    """A layer has a name that does not follow from a diff id."""


def _expected_names(diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Foretell the layers' names, in OCI's layout and the classic ones; not the classic top."""
    blobs = {_blob(diff_id): diff_ids.index(diff_id) for diff_id in diff_ids}
    plain = {f"{diff_id.partition(':')[2]}.tar": diff_ids.index(diff_id) for diff_id in diff_ids}
    classic: dict[str, int] = {}
    chain, parent = "", ""
    for number, diff_id in enumerate(diff_ids[:-1]):
        chain = f"sha256:{_sha256(f'{chain} {diff_id}')}" if chain else diff_id
        parent = _classic_id(chain, parent)
        classic[f"{parent}/layer.tar"] = number
    return {**blobs, **plain, **classic}


def _classic_id(chain: str, parent: str) -> str:
    """Return the name that the classic layout has for a layer below the topmost.

    Source: CreateID of https://github.com/moby/moby/blob/v20.10.24/image/v1/imagev1.go
    """
    words = ("Hostname", "Domainname", "User")
    switches = ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce")
    empty: dict[str, object] = {**dict.fromkeys(words, ""), **dict.fromkeys(switches, False)}
    empty |= {"Env": None, "Cmd": None, "Image": "", "Volumes": None, "WorkingDir": ""}
    empty |= dict.fromkeys(("Entrypoint", "OnBuild", "Labels"))
    config = {"container_config": empty, "created": "1970-01-01T00:00:00Z", "layer_id": chain}
    if parent:
        config["parent"] = f"sha256:{parent}"
    return _sha256(json.dumps(config, separators=(",", ":")))


def numbered_files(
    open_tar: OpenTar, diff_ids: Sequence[str], names: Mapping[str, int] | None = None
) -> Iterator[tuple[int | None, tarfile.TarInfo, Content]]:
    """Yield the plain files of a tar, each with the number of the layer that it is, or None.

    Layers are known by their ``names``, without those by the names that follow from the diff ids.
    In the classic layout the topmost layer has none: it alone comes after the image's own config.

    Raises:
        OtherNamesError: There are no ``names``, and a layer has one that does not follow.
    """
    expected = _expected_names(diff_ids) if names is None else names
    above = b""  # what the classic layout says of the layer that comes next
    with open_tar() as chunks:
        for member, stream in plain_files(chunks):
            number = expected.get(member.name)
            if names is None and number is None:
                if member.name.endswith("/json"):
                    above = stream.read(MOST_JSON_BYTES)
                elif member.name.endswith("/layer.tar"):
                    layer = _decode(above, _ClassicLayer)
                    if not (layer and layer.config and member.name == f"{layer.id}/layer.tar"):
                        raise OtherNamesError
                    number = len(diff_ids) - 1
                elif member.name.startswith("blobs/") and not begins(stream, b"{"):
                    raise OtherNamesError
            yield number, member, stream


def read_names(open_tar: OpenTar, diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Read how a tar names the layers of these diff ids, in OCI's layout or in docker's own.

    Nothing is believed of what else its documents hold.
    """
    documents: dict[str, bytes] = {}
    with open_tar() as chunks:
        for member, stream in plain_files(chunks):
            if member.size <= MOST_JSON_BYTES and (begins(stream, b"{") or begins(stream, b"[")):
                documents[member.name] = stream.read()
    for image in _decode(documents.get("manifest.json"), tuple[_SavedImage, ...]) or ():
        if is_config(documents.get(image.config), diff_ids):
            return _number(image.layers, diff_ids)
    for manifest in (_decode(document, Manifest) for document in documents.values()):
        if manifest and is_config(documents.get(_blob(manifest.config.digest)), diff_ids):
            return _number([_blob(layer.digest) for layer in manifest.layers], diff_ids)
    return {}


def _number(names: Sequence[str], diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Return the layers' numbers by name; one that an image has twice is the lower."""
    return {name: names.index(name) for name, _ in zip(names, diff_ids, strict=False)}


class _SavedImage(Struct, frozen=True, rename="pascal"):
    """An image in docker's ``manifest.json``, by the names of its files."""

    config: str
    layers: tuple[str, ...]


class _ClassicLayer(Struct, frozen=True):
    """What lies beside a layer in the classic layout."""

    id: str
    config: dict[str, object] | None = None


def is_config(document: bytes | None, diff_ids: Sequence[str]) -> bool:
    """Return whether a document is the config of the image with these layers."""
    config = _decode(document, Config)
    return config is not None and config.rootfs.diff_ids == tuple(diff_ids)


def _decode(document: bytes | None, kind: type[T]) -> T | None:
    """Read a document; None where it is not there, or is of another form."""
    try:
        return read_json(document, kind) if document else None
    except ValueError:
        return None


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
