"""The tags of the images here, asked for while somebody types: by one request, or not at all.

The engine's address is read without docker-py, whose import takes longer than all the rest.
Source: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageList
and https://docs.docker.com/engine/manage-resources/contexts/
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

from snapenv.model.image import is_kept_tag
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.places import exists, home

_SOCKET = "unix:///var/run/docker.sock"


def list_tags(timeout_s: float) -> tuple[str, ...]:
    """Return the tags of snapenv's images, sorted; none where no socket here is the engine's.

    Tags that only keep what lost its own are left out.

    Raises:
        OSError: The engine does not answer.
        ValueError: It answers something else.
    """
    scheme, _, path = _address().partition("://")
    if scheme != "unix":
        return ()
    connection = HTTPConnection("localhost")
    filters = quote(json.dumps({"label": [SNAPSHOT_LABEL]}))
    with socket.socket(socket.AF_UNIX) as connection.sock:
        connection.sock.settimeout(timeout_s)
        connection.sock.connect(path)
        connection.request("GET", f"/images/json?filters={filters}")
        images = json.loads(connection.getresponse().read())
    environments = (image for image in images if (image.get("Labels") or {}).get(SNAPSHOT_LABEL))
    names = (name for environment in environments for name in environment.get("RepoTags") or ())
    tags = {name.rpartition(":")[2] for name in names}
    return tuple(sorted(tag for tag in tags if not is_kept_tag(tag)))


def _address() -> str:
    """Return DOCKER_HOST, else the host of the active docker context, else the usual socket."""
    named = os.environ.get("DOCKER_HOST", "").strip()
    if named:
        return named
    folder = Path(os.environ.get("DOCKER_CONFIG") or home(os.environ) / ".docker")
    config = folder / "config.json"
    context = os.environ.get("DOCKER_CONTEXT") or (
        json.loads(config.read_text()).get("currentContext") if exists(config) else None
    )
    if context in {None, "", "default"}:
        return _SOCKET
    key = hashlib.sha256(context.encode()).hexdigest()
    meta = json.loads((folder / "contexts" / "meta" / key / "meta.json").read_text())
    return str(meta["Endpoints"]["docker"]["Host"])
