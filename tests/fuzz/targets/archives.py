"""Archives: zstd frames, tars, images that an engine saves, folders out of containers, wheels."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from snapenv.advisories.database import find_in_database
from snapenv.archive.frame import Unpacked, measure_frame
from snapenv.archive.reader import check_archive, docker_archive, read_layers
from snapenv.archive.snapshot import holds_snapshot, lay_out, unpack_snapshot_archive
from snapenv.engine import layers as engine_layers
from snapenv.engine.archive import unpack_folder
from snapenv.engine.foreground import frames
from snapenv.engine.save_load import read_saved
from snapenv.index import fetching
from snapenv.index.record import read_record
from snapenv.lock.prove import installed_digest, installed_executables
from snapenv.model.oci import Descriptor
from snapenv.model.osv import Query
from snapenv.network.session import RequestError
from snapenv.probe import collect
from snapenv.usage.training import find_batch
from tests.archive.making import change_documents, make_archive, pack
from tests.fakes import FakeTask
from tests.fuzz.target import BrokenRuleError, Target, scratch
from tests.samples import sample_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DIFF_IDS = tuple(f"sha256:{letter * 64}" for letter in "abc")
_LAYER = Descriptor(digest="sha256:" + "a" * 64, size=1)
_MOST_UNPACKED = 1 << 26


def _frame(content: bytes) -> None:
    """Measure a frame, and unpack it: it gives no more than its measure allows."""
    file = io.BytesIO(content)
    measure_frame(file)
    unpacked, size = Unpacked(file, lambda _: None), 0
    while not unpacked.at_end():
        size += 1
        if size > 200_000:  # at_end takes a byte
            break


def _in_file(content: bytes, read: Callable[[Path, Path], object]) -> None:
    with scratch() as folder:
        path = folder / "file"
        path.write_bytes(content)
        (folder / "into").mkdir()
        read(path, folder / "into")


def _archive(path: Path, _: Path) -> None:
    archived = check_archive(path, FakeTask())
    sum(map(len, docker_archive(archived, read_layers(path, archived), FakeTask())))


def _archive_tar(content: bytes) -> None:
    """Read a tar as the archive of an image."""
    _in_file(pack(content), _archive)


def _archive_documents(content: bytes) -> None:
    """Read an archive whose index, manifest and config are other ones, with digests that fit."""
    wanted = json.loads(content)
    if not isinstance(wanted, dict) or not all(isinstance(one, dict) for one in wanted.values()):
        return

    def change(*documents: dict[str, Any]) -> None:
        for document, key in zip(documents, ("index", "manifest", "config"), strict=True):
            document.update(wanted.get(key, {}))

    def read(path: Path, into: Path) -> None:
        made = make_archive(into / "whole")
        path.write_bytes(change_documents(made.read_bytes(), change))
        _archive(path, into)

    _in_file(b"", read)


def _snapshot_archive(content: bytes) -> None:
    """Read a tar as the archive of a snapshot; what it lays out stays in its folder."""

    def read(path: Path, into: Path) -> None:
        holds_snapshot(path)
        unpack_snapshot_archive(path, into, FakeTask())

    _in_file(pack(content), read)


def _snapshot_layer(content: bytes) -> None:
    """Lay out the first layer of a snapshot out of a registry."""

    def read(_: Path, into: Path) -> None:
        (into / ("a" * 64)).write_bytes(pack(content))
        lay_out((_LAYER,), into, where="here")
        if {one.name for one in into.iterdir()} != {"a" * 64, "snapshot"}:
            raise BrokenRuleError("something was put beside the snapshot")

    _in_file(b"", read)


def _saved(content: bytes) -> None:
    """Read the layers of an image that the engine saves, with their files."""
    chunks = [content[at : at + 700] for at in range(0, len(content), 700)]
    total = 0
    for _, pieces in engine_layers.read_layers(
        lambda: nullcontext(chunks), _DIFF_IDS, base_diff_ids=_DIFF_IDS[:1]
    ):
        for piece in pieces:
            total += len(piece)
            if total > _MOST_UNPACKED:
                return


def _saved_parts(content: bytes) -> None:
    """Read the layers as an export takes them."""
    for _, size, pieces in read_saved(lambda: nullcontext([content]), _DIFF_IDS):
        if sum(map(len, pieces)) > max(size, _MOST_UNPACKED):
            raise BrokenRuleError("a layer is larger than it says")


def _folder(content: bytes) -> None:
    """Read the folder of a snapshot out of a container."""
    chunks = [content[at : at + 700] for at in range(0, len(content), 700)]
    for name in unpack_folder(chunks, where="/opt/snapenv"):
        if "/" in name:
            raise BrokenRuleError(f"{name} is in a folder")


def _collected(content: bytes) -> None:
    """Read what the probe fetches out of an environment."""
    with scratch() as folder:
        path = folder / "answer"
        path.write_bytes(b"banner" + collect.MARK + content)
        with path.open("rb") as file:
            collect._sort(
                collect._members(file, folder),
                ("plain",),
                ("site/a.py", "prefix/bin/x"),
                ("zlib",),
            )


def _wheel(content: bytes) -> None:
    """Read the RECORD of a wheel, and compare its digest as installed."""
    wheel = sample_wheel("plain", "1.0")
    with fetching._is_archive(), ZipFile(io.BytesIO(content)) as archive:
        record = read_record(archive, wheel, len(content))
        installed_digest(record.text, name="plain", python="3.11")
        installed_executables(record, name="plain", python="3.11")


def _osv_database(content: bytes) -> None:
    query = Query(name="plain", version="1.0")
    _in_file(content, lambda path, _: find_in_database(path, (query,)))


def _checkpoint(content: bytes) -> None:
    _in_file(content, lambda path, _: find_batch(path))


def _output(content: bytes) -> None:
    """Tell stdout from stderr in what a container prints."""
    whole = sum(len(out or err or b"") for out, err in frames([content[:3], content[3:]]))
    if whole > len(content):
        raise BrokenRuleError("more came out than in")


TARGETS = (
    Target(name="frame", read=_frame, form="bytes", refuses=(ValueError,)),
    Target(name="archive-tar", read=_archive_tar, form="tar", most_bytes=1 << 17),
    Target(
        name="archive-documents",
        read=_archive_documents,
        form="json",
        refuses=(ValueError,),
    ),
    Target(name="snapshot-archive", read=_snapshot_archive, form="tar", most_bytes=1 << 17),
    Target(name="snapshot-layer", read=_snapshot_layer, form="tar", most_bytes=1 << 16),
    Target(name="saved-image", read=_saved, form="tar", most_bytes=1 << 16),
    Target(name="saved-parts", read=_saved_parts, form="tar", most_bytes=1 << 16),
    Target(name="container-folder", read=_folder, form="tar", most_bytes=1 << 16),
    Target(name="collected", read=_collected, form="tar", most_bytes=1 << 16),
    Target(name="wheel", read=_wheel, form="zip", refuses=(RequestError,)),
    Target(name="osv-database", read=_osv_database, form="zip"),
    Target(name="checkpoint", read=_checkpoint, form="zip"),
    Target(name="container-output", read=_output, form="bytes"),
)
