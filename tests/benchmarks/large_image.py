"""Send an image of so many GB through what reads it of an engine, or check its archive.

    python -m tests.benchmarks.large_image digests COUNT DIGESTS
    python -m tests.benchmarks.large_image export COUNT DIGESTS ARCHIVE
    python -m tests.benchmarks.large_image check COUNT DIGESTS ARCHIVE

Its layers of 1 GB are made as they are read, in the form in which an engine saves them: no disk
holds them, and what is read of them once is gone. Every MiB has 16 KiB that no other has.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.archive.layout import padding
from snapenv.archive.reader import check_archive
from snapenv.archive.writer import Export, write_archive
from snapenv.engine.save_load import read_saved
from snapenv.model.image import Image
from tests.archive.making import FILES, LABELS, SNAPSHOT
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LAYER_BYTES = 1_000_000_000
_PIECE, _OWN = 1 << 20, 16 << 10


def main(what: str, count: int, digests: Path, archive: Path) -> None:
    if what == "digests":
        digests.write_text(json.dumps([_digest(layer_of(number)) for number in range(count)]))
        return
    diff_ids = tuple(json.loads(digests.read_text())[:count])
    if what == "export":
        image = Image(
            id=diff_ids[0],
            diff_ids=diff_ids,
            labels=LABELS,
            variables={},
            machine="amd64",
            size_bytes=count * LAYER_BYTES,
        )
        export = Export(image=image, tag="large", snapshot=SNAPSHOT.digest, files=FILES)
        parts = read_saved(lambda: saved(diff_ids), diff_ids)
        write_archive(archive, export, parts, FakeTask())
    else:
        checked = check_archive(archive, FakeTask())
        assert checked.diff_ids == diff_ids


@contextmanager
def saved(diff_ids: Sequence[str]) -> Iterator[Iterable[bytes]]:
    """Give the image as the tar that docker save writes."""
    yield _tar(diff_ids)


def _tar(diff_ids: Sequence[str]) -> Iterator[bytes]:
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": LABELS},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()
    for number, digest in enumerate(diff_ids):
        yield from _member(digest, LAYER_BYTES, layer_of(number))
    yield from _member(f"sha256:{hashlib.sha256(config).hexdigest()}", len(config), [config])
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(digest: str, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    header = tarfile.TarInfo(f"blobs/{digest.replace(':', '/')}")
    header.size = size
    yield header.tobuf()
    yield from pieces
    yield padding(size)


def layer_of(number: int) -> Iterator[bytes]:
    """Yield the bytes of a layer; the same for the same number."""
    chance = random.Random(number)
    common = chance.randbytes(_PIECE - _OWN)
    for start in range(0, LAYER_BYTES, _PIECE):
        yield (chance.randbytes(_OWN) + common)[: LAYER_BYTES - start]


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


if __name__ == "__main__":
    what, count, *paths = sys.argv[1:]
    main(what, int(count), Path(paths[0]), Path(paths[-1]))
