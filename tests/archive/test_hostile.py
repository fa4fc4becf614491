"""Archives that are damaged, or made by someone who means harm: refused, nothing is loaded."""

from __future__ import annotations

import gzip
import random
import struct
import tarfile
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.archive.layout import END, make_header
from snapenv.errors import ArchiveError
from snapenv.workflows.import_ import Import, import_archive
from tests.archive.making import (
    LAYERS,
    blob,
    change_documents,
    digest,
    make_archive,
    make_config,
    member,
    pack,
    read_members,
    refused_flips,
    unpack,
    write_members,
)
from tests.fakes import FakeEngine
from tests.steady import steady
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from snapenv.model.image import Image
    from snapenv.ports import Services

TOP = blob(digest(LAYERS[-1]))
SUFFIX_NAMES = (
    "/etc/passwd",
    "../../etc/passwd",
    "blobs/../../x",
    "blobs/sha256/../../../x",
    "snapshot/../x",
    "snapshot/.x",
    "snapshot/a/b",
    "./oci-layout",
    "oci-layout/",
    "blobs/sha256/",
    "blobs/sha512/" + "0" * 64,
    "blobs/sha256/" + "A" * 64,
    "blobs/sha256/" + "0" * 63,
    "x",
    "",
    "snapshot/x\ny",
    "snapshot/ä",
    "snapshot/-rf",
    "C:\\x",
    "x" * 300,
    "snapshot/" + "x" * 200,
)
TYPES = [bytes([n]) for n in range(256) if bytes([n]) != tarfile.REGTYPE]


class ClosedEngine(FakeEngine):
    """An engine that nobody may ask."""

    def check(self) -> str:
        raise AssertionError

    def load(self, tar: Iterable[bytes]) -> Image:
        raise AssertionError(tar)


def closed() -> Services:
    return replace(services(), engine=ClosedEngine())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_archive(tmp_path_factory.mktemp("archives") / "a").read_bytes()


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[bytes], str]:
    """Import some bytes, which must be refused with the file's name; give the reason."""
    path = tmp_path / "archive"

    def refuse(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(ArchiveError) as caught:
            import_archive(Import(file=path, repository="snapenv"), closed())
        assert str(path) in caught.value.message
        assert "again from where" in caught.value.hint
        return caught.value.message

    return refuse


def test_the_whole_archive_comes_to_the_engine(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(whole)
    (tmp_path / "b").write_bytes(write_members(read_members(whole)))

    for name in "ab":
        with pytest.raises(AssertionError):
            import_archive(Import(file=tmp_path / name, repository="snapenv"), closed())


def test_every_truncation_is_refused(whole: bytes, refuse: Callable[[bytes], str]) -> None:
    cuts = {*range(600), *random.Random(1).sample(range(len(whole)), 400), len(whole) - 1}

    reasons = {refuse(whole[:cut]) for cut in sorted(cuts) if cut < len(whole)}

    assert {reason.rpartition(": ")[2] for reason in reasons} == wording(
        {"it is not packed with zstd", "its end is missing"}
    )


def test_every_flipped_bit_is_refused_or_does_nothing(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    assert refused_flips(whole, random.Random(2), 500, refuse) > 490


def test_every_flipped_bit_of_the_tar_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    draw, tar = random.Random(3), unpack(whole)

    for place in draw.sample(range(len(tar)), 400):
        flipped = bytearray(tar)
        flipped[place] ^= 1 << draw.randrange(8)
        refuse(pack(bytes(flipped)))


def test_every_truncation_of_the_tar_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    tar = unpack(whole)

    for cut in random.Random(4).sample(range(len(tar)), 200):
        refuse(pack(tar[:cut]))


@pytest.mark.parametrize("name", SUFFIX_NAMES)
def test_names_that_no_archive_holds_are_refused(
    name: str, whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    tar = unpack(whole)

    refuse(pack(member(name, b"x") + tar))
    refuse(write_members({**read_members(whole), name: b"x"}))
    refuse(pack(tar[: -len(END)] + member(name, b"x") + END))


def test_links_devices_and_all_else_that_is_no_plain_file_are_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    tar = unpack(whole)

    for kind in TYPES:
        refuse(pack(member("snapshot/x", type=kind, linkname="/etc/passwd") + tar))


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": 0o755},
        {"mode": 0o4644},
        {"uid": 1},
        {"gid": 1},
        {"mtime": 1},
        {"uname": "root"},
        {"gname": "root"},
        {"linkname": "x"},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    ],
)
def test_anything_else_in_a_header_is_refused(
    changes: dict[str, Any], whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    refuse(pack(member("snapshot/x", b"x", **changes) + unpack(whole)))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"S"])
def test_a_header_that_announces_terabytes_is_refused_before_they_are_read(
    kind: bytes, whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    info = tarfile.TarInfo("snapshot/x")
    info.type, info.size = kind, 1 << 42
    plain = make_header("snapshot/x", 1 << 42)

    refuse(pack(info.tobuf(tarfile.GNU_FORMAT) + unpack(whole)))
    refuse(pack(plain + unpack(whole)))


@pytest.mark.parametrize(
    "field", [b"-0000000001\0", b"0x000000fff\0", b"\xff" * 12, b"\x80" + b"\xff" * 11, b" " * 12]
)
def test_sizes_that_are_no_numbers_are_refused(
    field: bytes, whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    tar = bytearray(unpack(whole))
    tar[124:136] = field
    tar[148:156] = b" " * 8
    tar[148:156] = f"{sum(tar[:512]):06o}\0 ".encode()

    refuse(pack(bytes(tar)))


def test_a_member_that_is_in_it_twice_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    tar, members = unpack(whole), read_members(whole)

    for name in members.keys() - {"SHA256SUMS"}:
        assert steady(refuse(pack(member(name, members[name]) + tar)), name=name) == wording(
            "TMP/archive is not a complete archive: NAME is in it twice"
        )


def test_a_member_that_is_missing_is_refused(whole: bytes, refuse: Callable[[bytes], str]) -> None:
    members = read_members(whole)

    for missing in members.keys() - {blob(digest(LAYERS[0]))}:
        left = {name: content for name, content in members.items() if name != missing}
        refuse(write_members(left, sums=False))
        if missing != "SHA256SUMS":
            refuse(write_members(left))


def test_other_bytes_in_a_member_are_refused_also_where_the_sums_fit(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    members = read_members(whole)

    for name, content in members.items():
        for other in (b"", content + b"x", content[:-1] + b"?", b"{}", b"[" * 100_000, b"null"):
            if other != content:
                refuse(write_members({**members, name: other}, sums=name != "SHA256SUMS"))


def test_superfluous_members_are_refused(whole: bytes, refuse: Callable[[bytes], str]) -> None:
    members, tar = read_members(whole), unpack(whole)
    end = tar[: -len(END)]

    assert steady(refuse(write_members({**members, blob(digest(b"more")): b"more"}))) == wording(
        "TMP/archive is not a complete archive: blobs/sha256/DIGEST belongs to no image"
    )
    assert "not in SHA256SUMS" in refuse(write_members({**members, "snapshot/more": b"more"}))
    assert "more files" in refuse(pack(end + member("snapshot/x", b"x") + END))
    many = {f"snapshot/{number}": b"" for number in range(600)}
    assert "more files" in refuse(write_members({**members, **many}))


def test_what_stands_after_the_end_is_refused(whole: bytes, refuse: Callable[[bytes], str]) -> None:
    tar = unpack(whole)

    for after in (b"x", whole, pack(b""), b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip"):
        assert steady(refuse(whole + after)) == wording(
            "TMP/archive is not a complete archive: it goes on after its end"
        )
    for after in (b"\0", bytes(512), bytes(10240), b"x" * 512, tar):
        assert steady(refuse(pack(tar + after))) == wording(
            "TMP/archive is not a complete archive: something stands after its last file"
        )
    assert "after" in refuse(pack(tar[: -len(END)] + bytes(512) + tar))


def test_what_is_no_zstd_and_several_frames_are_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    tar = unpack(whole)
    skipped = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip"

    for other in (b"", b"x", tar, gzip.compress(tar), skipped + whole, b"PK\3\4" * 99):
        assert steady(refuse(other)) == wording(
            "TMP/archive is not a complete archive: it is not packed with zstd"
        )
    for cut in (512, 1000, len(tar) // 2):
        refuse(pack(tar[:cut]) + pack(tar[cut:]))


def test_a_frame_that_asks_for_much_memory_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    packed = packer.compress(unpack(whole)) + packer.flush()

    assert steady(refuse(packed)) == wording(
        "TMP/archive is not a complete archive: it is packed in a way that archives are not"
    )


def test_a_frame_that_names_a_dictionary_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    tar = unpack(whole)
    dictionary = zstandard.ZstdCompressionDict(tar[:4096], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    known = zstandard.train_dictionary(4096, [tar[at : at + 64] for at in range(0, 64000, 16)])

    for each in (dictionary, known):
        refuse(zstandard.ZstdCompressor(dict_data=each).compress(tar))


@pytest.mark.parametrize("name", [TOP, "snapshot/bomb", "index.json", "SHA256SUMS"])
def test_a_bomb_is_refused_without_filling_the_memory(
    name: str, refuse: Callable[[bytes], str]
) -> None:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    parts = [packer.compress(make_header(name, 2 << 30))]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(2 << 10)]
    bomb = b"".join([*parts, packer.compress(END), packer.flush()])
    tracemalloc.start()

    assert "could become" in refuse(bomb)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bomb) < 1 << 20
    assert peak < 16 << 20


def test_many_documents_do_not_fill_the_memory(refuse: Callable[[bytes], str]) -> None:
    content = b"{" + bytes(3 << 20)
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    parts = [packer.compress(member(blob(f"{n:064x}"), content)) for n in range(100)]
    bomb = b"".join([*parts, packer.flush()])
    tracemalloc.start()

    assert steady(refuse(bomb)) == wording(
        "TMP/archive is not a complete archive: blobs/sha256/DIGEST is larger than such a file can be"
    )

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20


DOCUMENTS: list[Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object]] = [
    lambda index, _m, _c: index.update(schemaVersion=3),
    lambda index, _m, _c: index.update(more=1),
    lambda index, _m, _c: index.update(manifests=[]),
    lambda index, _m, _c: index.update(manifests=index["manifests"] * 2),
    lambda index, _m, _c: index["annotations"].update({"io.snapenv.archive": "2"}),
    lambda index, _m, _c: index["annotations"].update({"io.snapenv.archive": "9" * 9999}),
    lambda index, _m, _c: index["annotations"].update({"io.snapenv.archive": "0"}),
    lambda index, _m, _c: index["annotations"].update({"io.snapenv.snapshot": digest(b"x")}),
    lambda index, _m, _c: index["manifests"][0]["platform"].update(architecture="arm64"),
    lambda index, _m, _c: index["manifests"][0].update(annotations={}),
    lambda index, _m, _c: index["manifests"][0].update(
        annotations={"org.opencontainers.image.ref.name": "train-py3.11-base-cpu"}
    ),
    lambda _i, manifest, _c: manifest.update(layers=[]),
    lambda _i, manifest, _c: manifest.update(layers=manifest["layers"][::-1]),
    lambda _i, manifest, _c: manifest.update(layers=manifest["layers"][:-1]),
    lambda _i, manifest, _c: manifest.update(layers=manifest["layers"] * 2),
    lambda _i, manifest, _c: manifest.update(layers=manifest["layers"] * 1000),
    lambda _i, manifest, _c: manifest.update(layers="x"),
    lambda _i, manifest, _c: manifest["layers"][0].update(size=1),
    lambda _i, manifest, _c: manifest["layers"][0].update(size=-1),
    lambda _i, manifest, _c: manifest["layers"][0].update(size=10**40),
    lambda _i, manifest, _c: manifest["layers"][0].update(digest="sha256:../../x"),
    lambda _i, manifest, _c: manifest["layers"][0].update(digest=digest(b"x") + "\n"),
    lambda _i, manifest, _c: manifest["layers"][0].update(urls=["http://example.com/x"]),
    lambda _i, manifest, _c: manifest["layers"][0].update(mediaType="text/plain"),
    lambda _i, manifest, _c: manifest.update(config=None),
    lambda _i, manifest, _c: manifest.update(subject={}),
    lambda _i, _m, config: config.pop("rootfs"),
    lambda _i, _m, config: config["rootfs"].update(diff_ids=config["rootfs"]["diff_ids"][::-1]),
    lambda _i, _m, config: config["rootfs"].update(diff_ids=None),
    lambda _i, _m, config: config.update(architecture="../x"),
    lambda _i, _m, config: config.update(architecture=1),
    lambda _i, _m, config: config.update(config=None),
    lambda _i, _m, config: config["config"].update(Labels={}),
    lambda _i, _m, config: config["config"].update(Labels=["x"]),
    lambda _i, _m, config: config["config"].update(Env="x"),
    lambda _i, _m, config: config["config"]["Labels"].update({"io.snapenv.snapshot": digest(b"x")}),
]


@pytest.mark.parametrize("change", DOCUMENTS)
def test_documents_that_say_other_things_are_refused_also_where_all_sums_fit(
    change: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object],
    whole: bytes,
    refuse: Callable[[bytes], str],
) -> None:
    refuse(change_documents(whole, change))


def test_documents_that_say_the_same_are_taken(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(change_documents(whole, lambda _i, _m, _c: None))

    with pytest.raises(AssertionError):
        import_archive(Import(file=tmp_path / "a", repository="snapenv"), closed())


def test_a_layer_missing_elsewhere_than_at_the_bottom_is_refused(
    tmp_path: Path, refuse: Callable[[bytes], str]
) -> None:
    members = read_members(make_archive(tmp_path / "a").read_bytes())

    for layer in LAYERS[1:]:
        left = {name: one for name, one in members.items() if name != blob(digest(layer))}
        assert steady(refuse(write_members(left))) == wording(
            "TMP/archive is not a complete archive: layer sha256:DIGEST is missing"
        )


def test_a_base_that_is_not_named_cannot_lend_a_layer(
    whole: bytes, tmp_path: Path, refuse: Callable[[bytes], str]
) -> None:
    labels = {"io.snapenv.snapshot": "sha256:x"}
    config = make_config(config={"Labels": labels})
    packed = make_archive(tmp_path / "a", config=config).read_bytes()
    members = read_members(packed)
    del members[blob(digest(LAYERS[0]))]

    assert steady(refuse(write_members(members))) == wording(
        "TMP/archive is not a complete archive: layer sha256:DIGEST is missing, and no base image is named"
    )
    assert whole != packed


def test_a_text_that_is_too_large_is_refused(refuse: Callable[[bytes], str]) -> None:
    assert steady(refuse(pack(member("index.json", bytes(17 << 20)) + END))) == wording(
        "TMP/archive is not a complete archive: index.json is larger than such a file can be"
    )


def test_a_snapshot_that_the_label_does_not_name_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    def change(index: dict[str, Any], _: dict[str, Any], config: dict[str, Any]) -> None:
        for labels in (index["annotations"], config["config"]["Labels"]):
            labels["io.snapenv.snapshot"] = digest(b"other")

    assert steady(refuse(change_documents(whole, change))) == wording(
        "TMP/archive is not what snapenv export writes: its image is of snapshot sha256:DIGEST"
    )
