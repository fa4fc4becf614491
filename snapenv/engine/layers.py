"""What leaves with an image: its configuration, and the files of the layers over its base."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from docker.errors import NotFound

from snapenv.engine.answers import HistoryStep, ImageConfig, InspectedImage, read_answer
from snapenv.engine.docker_save import (
    Content,
    OtherNamesError,
    Source,
    numbered_files,
    read_chunks,
    read_names,
    saved_image,
    tar_errors,
    unpack,
    unreadable,
)
from snapenv.engine.failures import engine_errors
from snapenv.errors import NotFoundError
from snapenv.secrets.model import Location
from snapenv.tars import open_stream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from docker import APIClient

    from snapenv.engine.docker_save import OpenTar
    from snapenv.engine.layer_store import StoredImage

Leaving = tuple[Location, "Iterator[bytes]"]

_BLOCK_BYTES = 64 << 10  # tarfile copies what is left of one at each small read


def read_leaving(
    client: APIClient,
    image_id: str,
    *,
    base_diff_ids: Collection[str],
    stored: StoredImage | None = None,
) -> Iterator[Leaving]:
    """Yield all that an image has beside its base, as locations with their bytes.

    First ``history``, ``label x``, ``variable X`` and ``config``, then the files of its layers.
    The bytes of one location are to be read before the next is asked for. Where the image is
    ``stored`` on this disk, its layers are read there.

    Raises:
        NotFoundError: There is no such image.
        EngineError: The engine failed, or a layer cannot be read.
    """
    with engine_errors():
        try:
            inspected = client.inspect_image(image_id)  # type: ignore[no-untyped-call]
            history = client.history(image_id)  # type: ignore[no-untyped-call]
        except NotFound as error:
            raise NotFoundError(
                f"there is no local image {image_id}", hint="Build it first."
            ) from error
    yield from _configuration(inspected, history)
    image = read_answer(inspected, InspectedImage)
    diff_ids = (image.root_fs and image.root_fs.layers) or ()
    if stored:
        yield from _read_stored(stored, base_diff_ids)
        return
    with engine_errors():
        yield from read_layers(
            lambda: saved_image(client, image_id), diff_ids, base_diff_ids=base_diff_ids
        )


def read_layers(
    open_tar: OpenTar,
    diff_ids: Sequence[str],
    *,
    base_diff_ids: Collection[str],
) -> Iterator[Leaving]:
    """Yield the files of the layers over a base, from what ``docker save`` writes.

    ``open_tar`` may be asked twice. Both the classic layout and OCI's are read.

    Raises:
        EngineError: It is no such tar, or a layer is packed in a way that cannot be read here.
    """
    wanted = {diff_ids.index(diff_id) for diff_id in diff_ids if diff_id not in base_diff_ids}
    if not wanted:
        return
    with tar_errors():
        with suppress(OtherNamesError):
            yield from _read_once(open_tar, diff_ids, wanted)
        if wanted:
            names = read_names(open_tar, diff_ids)
            yield from _read_once(open_tar, diff_ids, wanted, names=names)
    if wanted:
        raise unreadable(f"lacks {len(wanted)} of its layers")


def _configuration(inspected: Mapping[str, Any], history: object) -> Iterator[Leaving]:
    """Yield what an engine says of an image.

    Raises:
        EngineError: It is no answer of an engine.
    """
    told = read_answer(inspected, InspectedImage).config or ImageConfig()
    history = read_answer(history, tuple[HistoryStep, ...])
    steps = (f"{step.created_by or ''} {step.comment or ''}" for step in history[::-1])
    yield Location(name="history"), iter([_bytes("\n".join(steps))])
    config = dict(inspected.get("Config") or {})
    for name, value in sorted((told.labels or {}).items()):
        yield Location(name=f"label {name}"), iter([_bytes(f"{name}={value}")])
    for line in told.env or ():
        yield Location(name=f"variable {line.partition('=')[0]}"), iter([_bytes(line)])
    for name in ("Labels", "Env"):
        config.pop(name, None)
    rest = {
        name: inspected.get(name) for name in ("Author", "Comment", "ContainerConfig", "RepoTags")
    }
    text = json.dumps({**rest, "Config": config}, indent=1)
    yield Location(name="config"), iter([text.encode()])


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _read_stored(stored: StoredImage, base_diff_ids: Collection[str]) -> Iterator[Leaving]:
    """Yield the files of the layers over a base."""
    passed = set(base_diff_ids)
    for number, layer in enumerate(stored.layers, start=1):
        if layer.diff_id not in passed:
            passed.add(layer.diff_id)
            with tar_errors():
                yield from _files(Content(Source(layer.chunks()), layer.size_bytes()), number)


def _read_once(
    open_tar: OpenTar,
    diff_ids: Sequence[str],
    wanted: set[int],
    *,
    names: Mapping[str, int] | None = None,
) -> Iterator[Leaving]:
    """Yield the files of the layers that are wanted, and strike those off."""
    for number, _, stream in numbered_files(open_tar, diff_ids, names):
        if number in wanted:
            wanted.remove(number)
            yield from _files(stream, number + 1)


def _files(stream: Content, number: int) -> Iterator[Leaving]:
    file = unpack(stream) or cast("IO[bytes]", stream)
    with open_stream(file, block_bytes=_BLOCK_BYTES) as layer:
        for member in layer:
            if member.issparse():
                raise unreadable(f"holds a file with holes: {member.name}")
            content = layer.extractfile(member) if member.isreg() else None
            if content is not None:
                yield Location(name=member.name, layer=number), read_chunks(content)
