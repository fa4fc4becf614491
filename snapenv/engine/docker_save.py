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
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import zstandard
from zstandard import ZstdError

from snapenv.engine.failures import refuse_failed
from snapenv.errors import EngineError

if TYPE_CHECKING:
    from docker import APIClient

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

    def __init__(self, source: _Source, size: int) -> None:
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
        found = self._source.read(wanted)
        if len(found) < wanted:
            raise _broken_off()
        self._left -= wanted
        return found

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


class _Source:
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
    source = _Source(chunks)
    with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r:") as tar:
        for member in iter(tar.next, None):
            tar.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps them all
            if member.isreg() and not member.issparse():
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
    except (tarfile.TarError, EOFError, BadGzipFile, zlib.error, ZstdError) as error:
        raise unreadable(f"arrives incomplete: {error}") from error


def unreadable(what: str) -> EngineError:
    return EngineError(f"the image, as the engine saves it, {what}", hint="Build it again.")


class OtherNamesError(Exception):
    """A layer has a name that does not follow from a diff id."""


def expected_names(diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Foretell the layers' names, in OCI's layout and the classic ones; not the classic top."""
    blobs = {f"blobs/{one.replace(':', '/')}": number for number, one in enumerate(diff_ids)}
    plain = {f"{one.partition(':')[2]}.tar": number for number, one in enumerate(diff_ids)}
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


def foretell(member: tarfile.TarInfo, stream: Content, about: bytes, top: int) -> int | None:
    """Return the number of the topmost layer, which alone comes with the image's own config.

    Raises:
        OtherNamesError: It is another layer.
    """
    if member.name.endswith("/layer.tar"):
        described = parse_json(about)
        if (
            isinstance(described, dict)
            and described.get("config")
            and member.name == f"{described.get('id')}/layer.tar"
        ):
            return top
        raise OtherNamesError
    if member.name.startswith("blobs/") and not begins(stream, b"{"):
        raise OtherNamesError
    return None


def told_names(open_tar: OpenTar, diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Read how a tar names the layers of these diff ids, in OCI's layout or in docker's own.

    Nothing is believed of what else its documents hold.
    """
    documents: dict[str, Any] = {}
    with open_tar() as chunks:
        for member, stream in plain_files(chunks):
            if member.size <= MOST_JSON_BYTES and (begins(stream, b"{") or begins(stream, b"[")):
                documents[member.name] = parse_json(stream.read())
    return _find_names(documents, diff_ids)


def _find_names(documents: Mapping[str, Any], diff_ids: Sequence[str]) -> Mapping[str, int]:
    """Find the manifest of the image, in OCI's layout or in docker's own."""
    for image in _list(documents.get("manifest.json")):
        config = image.get("Config") if isinstance(image, dict) else None
        if diff_ids_of(documents.get(str(config))) == list(diff_ids):
            return _number(map(str, _list(image.get("Layers"))), diff_ids)
    for manifest in documents.values():
        config = manifest.get("config") if isinstance(manifest, dict) else None
        if diff_ids_of(documents.get(_blob(config))) == list(diff_ids):
            return _number(map(_blob, _list(manifest.get("layers"))), diff_ids)
    return {}


def _number(names: Iterable[str], diff_ids: Sequence[str]) -> Mapping[str, int]:
    return dict(zip(names, range(len(diff_ids)), strict=False))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def diff_ids_of(config: Any) -> list[str] | None:  # noqa: ANN401
    """Return the diff ids of an image's config; None where it is none."""
    rootfs = config.get("rootfs") if isinstance(config, dict) else None
    return rootfs.get("diff_ids") if isinstance(rootfs, dict) else None


def _blob(descriptor: object) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    return f"blobs/{str(digest).replace(':', '/')}"


def parse_json(text: bytes) -> Any:  # noqa: ANN401
    """Return what a document holds; None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
