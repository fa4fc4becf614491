"""Small archives, and what someone could make of them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import zstandard

from snapenv.archive.layout import (
    BLOBS,
    END,
    INDEX_FILE,
    Sum,
    make_sums,
    padding,
)
from snapenv.archive.writer import Export, write_archive
from snapenv.model.image import Image
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, SNAPSHOT_LABEL, SUMS_FILE
from tests.fakes import FakeTask
from tests.samples import sample_snapshot

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

SNAPSHOT = sample_snapshot()
FILES = {name: SNAPSHOT.text(name) for name in SNAPSHOT.files}
LAYERS = (b"the base" * 200, b"torch" * 1000, b"", b"ultralytics" * 100)
LABELS = {
    SNAPSHOT_LABEL: SNAPSHOT.digest,
    BASE_NAME_LABEL: "localhost:5000/nvidia/pytorch:25.10-py3",
    BASE_DIGEST_LABEL: f"sha256:{'ab' * 32}",
}


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_config(layers: Sequence[bytes] = LAYERS, **changes: object) -> bytes:
    """Return an image's config, with some of its keys changed."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": LABELS, "Env": ["PATH=/bin", "A=b=c"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]},
    }
    return json.dumps({**config, **changes}).encode()


def make_image(layers: Sequence[bytes] = LAYERS) -> Image:
    return Image(
        id=digest(make_config(layers)),
        diff_ids=tuple(digest(one) for one in layers),
        labels=LABELS,
        variables={"PATH": "/bin", "A": "b=c"},
        machine="amd64",
        size_bytes=sum(map(len, layers)),
    )


def make_parts(
    layers: Sequence[bytes] = LAYERS, config: bytes | None = None
) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Yield what an engine saves: the topmost first, the config in the middle."""
    contents = [*layers[::-1]]
    contents.insert(2, make_config(layers) if config is None else config)
    for content in contents:
        yield digest(content), len(content), iter([content[:7], content[7:]])


def make_export(layers: Sequence[bytes] = LAYERS, *, left_out: int = 0) -> Export:
    return Export(
        image=make_image(layers),
        tag=SNAPSHOT.lock.tag,
        snapshot=SNAPSHOT.digest,
        files=FILES,
        left_out=frozenset(digest(one) for one in layers[:left_out]),
    )


def make_archive(
    path: Path, layers: Sequence[bytes] = LAYERS, *, left_out: int = 0, config: bytes | None = None
) -> Path:
    """Write an archive of a small image."""
    export = make_export(layers, left_out=left_out)
    write_archive(path, export, make_parts(layers, config), FakeTask())
    return path


def unpack(packed: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()


def refused_flips(
    whole: bytes, draw: random.Random, count: int, refuse: Callable[[bytes], str]
) -> int:
    """Flip a bit in so many places, one at a time; return in how many it changed what is inside.

    Each of these has been given to ``refuse``.
    """
    refused, tar = 0, unpack(whole)
    for place in draw.sample(range(len(whole)), count):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draw.randrange(8)
        try:
            same = unpack(bytes(flipped)) == tar
        except zstandard.ZstdError:
            same = False
        if not same:
            refuse(bytes(flipped))
            refused += 1
    return refused


def pack(tar: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(tar)


def read_members(packed: bytes) -> dict[str, bytes]:
    """Return an archive's members as tarfile reads them, in their order."""
    with tarfile.open(fileobj=io.BytesIO(unpack(packed))) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def write_members(members: Mapping[str, bytes], *, sums: bool = True) -> bytes:
    """Make an archive of other members, with sums that fit."""
    files = {name: content for name, content in members.items() if name != SUMS_FILE or not sums}
    if sums:
        found = {name: Sum(len(one), digest(one)[7:]) for name, one in files.items()}
        files[SUMS_FILE] = make_sums(found)
    return pack(b"".join(member(name, content) for name, content in files.items()) + END)


def member(name: str, content: bytes = b"", **changes: object) -> bytes:
    """Make one member of a tar, with anything in its header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + padding(len(content))


def change_documents(
    packed: bytes, change: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object]
) -> bytes:
    """Change index, manifest and config, and let all digests between them fit again."""
    members = read_members(packed)
    index = json.loads(members.pop(INDEX_FILE))
    manifest = json.loads(members.pop(blob(index["manifests"][0]["digest"])))
    config = json.loads(members.pop(blob(manifest["config"]["digest"])))
    before = json.dumps([index, manifest, config])
    change(index, manifest, config)
    texts = _refer(index, manifest, config, unchanged=json.loads(before))
    return write_members({**members, **texts})


def _refer(
    index: dict[str, Any], manifest: dict[str, Any], config: dict[str, Any], *, unchanged: list[Any]
) -> dict[str, bytes]:
    texts = {}
    above: Any = manifest.get("config")
    content = json.dumps(config).encode()
    if above == unchanged[1]["config"]:
        above |= {"digest": digest(content), "size": len(content)}
    texts[blob(digest(content))] = content
    content = _canonical(manifest)
    manifests = index.get("manifests")
    if manifests == unchanged[0]["manifests"]:
        manifests[0] |= {"digest": digest(content), "size": len(content)}
    texts[blob(digest(content))] = content
    texts[INDEX_FILE] = _canonical(index)
    return texts


def _canonical(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def blob(name: str) -> str:
    return BLOBS + name.removeprefix("sha256:")
