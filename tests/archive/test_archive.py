"""Archives as they are written and read back."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.archive.reader import check_archive, docker_archive, read_layers
from snapenv.archive.writer import write_archive
from snapenv.errors import (
    ArchiveError,
    EngineError,
    NotFoundError,
    PlaceTakenError,
)
from snapenv.model.image import Layer
from tests.archive.making import (
    FILES,
    LABELS,
    LAYERS,
    SNAPSHOT,
    digest,
    make_archive,
    make_config,
    make_export,
    make_parts,
    read_members,
    unpack,
)
from tests.fakes import FakeTask
from tests.steady import steady

if TYPE_CHECKING:
    from pathlib import Path


def read_back(path: Path) -> dict[str, bytes]:
    archived = check_archive(path, FakeTask())
    return {name: b"".join(chunks) for name, _, chunks in read_layers(path, archived)}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a")

    archived = check_archive(path, FakeTask())

    assert archived.config == make_config()
    assert archived.layers == tuple(
        Layer(digest=digest(one), size_bytes=len(one)) for one in LAYERS
    )
    assert (archived.tag, archived.snapshot) == (SNAPSHOT.lock.tag, SNAPSHOT.digest)
    assert (archived.files, archived.labels, archived.machine) == (FILES, LABELS, "amd64")
    assert archived.variables == {"PATH": "/bin", "A": "b=c"}
    assert archived.absent == 0
    assert read_back(path) == {digest(one): one for one in LAYERS}


def test_the_same_image_gives_the_same_members(tmp_path: Path) -> None:
    first, second = (make_archive(tmp_path / name).read_bytes() for name in "ab")

    assert first == second


def test_a_delta_lacks_the_lowest_layers_and_names_them(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", left_out=2)

    archived = check_archive(path, FakeTask())

    assert archived.absent == 2
    assert archived.base_layers == {digest(one) for one in LAYERS[:2]}
    assert archived.layers[0].size_bytes == len(LAYERS[0])
    assert read_back(path) == {digest(one): one for one in LAYERS[2:]}


def test_a_layer_that_an_image_has_twice_is_in_its_archive_once(tmp_path: Path) -> None:
    layers = (b"one", b"two", b"one")
    parts = [*make_parts(layers[1:]), *make_parts((), make_config(layers))]
    once = (part for part in parts if part[0] != digest(make_config(layers[1:])))

    write_archive(tmp_path / "a", make_export(layers), once, FakeTask())

    assert check_archive(tmp_path / "a", FakeTask()).diff_ids == tuple(map(digest, layers))
    assert read_back(tmp_path / "a") == {digest(one): one for one in layers}


def test_sha256sum_alone_checks_an_archive(tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(unpack(make_archive(tmp_path / "a").read_bytes()))

    subprocess.run(["tar", "-xf", "tar"], cwd=tmp_path, check=True)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True
    )


def test_bytes_are_counted_as_they_go(tmp_path: Path) -> None:
    writing, reading = FakeTask(), FakeTask()

    write_archive(tmp_path / "a", make_export(), make_parts(), writing)
    check_archive(tmp_path / "a", reading)

    size = (tmp_path / "a").stat().st_size
    assert writing.counts[-1][0] >= sum(map(len, LAYERS))
    assert [done for done, _ in writing.counts] == sorted(done for done, _ in writing.counts)
    assert reading.counts[-1] == (size, size)


@pytest.mark.parametrize("chunk_bytes", [1021, 32 << 10, 100_003, 256 << 10, 300_000, 1 << 20])
def test_chunks_of_any_size_become_the_same_layer(chunk_bytes: int, tmp_path: Path) -> None:
    layer = random.Random(5).randbytes(1_500_000)
    config = make_config((layer,))
    starts = range(0, len(layer), chunk_bytes)
    parts = [
        (digest(layer), len(layer), iter([layer[at : at + chunk_bytes] for at in starts])),
        (digest(config), len(config), iter([config])),
    ]

    write_archive(tmp_path / "a", make_export((layer,)), parts, FakeTask())

    assert list(read_back(tmp_path / "a").values()) == [layer]


def test_small_chunks_are_not_counted_one_by_one(tmp_path: Path) -> None:
    task, layer = FakeTask(), bytes(3 << 20)
    config = make_config((layer,))
    parts = [
        (digest(layer), len(layer), iter([bytes(1 << 10)] * (3 << 10))),
        (digest(config), len(config), iter([config])),
    ]

    write_archive(tmp_path / "a", make_export((layer,)), parts, task)

    assert 3 <= len([done for done, _ in task.counts if done > 1 << 20]) < 30
    assert task.counts[-1][0] >= len(layer)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")

    with pytest.raises(PlaceTakenError, match="a exists already"):
        make_archive(tmp_path / "a")

    assert (tmp_path / "a").read_text() == "mine"


def test_layers_that_are_not_what_their_digest_says_are_no_archive(tmp_path: Path) -> None:
    parts = [(name, size, iter([bytes(size)])) for name, size, _ in make_parts()]

    with pytest.raises(EngineError) as caught:
        write_archive(tmp_path / "a", make_export(), parts, FakeTask())

    assert steady(caught.value) == wording(
        "the Docker engine gave other bytes for layer sha256:DIGEST than it has"
    )
    assert not list(tmp_path.iterdir())


def test_a_layer_that_breaks_off_is_no_archive(tmp_path: Path) -> None:
    parts = [(name, size + 1, chunks) for name, size, chunks in make_parts()]

    with pytest.raises(EngineError, match="instead of"):
        write_archive(tmp_path / "a", make_export(), parts, FakeTask())

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", range(5))
def test_an_image_without_one_of_its_parts_is_no_archive(missing: int, tmp_path: Path) -> None:
    parts = [part for number, part in enumerate(make_parts()) if number != missing]

    with pytest.raises(EngineError) as caught:
        write_archive(tmp_path / "a", make_export(), parts, FakeTask())

    assert str(caught.value) == wording("the Docker engine did not give all layers of the image")
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    config = make_config(config={"Labels": {}})

    with pytest.raises(ArchiveError) as caught:
        make_archive(tmp_path / "a", left_out=1, config=config)

    assert str(caught.value) == wording("the image's config is too large, or names no base image")
    assert not list(tmp_path.iterdir())


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        check_archive(tmp_path / "none", FakeTask())

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "there is no archive TMP/none"
    )


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        check_archive(tmp_path, FakeTask())

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP cannot be read: Is a directory"
    )


def test_layers_over_eight_gib_have_a_header() -> None:
    from snapenv.archive.layout import make_header, parse_header

    name = f"blobs/sha256/{'0' * 64}"

    assert parse_header(make_header(name, 9 << 30)) == (name, 9 << 30)


def test_what_an_engine_is_given_names_every_layer_and_no_tag(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", left_out=1)
    archived, task = check_archive(path, FakeTask()), FakeTask()

    tar = b"".join(docker_archive(archived, read_layers(path, archived), task))

    (tmp_path / "tar").write_bytes(tar)
    listed = subprocess.check_output(["tar", "-tf", str(tmp_path / "tar")], text=True).split()
    names = {f"{digest(one)[7:]}.tar" for one in LAYERS[1:]}
    assert set(listed) == {*names, f"{digest(make_config())[7:]}.json", "manifest.json"}
    assert task.counts[-1][0] == sum(map(len, LAYERS[1:]))


def test_members_are_an_oci_image_layout(tmp_path: Path) -> None:
    members = read_members(make_archive(tmp_path / "a").read_bytes())

    names = [name for name in members if not name.startswith(("blobs/", "snapshot/"))]
    assert names == ["oci-layout", "index.json", "SHA256SUMS"]
    assert {name[9:] for name in members if name.startswith("snapshot/")} == FILES.keys()
    assert sum(name.startswith("blobs/") for name in members) == len(LAYERS) + 2
