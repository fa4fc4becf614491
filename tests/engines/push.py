"""Root folders as images in our registry: each is made once, until its recipe changes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tests.engines.engine import connect
from tests.engines.place import UnavailableError, call, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engines.place import Place

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A root file system as a tar, and the changes that docker import takes."""

    tar: Path
    changes: Sequence[str]


def push_once(
    place: Place, name: str, *, recipe: object, engine: str, make: Callable[[Path], Made]
) -> str:
    """Return the name of an image in our registry, made and pushed if it is not there.

    ``make`` is given an empty folder that goes afterwards; ``recipe`` is all that it hangs on.

    Raises:
        UnavailableError: It cannot be made here.
    """
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()
    known = place.folder / f"{name.partition('/')[2].replace('/', '-').replace(':', '-')}.json"
    expected = json.loads(known.read_text()) if known.exists() else {}
    if expected == {"recipe": key, "digest": _served_digest(name)}:
        return name
    say(f"making {name}")
    with tempfile.TemporaryDirectory(prefix="image-", dir=place.folder) as folder:
        _import_and_push(make(Path(folder)), name, engine=engine)
    known.write_text(json.dumps({"recipe": key, "digest": _served_digest(name)}))
    return name


def pack(root: Path) -> Path:
    """Return a tar of a root folder, beside it."""
    tar = root.with_suffix(".tar")
    call("tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(tar), ".")
    return tar


def _served_digest(name: str) -> str | None:
    """Return the digest that our registry has under a name."""
    host, _, rest = name.partition("/")
    path, _, tag = rest.rpartition(":")
    url = f"http://{host}/v2/{path}/manifests/{tag}"
    answer = requests.head(url, headers={"Accept": _MANIFEST}, timeout=10)
    return answer.headers.get("Docker-Content-Digest") if answer.ok else None


def _import_and_push(made: Made, name: str, *, engine: str) -> None:
    repository, _, tag = name.rpartition(":")
    with connect(engine, timeout_s=1800) as client:
        told = client.import_image(
            src=str(made.tar), repository=repository, tag=tag, changes=list(made.changes)
        )
        if '"error"' in told:
            raise UnavailableError(f"the engine does not import {name}: {told.strip()}")
        for message in client.push(name, stream=True, decode=True):
            if "error" in message:
                raise UnavailableError(f"{name} cannot be pushed: {message['error']}")
