"""Read an archive that is not trusted: first all of it, then its layers, for an engine to load.

Nothing is unpacked to a name, and only documents are held in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import IO, TYPE_CHECKING

from snapenv.archive.frame import Unpacked, measure_frame
from snapenv.archive.layout import (
    BLOBS,
    BLOCK,
    END,
    MAX_DOCUMENT_BYTES,
    MAX_MEMBERS,
    MAX_TEXT_BYTES,
    NAMES,
    Sum,
    make_header,
    padding,
    parse_archive,
    parse_header,
)
from snapenv.errors import ArchiveError, NotFoundError
from snapenv.model.snapshot import SUMS_FILE

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from snapenv.archive.layout import Archived, Part
    from snapenv.ports import Task

_MAX_KEPT_BYTES = 64 << 20  # of all documents together


def check_archive(path: Path, task: Task) -> Archived:
    """Read an archive from its first byte to its last, and return what it holds.

    Raises:
        ArchiveError: It is damaged, or is none.
        NotFoundError: There is no such file.
    """
    with opened(path) as file:
        size = measure_frame(file)
        unpacked = Unpacked(file, lambda done: task.count(done, size))
        contents = _Contents()
        for name, size_bytes, chunks in read_members(unpacked):
            contents.take(name, size_bytes, chunks)
        return parse_archive(contents.members, contents.kept)


def read_layers(path: Path, archived: Archived) -> Iterator[Part]:
    """Yield the layers of an archive that was checked, in its order.

    Raises:
        ArchiveError: It is not what it was when it was checked.
    """
    wanted = {digest.removeprefix("sha256:") for digest in archived.diff_ids}
    with opened(path) as file:
        for name, size, chunks in read_members(Unpacked(file, lambda _: None)):
            sha256 = name.removeprefix(BLOBS)
            if sha256 in wanted:
                yield f"sha256:{sha256}", size, chunks
            else:
                for _ in chunks:
                    pass


class _Contents:
    """What was read of an archive so far."""

    def __init__(self) -> None:
        self.members: dict[str, Sum] = {}
        self.kept: dict[str, bytes] = {}  # the contents of documents, and what could be one
        self._kept_bytes = 0

    def take(self, name: str, size: int, chunks: Iterator[bytes]) -> None:
        """Read one member.

        Raises:
            ValueError: It cannot be of an archive.
        """
        self._refuse_impossible(name, size)
        digest, parts = hashlib.sha256(), []
        keep = not name.startswith(BLOBS) or size <= MAX_DOCUMENT_BYTES
        for number, chunk in enumerate(chunks):
            digest.update(chunk)
            keep = keep and (number > 0 or chunk[:1] == b"{" or not name.startswith(BLOBS))
            if keep:
                parts.append(chunk)
        self.members[name] = Sum(size, digest.hexdigest())
        if keep:
            self.kept[name] = b"".join(parts)
            self._kept_bytes += size

    def _refuse_impossible(self, name: str, size: int) -> None:
        if name in self.members:
            raise ValueError(f"{name} is in it twice")
        if SUMS_FILE in self.members or len(self.members) == MAX_MEMBERS:
            raise ValueError("it holds more files than an archive does")
        small = not name.startswith(BLOBS)
        if (small and size > MAX_TEXT_BYTES) or self._kept_bytes > _MAX_KEPT_BYTES:
            raise ValueError(f"{name} is larger than such a file can be")


def read_members(unpacked: Unpacked, names: re.Pattern[str] = NAMES) -> Iterator[Part]:
    """Yield each member, whose name is one of ``names``.

    Its bytes are to be read before the next is asked for.

    Raises:
        ValueError: It is no tar as archives are.
    """
    while (block := unpacked.take(BLOCK)) != END[:BLOCK]:
        name, size = parse_header(block, names)
        yield name, size, unpacked.chunks(size)
        if unpacked.take(len(padding(size))) != padding(size):
            raise ValueError(f"something stands after {name}")
    if unpacked.take(BLOCK) != END[BLOCK:] or not unpacked.at_end():
        raise ValueError("something stands after its last file")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open an archive, and name it in every complaint about it."""
    try:
        with path.open("rb") as file:
            yield file
    except ValueError as error:
        raise ArchiveError(
            f"{path} is not a complete archive: {error}",
            hint="Nothing was loaded. Get it again from where snapenv export wrote it.",
        ) from error
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no archive {path}", hint="Name a file that snapenv export wrote."
        ) from error
    except OSError as error:
        raise ArchiveError(
            f"{path} cannot be read: {error.strerror}", hint="See who may read it."
        ) from error


def docker_archive(archived: Archived, layers: Iterable[Part], task: Task) -> Iterator[bytes]:
    """Yield an archive's image as the tar that an engine's load takes.

    ``layers`` may come in any order, and lack those that the engine has. Every engine takes the
    form of ``docker save`` before Docker 25; newer ones, and those with containerd's store, do so
    still.

    Source: https://github.com/moby/docker-image-spec/blob/main/v1.2.md
    """
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
