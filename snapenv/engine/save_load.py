"""Images as the engine saves and loads them: streams, never whole in memory.

Sources: https://github.com/moby/docker-image-spec/blob/main/v1.2.md and
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from snapenv.engine.docker_save import (
    MOST_JSON_BYTES,
    OtherNamesError,
    begins,
    diff_ids_of,
    expected_names,
    foretell,
    parse_json,
    plain_files,
    read_chunks,
    saved_image,
    tar_errors,
    told_names,
    unpack,
    unreadable,
)
from snapenv.engine.failures import engine_errors, engine_failure, refuse_failed
from snapenv.engine.stream import StreamError, drain, parse_messages
from snapenv.errors import EngineError

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from docker import APIClient

    from snapenv.engine.docker_save import Content, OpenTar
    from snapenv.model.image import Image

Part = tuple[str, int, Iterator[bytes]]  # a digest, a size, and as many bytes

_CONFIG = "config"
_LOADED = re.compile(r"Loaded image ID: (sha256:[0-9a-f]{64})")


def save(client: APIClient, image: Image) -> Iterator[Part]:
    """Yield the config and the layers of an image, as ``ports.Engine`` says.

    Raises:
        EngineError: The engine failed, or a layer cannot be read.
    """
    with engine_errors():
        yield from read_saved(lambda: saved_image(client, image.id), image.diff_ids)


def load(client: APIClient, tar: Iterable[bytes], find: Callable[[str], Image | None]) -> Image:
    """Hand an image to the engine as a tar, and find what it made of it.

    Raises:
        EngineError: The engine refused it, or failed.
        WriteError: The engine's disk is full.
    """
    loaded = None
    try:
        for message in drain(_load_messages(client, tar)):
            found = _LOADED.search(str(message.get("stream", "")))
            loaded = found[1] if found else loaded
    except StreamError as error:
        raise engine_failure(str(error)) from error
    image = find(loaded) if loaded else None
    if image is None:
        raise EngineError(
            "the engine loaded the image, but does not name it", hint="See docker images."
        )
    return image


def read_saved(open_tar: OpenTar, diff_ids: Sequence[str]) -> Iterator[Part]:
    """Yield the config and the layers in what ``docker save`` writes; layers unpacked, each once.

    They come in the order of the tar. It is read once where its names follow from the diff ids;
    else three times, for the names and sizes of its layers come after them.

    Raises:
        EngineError: It is no such tar, or lacks something.
    """
    left = {*diff_ids, _CONFIG}
    with tar_errors():
        with suppress(OtherNamesError):
            names = expected_names(diff_ids)
            yield from _read_plain(open_tar, names, diff_ids, left)
        if left:
            names, sizes = _survey(open_tar, diff_ids)
            yield from _read_packed(open_tar, names, diff_ids, left, sizes=sizes)
    if left:
        raise unreadable(f"lacks {len(left)} of its parts")


def _read_plain(
    open_tar: OpenTar, names: Mapping[str, int], diff_ids: Sequence[str], left: set[str]
) -> Iterator[Part]:
    """Yield what has the names that are expected, and strike it off."""
    about = b""
    for member, stream in _members(open_tar):
        if member.name.endswith("/json"):
            about = stream.read(MOST_JSON_BYTES)
        number = names.get(member.name)
        if number is None:
            number = foretell(member, stream, about, len(diff_ids) - 1)
        if number is None:
            yield from _config(member, stream, diff_ids, left)
        elif diff_ids[number] in left:
            left.remove(diff_ids[number])
            yield diff_ids[number], member.size, _plain(stream)


def _read_packed(
    open_tar: OpenTar,
    names: Mapping[str, int],
    diff_ids: Sequence[str],
    left: set[str],
    *,
    sizes: Mapping[str, int],
) -> Iterator[Part]:
    for member, stream in _members(open_tar):
        if member.name not in names:
            yield from _config(member, stream, diff_ids, left)
            continue
        digest = diff_ids[names[member.name]]
        if digest in left:
            left.remove(digest)
            yield digest, sizes[member.name], _unpacked(stream)


def _members(open_tar: OpenTar) -> Iterator[tuple[tarfile.TarInfo, Content]]:
    """Yield the plain files of a tar."""
    with open_tar() as chunks:
        yield from plain_files(chunks)


def _config(
    member: tarfile.TarInfo, stream: Content, diff_ids: Sequence[str], left: set[str]
) -> Iterator[Part]:
    """Yield a file if it is the image's config, and strike it off."""
    if _CONFIG not in left or member.size > MOST_JSON_BYTES or not begins(stream, b"{"):
        return
    content = stream.read()
    if diff_ids_of(parse_json(content)) == list(diff_ids):
        left.remove(_CONFIG)
        yield f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), iter((content,))


def _survey(
    open_tar: OpenTar, diff_ids: Sequence[str]
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Read how the layers of these diff ids are named, and how large each is unpacked."""
    names = told_names(open_tar, diff_ids)
    sizes = {
        member.name: sum(len(chunk) for chunk in _unpacked(stream))
        for member, stream in _members(open_tar)
        if member.name in names
    }
    return names, sizes


def _unpacked(stream: Content) -> Iterator[bytes]:
    """Yield a layer's bytes, packed or not, as they come."""
    opened = unpack(stream)
    return read_chunks(opened) if opened else _plain(stream)


def _plain(stream: Content) -> Iterator[bytes]:
    with tar_errors():
        yield from stream.pieces()


def _load_messages(client: APIClient, tar: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    url = f"{client.base_url}/v{client.api_version}/images/load"
    with client.post(
        url,
        params={"quiet": "1"},
        data=tar,
        headers={"Content-Type": "application/x-tar"},
        timeout=client.timeout,
        stream=True,
    ) as response:
        refuse_failed(response)
        yield from parse_messages(response.iter_lines())
