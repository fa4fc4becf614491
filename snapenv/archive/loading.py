"""An archive's image as the tar that an engine's load takes.

Every engine takes the form of ``docker save`` before Docker 25; newer ones, and those with
containerd's store, do so still.

Source: https://github.com/moby/docker-image-spec/blob/main/v1.2.md
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snapenv.archive.layout import END, make_header, padding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from snapenv.archive.layout import Archived, Part
    from snapenv.ports import Task


def docker_archive(archived: Archived, layers: Iterable[Part], task: Task) -> Iterator[bytes]:
    """Give the tar; ``layers`` may come in any order, and lack those that the engine has."""
    done, total = 0, sum(layer.size_bytes for layer in archived.layers)
    for digest, size, chunks in layers:
        yield make_header(f"{_hex(digest)}.tar", size)
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            task.count(done, max(done, total))
        yield padding(size)
    config = f"{_hex(archived.config_digest)}.json"
    names = [f"{_hex(digest)}.tar" for digest in archived.diff_ids]
    manifest = json.dumps([{"Config": config, "RepoTags": None, "Layers": names}]).encode()
    for name, content in ((config, archived.config), ("manifest.json", manifest)):
        yield make_header(name, len(content)) + content + padding(len(content))
    yield END


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
