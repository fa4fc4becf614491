"""What leaves with an image: its configuration, and the files of the layers over its base.

An engine gives all layers of an image in one tar, in no order, and only at its end says which is
which. But how it names a layer follows from the image's diff ids, so that one reading is enough.
Where an engine names them otherwise, as one with containerd's store does, it is asked twice.

Sources: https://github.com/moby/docker-image-spec/blob/main/v1.2.md and
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from docker.errors import NotFound, create_api_error_from_http_exception
from requests import HTTPError

from snapenv.engine.failures import engine_errors
from snapenv.errors import EngineError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from docker import APIClient

Leaving = tuple[str, "Iterator[bytes]"]  # a place, and its bytes

_CHUNK_BYTES = 1 << 20
_MOST_JSON_BYTES = 4 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"


class OtherNamesError(Exception):
    """A layer has a name that does not follow from a diff id."""


def read_leaving(
    client: APIClient, image_id: str, *, base_diff_ids: Collection[str]
) -> Iterator[Leaving]:
    """Give all that an image brings beside its base, as places with their bytes.

    First ``history``, ``label x``, ``variable X`` and ``config``, then the files, such as
    ``layer 3: opt/x.py``; layers are counted from 1, the lowest, as the image has them. The bytes
    of a place are to be read before the next place is asked for.

    Raises:
        NotFoundError: There is no such image.
        EngineError: The engine failed, or a layer cannot be read.
    """
    with engine_errors():
        try:
            found = client.inspect_image(image_id)  # type: ignore[no-untyped-call]
            history = client.history(image_id)  # type: ignore[no-untyped-call]
        except NotFound as error:
            raise NotFoundError(
                f"there is no local image {image_id}", hint="Build it first."
            ) from error
    yield from _configuration(found, history)
    diff_ids = tuple((found.get("RootFS") or {}).get("Layers") or ())
    with engine_errors():
        yield from read_layers(
            lambda: saved_image(client, image_id), diff_ids, base_diff_ids=base_diff_ids
        )


def read_layers(
    open_tar: Callable[[], AbstractContextManager[Iterable[bytes]]],
    diff_ids: Sequence[str],
    *,
    base_diff_ids: Collection[str],
) -> Iterator[Leaving]:
    """Give the files of the layers over a base, from what ``docker save`` writes.

    ``open_tar`` may be asked twice. Both the classic layout and OCI's are read.

    Raises:
        EngineError: It is no such tar, or a layer is packed in a way that cannot be read here.
    """
    wanted = {diff_ids.index(one) for one in diff_ids if one not in base_diff_ids}
    if not wanted:
        return
    with tar_errors():
        with suppress(OtherNamesError):
            top = len(diff_ids) - 1
            yield from _read_once(open_tar, expected_names(diff_ids), wanted, top=top)
        if wanted:
            yield from _read_once(open_tar, _told_names(open_tar, diff_ids), wanted, top=None)
    if wanted:
        raise _unreadable(f"lacks {len(wanted)} of its layers")


def _configuration(
    found: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> Iterator[Leaving]:
    steps = (f"{step.get('CreatedBy') or ''} {step.get('Comment') or ''}" for step in history[::-1])
    yield "history", iter(["\n".join(steps).encode()])
    config = dict(found.get("Config") or {})
    for name, value in sorted((config.pop("Labels", None) or {}).items()):
        yield f"label {name}", iter([f"{name}={value}".encode()])
    for line in config.pop("Env", None) or ():
        yield f"variable {line.partition('=')[0]}", iter([line.encode()])
    rest = {name: found.get(name) for name in ("Author", "Comment", "ContainerConfig", "RepoTags")}
    yield "config", iter([json.dumps({**rest, "Config": config}, indent=1).encode()])


@contextmanager
def saved_image(client: APIClient, image_id: str) -> Iterator[Iterable[bytes]]:
    """Ask for an image as a tar; leaving the block before its end ends the transfer too."""
    url = f"{client.base_url}/v{client.api_version}/images/{image_id}/get"
    with client.get(url, timeout=client.timeout, stream=True) as response:
        try:
            response.raise_for_status()
        except HTTPError as error:
            create_api_error_from_http_exception(error)
        yield response.iter_content(_CHUNK_BYTES)


class Content:
    """One file in a tar, which is read as it comes: once, and from its beginning."""

    def __init__(self, source: _Source, size: int) -> None:
        self._source, self._left = source, size

    def peek(self, size: int) -> bytes:
        """Give what comes next without taking it; less than ``size`` only at the end."""
        return self._source.peek(min(size, self._left))

    def read(self, size: int = -1) -> bytes:
        """Give so many bytes, at most 4 MiB, or all that are left; fewer only at the end.

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
        """Give what is left in the pieces that it comes in, without copying them.

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
        """Give so many bytes, and fewer only at the end.

        Raises:
            tarfile.ReadError: They are more than any header or document has.
        """
        if not 0 <= size <= _MOST_JSON_BYTES:
            raise tarfile.ReadError(f"a header or document of {size} bytes")
        pieces = [self.take(size)]
        left = size - len(pieces[0])
        while left and (piece := self.take(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def take(self, size: int) -> bytes:
        """Give up to so many bytes as they came; nothing at the end."""
        piece = self._following()[self._used : self._used + size]
        self._used += len(piece)
        self._place += len(piece)
        return piece

    def peek(self, size: int) -> bytes:
        """Give the bytes at hand without passing them; fewer than ``size`` only at the end."""
        chunk = self._following()
        while len(chunk) - self._used < size and (more := next(self._chunks, b"")):
            self._chunk, self._used = chunk[self._used :] + more, 0
            chunk = self._chunk
        return chunk[self._used : self._used + size]

    def _following(self) -> bytes:
        """Give the chunk of which something is left, if there is one."""
        while self._used == len(self._chunk) and (chunk := next(self._chunks, b"")):
            self._chunk, self._used = chunk, 0
        return self._chunk


def plain_files(chunks: Iterable[bytes]) -> Iterator[tuple[tarfile.TarInfo, Content]]:
    """Give the plain files of a tar as they come, each to be read before the next is asked for.

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


def _read_once(
    open_tar: Callable[[], AbstractContextManager[Iterable[bytes]]],
    names: Mapping[str, int],
    wanted: set[int],
    *,
    top: int | None,
) -> Iterator[Leaving]:
    """Give the files of the layers that are wanted, and strike those off.

    ``top`` is the number of the one layer whose name in the classic layout cannot be foretold;
    None where ``names`` has all.
    """
    about = b""
    with open_tar() as chunks:
        for member, stream in plain_files(chunks):
            if member.name.endswith("/json"):
                about = stream.read(_MOST_JSON_BYTES)
            number = names.get(member.name)
            if number is None and top is not None:
                number = foretell(member, stream, about, top)
            if number in wanted:
                wanted.remove(number)
                yield from _files(stream, f"layer {number + 1}")


def foretell(member: tarfile.TarInfo, stream: Content, about: bytes, top: int) -> int | None:
    """Give the number of the topmost layer, which alone comes with the image's own config.

    Raises:
        OtherNamesError: It is another layer.
    """
    if member.name.endswith("/layer.tar"):
        described = _parse(about)
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


def _files(stream: Content, place: str) -> Iterator[Leaving]:
    with tarfile.open(fileobj=_unpacked(stream), mode="r|*", bufsize=_CHUNK_BYTES) as layer:
        for member in layer:
            content = layer.extractfile(member) if member.isreg() else None
            if content is not None:
                yield f"{place}: {member.name}", _chunks(content)


def _chunks(content: IO[bytes]) -> Iterator[bytes]:
    with tar_errors():
        yield from iter(partial(content.read, _CHUNK_BYTES), b"")


@contextmanager
def tar_errors() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _unreadable(f"does not arrive whole: {error}") from error


def _unpacked(stream: Content) -> IO[bytes]:
    """Unpack zstd, which tarfile does not know before Python 3.14."""
    if not begins(stream, _ZSTD):
        return cast("IO[bytes]", stream)
    import zstandard

    opened: IO[bytes] = zstandard.open(cast("BinaryIO", stream), "rb")
    return opened


def begins(stream: Content, magic: bytes) -> bool:
    return stream.peek(len(magic)) == magic


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
    """Give the name that the classic layout has for a layer below the topmost.

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


def _told_names(
    open_tar: Callable[[], AbstractContextManager[Iterable[bytes]]], diff_ids: Sequence[str]
) -> Mapping[str, int]:
    """Read to the end of the tar how it names the layers of these diff ids."""
    documents: dict[str, Any] = {}
    with open_tar() as chunks:
        for member, stream in plain_files(chunks):
            if member.size <= _MOST_JSON_BYTES and begins(stream, b"{"):
                documents[member.name] = _parse(stream.read())
            elif member.name == "manifest.json":
                images = _parse(stream.read()) or [{}]
                return {name: number for number, name in enumerate(images[0].get("Layers") or ())}
    for manifest in documents.values():
        config = documents.get(_blob(manifest.get("config") or {})) or {}
        if (config.get("rootfs") or {}).get("diff_ids") == list(diff_ids):
            return {_blob(layer): number for number, layer in enumerate(manifest["layers"])}
    return {}


def _blob(descriptor: Mapping[str, Any]) -> str:
    return f"blobs/{str(descriptor.get('digest')).replace(':', '/')}"


def _parse(text: bytes) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unreadable(what: str) -> EngineError:
    return EngineError(f"the image, as the engine saves it, {what}", hint="Build it again.")
