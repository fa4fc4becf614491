"""What snapenv has made in an engine, what it takes up there, and how it goes.

Source: https://docs.docker.com/reference/api/engine/, ``SystemDataUsage`` and ``BuildPrune``.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from docker.errors import NotFound

from snapenv.engine.answers import DiskUsage, decode_answer
from snapenv.engine.failures import engine_errors
from snapenv.model.clean import Freeable
from snapenv.model.launch import KIND_LABEL, WORKSPACE_LAYER
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.sizes import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import APIClient

    from snapenv.model.clean import Kind

_OURS = "/opt/snapenv/"  # where builds of no one else install
_CACHE_MOUNT = "exec.cachemount"
_TIMEOUT_S = 600  # an engine with thousands of layers adds them up for a minute
_UNNAMED = "<none>:<none>"


def list_made(client: APIClient) -> Iterator[Freeable]:
    """Yield the images that snapenv has made, and what its builds keep of downloads.

    Raises:
        EngineError: The engine failed.
    """
    with engine_errors():
        answer = client.get(
            f"{client.base_url}/v{client.api_version}/system/df", timeout=_TIMEOUT_S
        )
        answer.raise_for_status()
        usage = decode_answer(answer.content, DiskUsage)
    yield from of_usage(usage)


def of_usage(usage: DiskUsage) -> Iterator[Freeable]:
    """Yield what of all that an engine has is snapenv's."""
    images = usage.images or ()
    parents = {image.parent_id for image in images}
    for image in images:
        kind = _image_kind(image.labels or {})
        if kind:
            yield Freeable(
                kind=kind,
                id=image.id,
                names=tuple(name for name in image.repo_tags or () if name != _UNNAMED),
                size_bytes=max(image.size - max(image.shared_size, 0), 0),
                created=utc_text(image.created),
                in_use=image.containers > 0 or image.id in parents,
            )
    for record in usage.build_cache or ():
        if record.type == _CACHE_MOUNT and _OURS in record.description:
            yield Freeable(
                kind="build-cache",
                id=record.id,
                names=("downloads of uv in builds",),
                size_bytes=max(record.size, 0),
                created=_to_the_second(record.created_at),
                last_used=_to_the_second(record.last_used_at),
                in_use=record.in_use,
            )


def remove_made(client: APIClient, made: Freeable) -> None:
    """Remove an image with all its names, or what a build keeps, if it is there.

    Raises:
        EngineError: A container has begun to use it, or the engine failed.
    """
    with engine_errors():
        if made.kind == "build-cache":
            filters = json.dumps({"id": {made.id: True}})
            url = f"{client.base_url}/v{client.api_version}/build/prune"
            client.post(url, params={"filters": filters}, timeout=_TIMEOUT_S).raise_for_status()
            return
        for name in made.names or (made.id,):
            with contextlib.suppress(NotFound):
                client.remove_image(name)


def _image_kind(labels: dict[str, str]) -> Kind | None:
    if labels.get(KIND_LABEL) == WORKSPACE_LAYER:
        return "workspace"
    return "environment" if labels.get(SNAPSHOT_LABEL) else None


def _to_the_second(moment: str | None) -> str | None:
    """Shorten ``2026-11-28T12:47:29.639456468Z``."""
    return f"{moment[:19]}Z" if moment else None
