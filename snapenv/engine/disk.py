"""What snapenv has made in an engine, what it takes up there, and how it goes.

Source: https://docs.docker.com/reference/api/engine/, ``SystemDataUsage`` and ``BuildPrune``.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from docker.errors import NotFound

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
        usage = answer.json()
    parents = {image["ParentId"] for image in usage["Images"] or ()}
    for image in usage["Images"] or ():
        kind = _image_kind(image["Labels"] or {})
        if kind:
            yield Freeable(
                kind=kind,
                id=image["Id"],
                names=tuple(name for name in image["RepoTags"] or () if name != _UNNAMED),
                size_bytes=image["Size"] - max(image["SharedSize"], 0),
                created=utc_text(image["Created"]),
                in_use=image["Containers"] > 0 or image["Id"] in parents,
            )
    for record in usage["BuildCache"] or ():
        if record["Type"] == _CACHE_MOUNT and _OURS in record["Description"]:
            yield Freeable(
                kind="build-cache",
                id=record["ID"],
                names=("downloads of uv in builds",),
                size_bytes=record["Size"],
                created=_to_the_second(record["CreatedAt"]),
                last_used=_to_the_second(record["LastUsedAt"]),
                in_use=record["InUse"],
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


def _image_kind(labels: dict[str, Any]) -> Kind | None:
    if labels.get(KIND_LABEL) == WORKSPACE_LAYER:
        return "workspace"
    return "environment" if labels.get(SNAPSHOT_LABEL) else None


def _to_the_second(moment: str | None) -> str | None:
    """Shorten ``2026-11-28T12:47:29.639456468Z``."""
    return f"{moment[:19]}Z" if moment else None
