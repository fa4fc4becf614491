"""Images as the engine saves and loads them: streams, never whole in memory.

Sources: https://github.com/moby/docker-image-spec/blob/main/v1.2.md and
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from snapenv.engine.docker_save import (
    MOST_JSON_BYTES,
    OtherNamesError,
    begins,
    is_config,
    numbered_files,
    read_chunks,
    read_names,
    saved_image,
    tar_errors,
    unpack,
    unreadable,
)
from snapenv.engine.failures import engine_errors, engine_failure, refuse_failed
from snapenv.engine.stream import StreamError, drain, parse_messages
from snapenv.errors import EngineError
from snapenv.model.oci import sha256_digest

if TYPE_CHECKING:
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
            named = _LOADED.search(str(message.get("stream", "")))
            loaded = named[1] if named else loaded
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
            yield from _read_once(open_tar, diff_ids, left)
        if left:
            names = read_names(open_tar, diff_ids)
            sizes = {
                number: sum(len(chunk) for chunk in _unpacked(stream))
                for number, _, stream in numbered_files(open_tar, diff_ids, names)
                if number is not None
            }
            yield from _read_once(open_tar, diff_ids, left, names=names, sizes=sizes)
    if left:
        raise unreadable(f"lacks {len(left)} of its parts")


def _read_once(
    open_tar: OpenTar,
    diff_ids: Sequence[str],
    left: set[str],
    *,
    names: Mapping[str, int] | None = None,
    sizes: Mapping[int, int] | None = None,
) -> Iterator[Part]:
    """Yield what is left, and strike it off; without ``sizes`` layers are not packed."""
    for number, member, stream in numbered_files(open_tar, diff_ids, names):
        if number is None:
            if _CONFIG in left and member.size <= MOST_JSON_BYTES and begins(stream, b"{"):
                content = stream.read()
                if is_config(content, diff_ids):
                    left.remove(_CONFIG)
                    yield sha256_digest(content), len(content), iter((content,))
        elif diff_ids[number] in left:
            left.remove(diff_ids[number])
            size_bytes = member.size if sizes is None else sizes[number]
            layer = _plain(stream) if sizes is None else _unpacked(stream)
            yield diff_ids[number], size_bytes, layer


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
