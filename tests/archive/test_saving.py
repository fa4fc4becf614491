"""What engines and other programs save, in each of its layouts."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest
import zstandard
from inline_snapshot import snapshot as wording

from snapenv.engine.save_load import read_saved
from snapenv.errors import EngineError
from tests.archive.making import LAYERS, blob, digest, make_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

DIFF_IDS = tuple(map(digest, LAYERS))
CONFIG = make_config()
CONTENTS = {digest(one): one for one in (*LAYERS, CONFIG)}
ATTESTATION = make_config((b"attested",))


def tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def docker_archive(name: Callable[[bytes], str], pack: Callable[[bytes], bytes]) -> bytes:
    """Return what ``docker save`` writes from 25 on, and skopeo, with names of one's own."""
    names = [name(pack(one)) for one in LAYERS]
    manifest = [{"Config": blob(digest(CONFIG)), "RepoTags": None, "Layers": names}]
    files = dict(zip(names, map(pack, LAYERS), strict=True))
    return tar(
        {**files, blob(digest(CONFIG)): CONFIG, "manifest.json": json.dumps(manifest).encode()}
    )


def oci_archive(pack: Callable[[bytes], bytes]) -> bytes:
    """Return what an engine with containerd's store saves: also an attestation, of no platform."""
    files, manifests = dict[str, bytes](), []
    for config, layers in ((ATTESTATION, (b"attested",)), (CONFIG, LAYERS)):
        packed = [pack(one) for one in layers]
        manifest = json.dumps(
            {
                "config": {"digest": digest(config), "size": len(config)},
                "layers": [{"digest": digest(one), "size": len(one)} for one in packed],
            }
        ).encode()
        manifests.append({"digest": digest(manifest)})
        files |= {blob(digest(one)): one for one in (config, manifest, *packed)}
    index = json.dumps({"manifests": manifests}).encode()
    return tar({**files, "index.json": index, "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'})


def opener(content: bytes) -> Callable[[], AbstractContextManager[Iterable[bytes]]]:
    @contextmanager
    def open_tar() -> Iterator[Iterable[bytes]]:
        stream = io.BytesIO(content)
        yield iter(lambda: stream.read(701), b"")

    return open_tar


def read(saved: bytes) -> list[tuple[str, int, bytes]]:
    parts = read_saved(opener(saved), DIFF_IDS)
    return [(name, size, b"".join(chunks)) for name, size, chunks in parts]


def plain(content: bytes) -> bytes:
    return content


def gzip_of(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zstd(content: bytes) -> bytes:
    return zstandard.compress(content)


SAVED = {
    "docker 25": docker_archive(lambda one: blob(digest(one)), plain),
    "skopeo": docker_archive(lambda one: f"{digest(one)[7:]}.tar", plain),
    "other names": docker_archive(lambda one: f"layers/{len(one)}", plain),
    "oci": oci_archive(plain),
    "oci, gzip": oci_archive(gzip_of),
    "oci, zstd": oci_archive(zstd),
    "docker, gzip": docker_archive(lambda one: blob(digest(one)), gzip_of),
}


@pytest.mark.parametrize("layout", SAVED)
def test_every_layout_gives_the_config_and_the_layers_unpacked(layout: str) -> None:
    parts = read(SAVED[layout])

    assert {name: content for name, _, content in parts} == CONTENTS
    assert len(parts) == len(CONTENTS)
    assert all(size == len(content) for _, size, content in parts)


@pytest.mark.parametrize("layout", SAVED)
def test_a_tar_that_breaks_off_is_refused_unless_all_had_come(layout: str) -> None:
    saved = SAVED[layout]

    found = [read_or_refuse(saved[:cut]) for cut in range(0, len(saved), 997)]

    assert found.count(None) > 3
    assert all(contents in (None, CONTENTS) for contents in found)


def read_or_refuse(saved: bytes) -> dict[str, bytes] | None:
    try:
        return {name: content for name, _, content in read(saved)}
    except EngineError:
        return None


def test_a_tar_of_another_image_lacks_all() -> None:
    with pytest.raises(EngineError) as caught:
        list(read_saved(opener(SAVED["oci"]), (digest(b"other"),)))

    assert str(caught.value) == wording("the image, as the engine saves it, lacks 2 of its parts")


@pytest.mark.parametrize("layout", ["oci, gzip", "oci, zstd", "docker, gzip"])
def test_a_damaged_packed_layer_is_refused_or_gives_other_bytes(layout: str) -> None:
    saved = SAVED[layout]
    pack = zstd if "zstd" in layout else gzip_of
    packed = pack(LAYERS[1])
    start = saved.index(packed)

    found = [read_or_refuse(flip(saved, start + place)) for place in range(len(packed))]

    assert found.count(None) > len(packed) // 3


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


@pytest.mark.parametrize(
    "documents",
    [
        {"manifest.json": [{"Config": blob(digest(CONFIG))}]},
        {"manifest.json": [{"Config": blob(digest(CONFIG)), "Layers": 7}]},
        {"manifest.json": {"Config": [], "Layers": {}}},
        {"manifest.json": ["Config", None, [1]]},
        {"a": {"config": {"digest": digest(CONFIG)}}},
        {"a": {"config": {"digest": digest(CONFIG)}, "layers": [7, {"digest": []}]}},
        {"a": {"config": [], "layers": []}},
    ],
)
def test_documents_of_another_shape_are_refused(documents: Mapping[str, object]) -> None:
    files = {name: json.dumps(one).encode() for name, one in documents.items()}
    unknown = {"layers/0": LAYERS[0], blob("sha256:other"): b"unknown"}

    with pytest.raises(EngineError, match="lacks"):
        read(tar({**unknown, **files, blob(digest(CONFIG)): CONFIG}))


def test_a_plain_layer_is_handed_on_in_the_pieces_that_it_comes_in() -> None:
    layer = bytes(1 << 20)
    saved = docker_archive_of(layer)
    chunks = [saved[start : start + 4096] for start in range(0, len(saved), 4096)]

    parts = read_saved(lambda: nullcontext(chunks), (digest(layer),))
    pieces = [piece for name, _, part in parts for piece in part if name == digest(layer)]

    assert sum(map(len, pieces)) == len(layer)
    assert sum(any(piece is one for one in chunks) for piece in pieces) == len(layer) // 4096 - 1


def docker_archive_of(layer: bytes) -> bytes:
    config = make_config((layer,))
    return tar({blob(digest(layer)): layer, blob(digest(config)): config})


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_without_end_is_refused_before_it_is_held(kind: bytes) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield header(kind, size=1 << 40)
        for _ in range(64):
            taken += 1
            yield bytes(1 << 20)

    with pytest.raises(EngineError) as caught:
        list(read_saved(lambda: nullcontext(endless()), DIFF_IDS))

    assert str(caught.value) == wording(
        "the image, as the engine saves it, arrives incomplete: a header or document of 1099511627776 bytes"
    )
    assert taken == 0


def test_a_file_of_less_than_nothing_is_refused() -> None:
    saved = header(tarfile.REGTYPE, size=-(1 << 20)) + SAVED["docker 25"]

    with pytest.raises(EngineError, match="leads backwards|invalid offset"):  # newer Pythons see it
        read(saved)


def header(kind: bytes, *, size: int) -> bytes:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)
