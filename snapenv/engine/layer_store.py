"""An image as the engine keeps it on the disk of this machine, read past the engine.

Its API sends an image whole or not at all, and it writes all of it to its disk once more before the
first byte. On that disk a layer is its files, and apart from them the rest of its tar: together
they are the very tar whose digest the image has. Only root may read there.

Sources: https://github.com/moby/moby/blob/v28.5.2/layer/filestore.go and
https://github.com/vbatts/tar-split/blob/v0.12.1/tar/storage/entry.go
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import stat
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.engine.describe import DATA, is_here
from snapenv.engine.docker_save import unreadable
from snapenv.json_text import read_json
from snapenv.model.oci import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.engine.answers import Info
    from snapenv.model.image import Image

_DRIVER = "overlay2"
_COMPLETE = ("Native Overlay Diff", "true")  # else a layer's folder may lack what was moved
_REST = 2
_CHUNK_BYTES = 1 << 20


class StoredLayer(Struct, frozen=True, kw_only=True):
    """A layer: the folder of its files, and the file with the rest of its tar."""

    diff_id: str
    folder: str  # without a link in its path
    rest: Path

    def size_bytes(self) -> int:
        """Return the size of the layer's tar.

        Raises:
            EngineError: It cannot be read.
        """
        return sum(entry.size + len(entry.rest) for entry in self._entries())

    def chunks(self) -> Iterator[bytes]:
        """Yield the layer's tar, whose digest nothing has checked.

        Raises:
            EngineError: It cannot be read.
        """
        place_of = functools.cache(self._place_of)
        for entry in self._entries():
            if entry.size:
                above, _, name = os.fsdecode(entry.name_raw or entry.name).rpartition("/")
                yield from _content(f"{place_of(above)}/{name}", entry.size)
            elif entry.rest:
                yield entry.rest

    def _entries(self) -> Iterator[_Entry]:
        """Yield the pieces of the tar in their order."""
        with _reading(), gzip.open(self.rest) as lines:
            for line in lines:
                entry: _Entry = read_json(line, _Entry)
                yield entry

    def _place_of(self, above: str) -> str:
        """Return the folder of a file; a link leads nowhere but within the layer."""
        with _reading():
            place = os.path.realpath(f"{self.folder}/{above}")
            if not f"{place}/".startswith(f"{self.folder}/"):
                raise ValueError(f"{above} leads out of its layer")
            return place


class _Entry(Struct, frozen=True):
    """A piece of a tar: the content of a file of ``size`` bytes, else bytes that are no file's."""

    type: int
    name: str = ""
    name_raw: bytes = b""  # where it is not UTF-8
    size: int = 0
    payload: bytes | None = None  # of a file its checksum

    @property
    def rest(self) -> bytes:
        """The bytes that are no file's."""
        return (self.payload or b"") if self.type == _REST else b""


class StoredImage(Struct, frozen=True, kw_only=True):
    """An image: its config, and its layers in their order."""

    config: bytes
    layers: tuple[StoredLayer, ...]

    def parts(self) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Yield the config and the layers, each once, as ``ports.Engine.save`` does.

        Raises:
            EngineError: One cannot be read.
        """
        yield sha256_digest(self.config), len(self.config), iter((self.config,))
        for layer in {layer.diff_id: layer for layer in self.layers}.values():
            yield layer.diff_id, layer.size_bytes(), layer.chunks()


def find_stored(info: Info, address: str, image: Image) -> StoredImage | None:
    """Return where an image lies on this disk; None where the engine alone can give it.

    ``info`` is what the engine at ``address`` says of itself.
    """
    complete = info.driver == _DRIVER and _COMPLETE in (info.driver_status or ())
    if not complete or os.geteuid() != 0 or not is_here(address, info):
        return None
    root = Path(info.docker_root_dir or DATA)
    try:
        kept = root / "image" / _DRIVER / "imagedb" / "content" / image.id.replace(":", "/")
        return StoredImage(config=kept.read_bytes(), layers=tuple(_layers(root, image.diff_ids)))
    except (OSError, ValueError):
        return None


def _layers(root: Path, diff_ids: Sequence[str]) -> Iterator[StoredLayer]:
    """Find each layer by the digest of its own and of all below it.

    Raises:
        OSError, ValueError: One is not there, or is another.
    """
    chain = ""
    for diff_id in diff_ids:
        below = f"{chain} {diff_id}"
        chain = f"sha256:{hashlib.sha256(below.encode()).hexdigest()}" if chain else diff_id
        known = root / "image" / _DRIVER / "layerdb" / chain.replace(":", "/")
        if (known / "diff").read_text() != diff_id:
            raise ValueError(f"{known} is another layer")
        folder = root / _DRIVER / (known / "cache-id").read_text() / "diff"
        rest = known / "tar-split.json.gz"
        rest.stat()
        yield StoredLayer(diff_id=diff_id, folder=str(folder.resolve(strict=True)), rest=rest)


def _content(path: str, size: int) -> Iterator[bytes]:
    """Yield a plain file that has this size."""
    with _reading():
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with open(os.open(path, flags), "rb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                raise ValueError(f"{path} is not the file that it was")
            yield from iter(functools.partial(file.read, _CHUNK_BYTES), b"")


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise unreadable(f"cannot be read: {error}") from error
