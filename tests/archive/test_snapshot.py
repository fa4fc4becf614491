"""The archive of a snapshot alone: written and read back, and refused where it is not whole."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording

from snapenv.archive.layout import END
from snapenv.archive.snapshot import pack_snapshot, write_snapshot_archive
from snapenv.errors import (
    ArchiveError,
    PlaceTakenError,
    SnapshotDamagedError,
    SnapshotVersionError,
    UsageError,
)
from snapenv.lock.store import make_snapshot, read_snapshot, write_snapshot
from snapenv.model.artifact import ARTIFACT_TYPE
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.workflows.export import Export, export
from snapenv.workflows.import_ import Import, import_archive
from snapenv.workflows.show import show
from tests.archive.making import (
    blob,
    digest,
    member,
    pack,
    read_members,
    refused_flips,
    write_members,
)
from tests.fakes import FakeTask
from tests.samples import CAPTURED_AT, TAG, pylock_of, sample_lock
from tests.steady import steady
from tests.workflows.services import NoEngine, services

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.model.snapshot import Snapshot

WHEEL = "vendor/ours-1.0-py3-none-any.whl"
LONG_WHEEL = f"vendor/ours-2.0-cp311-cp311-{'manylinux_2_17_x86_64.' * 6}whl"
EDITED = f"overlay/{'a' * 64}"


def carrying(**changed: bytes) -> Snapshot:
    """Return a snapshot with two wheels and an edited file."""
    lock = sample_lock()
    files = {WHEEL: b"wheel" * 9000, LONG_WHEEL: b"wheel", EDITED: b"edited", **changed}
    return make_snapshot(
        lock,
        pylock=pylock_of(lock),
        dockerfile=b"FROM scratch\n",
        captured_at=CAPTURED_AT,
        carried=files,
    )


SNAPSHOT = carrying()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("snapshots")
    write(folder / "a", SNAPSHOT)
    return (folder / "a").read_bytes()


def write(path: Path, snapshot: Snapshot) -> None:
    scratch = path.with_name(f"{path.name}.scratch")
    scratch.mkdir()
    write_snapshot_archive(
        path, pack_snapshot(snapshot, scratch), tag=snapshot.lock.tag, task=FakeTask()
    )


def take_in(path: Path, into: Path | None = None) -> str | None:
    request = Import(file=path, repository="here", output=into)
    return import_archive(request, services(NoEngine())).result.folder


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_snapshot_comes_back_byte_for_byte_without_an_engine(tmp_path: Path) -> None:
    write_snapshot(SNAPSHOT, tmp_path / "mine")

    out = tmp_path / "env.tar.zst"
    request = Export(ref="mine", output=out, repository="here")
    exported = export(request, services(NoEngine())).result
    folder = take_in(out)

    assert folder == f"snapshots/{TAG}"
    assert contents(tmp_path / folder) == contents(tmp_path / "mine")
    assert (exported.snapshot, exported.image) == (SNAPSHOT.digest, None)
    assert exported.size_bytes == out.stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env.tar.zst", "mine", "snapshots"]


def test_the_same_snapshot_gives_the_same_file(whole: bytes, tmp_path: Path) -> None:
    write(tmp_path / "again", carrying())

    assert (tmp_path / "again").read_bytes() == whole


def test_a_file_is_an_oci_layout_whose_manifest_names_each_wheel(whole: bytes) -> None:
    members = dict(read_members(whole))

    index = json.loads(members["index.json"])
    manifest = json.loads(members[blob(index["manifests"][0]["digest"])])
    assert list(members)[:2] == ["oci-layout", "index.json"]
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": TAG}
    assert manifest["artifactType"] == ARTIFACT_TYPE
    assert manifest["annotations"][SNAPSHOT_LABEL] == SNAPSHOT.digest
    titles = [one.get("annotations") for one in manifest["layers"]]
    assert titles == [
        None,
        {"org.opencontainers.image.title": WHEEL},
        {"org.opencontainers.image.title": LONG_WHEEL},
    ]
    assert members[blob(manifest["layers"][1]["digest"])] == b"wheel" * 9000


def test_a_file_is_shown_and_taken_for_a_snapshot(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(whole)

    shown = show("a", services(NoEngine()), repository="here").result

    assert (shown.kind, shown.digest, shown.name) == ("archive", SNAPSHOT.digest, "a")


def test_a_place_that_is_taken_is_left_as_it_is(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(whole)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_text("mine")

    with pytest.raises(PlaceTakenError):
        take_in(tmp_path / "a", tmp_path / "there")

    assert contents(tmp_path / "there") == {"x": b"mine"}


def test_what_has_no_layers_leaves_none_out(tmp_path: Path) -> None:
    write_snapshot(SNAPSHOT, tmp_path / "mine")

    with pytest.raises(UsageError):
        export(
            Export(ref="mine", output=tmp_path / "b", repository="here", delta=True),
            services(NoEngine()),
        )

    assert not (tmp_path / "b").exists()


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[bytes], str]:
    """Import some bytes, which must be refused, with nothing left; give the reason."""

    def refuse(content: bytes) -> str:
        path = tmp_path / "a"
        path.write_bytes(content)
        with pytest.raises((ArchiveError, SnapshotDamagedError)) as caught:
            take_in(path)
        assert sorted(one.name for one in tmp_path.iterdir()) == ["a"]
        assert str(path) in caught.value.message
        return caught.value.message

    return refuse


def test_every_truncation_and_every_flipped_bit_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    draw = random.Random(3)

    for cut in (0, 7, 80, *draw.sample(range(len(whole)), 60), len(whole) - 1):
        refuse(whole[:cut])

    assert refused_flips(whole, draw, 120, refuse) > 110


def files_layer(*files: tuple[str, bytes]) -> bytes:
    """Pack files as the first layer has them, whatever their names."""
    return pack(b"".join(member(name, content) for name, content in files) + END)


def forged(whole: bytes, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> bytes:
    """Change the manifest and the blobs, and make all else fit."""
    members = dict(read_members(whole))
    index = json.loads(members["index.json"])
    named = index["manifests"][0]
    manifest = json.loads(members.pop(blob(named["digest"])))
    order = [manifest["config"]["digest"], *(one["digest"] for one in manifest["layers"])]
    blobs = {name: members.pop(blob(name)) for name in order}
    change(manifest, blobs)
    content = json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode()
    named["digest"], named["size"] = digest(content), len(content)
    encoded = json.dumps(index, separators=(",", ":"), sort_keys=True).encode()
    wanted = [manifest["config"]["digest"], *(one["digest"] for one in manifest["layers"])]
    return write_members(
        {
            "oci-layout": members["oci-layout"],
            "index.json": encoded,
            blob(named["digest"]): content,
            **{blob(one): blobs[one] for one in wanted},
        }
    )


def with_files(*files: tuple[str, bytes]) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    """Return what puts other files into the first layer."""

    def change(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
        content = files_layer(*files)
        first = manifest["layers"][0]
        first["digest"], first["size"] = digest(content), len(content)
        blobs[first["digest"]] = content

    return change


def test_what_is_not_changed_is_taken(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(forged(whole, lambda *_: None))

    assert take_in(tmp_path / "a")
    assert read_snapshot(tmp_path / "snapshots" / TAG).digest == SNAPSHOT.digest


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/x", "vendor/x.whl", "overlay/../x", ".x", "overlay/a/b", "overlay", "a\nb"],
)
def test_no_file_leaves_the_folder_of_its_snapshot(
    name: str, whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    assert refuse(forged(whole, with_files((name, b"x"))))


def test_a_file_that_stands_twice_is_refused(whole: bytes, refuse: Callable[[bytes], str]) -> None:
    twice = with_files(("Dockerfile", b"a"), ("Dockerfile", b"b"))

    assert "File exists" in refuse(forged(whole, twice))


@pytest.mark.parametrize("title", ["../x.whl", "vendor/../x", "overlay/x", "vendor/a/b", "x", ""])
def test_no_wheel_leaves_its_folder(
    title: str, whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    def change(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
        del blobs
        manifest["layers"][1]["annotations"]["org.opencontainers.image.title"] = title

    assert steady(refuse(forged(whole, change)), title=title) == wording(
        "TMP/a is not a complete archive: a snapshot with a layer TITLE that belongs to none"
    )


def test_a_size_is_not_believed(whole: bytes, refuse: Callable[[bytes], str]) -> None:
    def change(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
        del blobs
        manifest["layers"][1]["size"] = 7

    assert steady(refuse(forged(whole, change))) == wording(
        "TMP/a is not a complete archive: blobs/sha256/DIGEST is not of the size that the manifest says"
    )


def test_a_blob_of_other_bytes_than_its_name_says_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    def change(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
        layer = manifest["layers"][1]
        blobs[layer["digest"]] = bytes(layer["size"])

    assert steady(refuse(forged(whole, change))) == wording(
        "TMP/a is not a complete archive: blobs/sha256/DIGEST holds other bytes than its name says"
    )


def test_another_wheel_under_the_same_name_is_found_by_the_sums(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    def change(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
        layer = manifest["layers"][1]
        layer["digest"], layer["size"] = digest(b"evil"), 4
        blobs[layer["digest"]] = b"evil"

    assert steady(refuse(forged(whole, change))) == wording(
        "TMP/a/vendor/ours-1.0-py3-none-any.whl is not what SHA256SUMS says"
    )


def test_a_snapshot_that_calls_itself_another_is_refused(
    whole: bytes, refuse: Callable[[bytes], str]
) -> None:
    def change(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
        del blobs
        manifest["annotations"][SNAPSHOT_LABEL] = digest(b"another")

    refuse(forged(whole, change))


def test_one_of_a_newer_snapenv_says_so(whole: bytes, tmp_path: Path) -> None:
    def change(manifest: dict[str, Any], blobs: dict[str, bytes]) -> None:
        del blobs
        manifest["artifactType"] = ARTIFACT_TYPE.replace("v1", "v2")

    (tmp_path / "a").write_bytes(forged(whole, change))

    with pytest.raises(SnapshotVersionError) as caught:
        take_in(tmp_path / "a")

    assert caught.value.message == wording(
        "the snapshot is of the form application/vnd.snapenv.snapshot.v2, which a newer snapenv wrote"
    )
