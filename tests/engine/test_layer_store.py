from __future__ import annotations

import gzip
import json
import os
from base64 import b64encode
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.engine.answers import Info, read_answer
from snapenv.engine.docker import DockerEngine
from snapenv.engine.docker_save import saved_image
from snapenv.engine.layer_store import find_stored
from snapenv.engine.layers import read_leaving
from snapenv.engine.save_load import read_saved
from snapenv.errors import EngineError
from snapenv.model.image import Image
from tests.engines.busybox import small_context
from tests.engines.engine import start_engine
from tests.engines.newer_engine import NEWER, start_newer
from tests.engines.provide import provide
from tests.fakes import FakeTask
from tests.grouping import OLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

HERE = "unix:///run/docker.sock"
STEPS = (
    "COPY random /data/one",
    "RUN cd /data && busybox mkdir real && busybox ln -s real link && echo x > link/in",
    r"RUN cd /data && echo odd > `busybox printf '\376'` && : > `busybox printf '\377'`",
    "RUN cd /data && busybox ln one hard && busybox ln -s one soft && busybox mkfifo pipe",
    "RUN cd /data && : > empty && busybox truncate -s 70000 holes && busybox chmod 0 real/in",
    "RUN cd /data && busybox rm one && busybox mv real moved && busybox rm -r /bin/cat",
    "RUN cd /data && echo more >> moved/in && busybox chown 7:8 holes && busybox rm soft link",
)


@pytest.fixture(autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may read what an engine has on its disk")


def read(parts: Iterable[tuple[str, int, Iterator[bytes]]]) -> dict[str, bytes]:
    """Read each part, which comes once and is as long as it says."""
    found: dict[str, bytes] = {}
    for digest, size, chunks in parts:
        assert digest not in found
        found[digest] = b"".join(chunks)
        assert len(found[digest]) == size
    return found


def digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


@pytest.mark.docker
@pytest.mark.parametrize("name", [OLDER, NEWER.name])
def test_the_layers_on_the_disk_are_those_that_the_engine_saves(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = start_engine if name == OLDER else partial(start_newer, newer=NEWER)
    address = provide(start)
    monkeypatch.setenv("DOCKER_HOST", address)
    engine = DockerEngine()
    image = engine.build(small_context(*STEPS, random=os.urandom(3_000_000)), FakeTask())
    client = engine.client

    saved = read(read_saved(lambda: saved_image(client, image.id), image.diff_ids))
    stored = find_stored(read_answer(client.info(), Info), address, image)
    leaving = [
        {str(place): b"".join(chunks) for place, chunks in found}
        for found in (
            read_leaving(client, image.id, base_diff_ids=image.diff_ids[:2]),
            read_leaving(client, image.id, base_diff_ids=image.diff_ids[:2], stored=stored),
        )
    ]

    assert stored
    assert read(stored.parts()) == read(engine.save(image)) == saved
    assert {digest(content) for content in saved.values()} == saved.keys()
    assert len(saved) == 2 + len(STEPS) + 1
    assert leaving[0] == leaving[1]
    assert "layer 4: data/real/in" in leaving[0]
    engine.remove(image.id)


class Disk:
    """What an engine would have on its disk of an image of one layer."""

    def __init__(self, root: Path) -> None:
        self.root, self.rest = root, b"a header and what fills it up"
        self.folder = root / "overlay2" / "cache" / "diff"
        (self.folder / "opt").mkdir(parents=True)
        (self.folder / "opt" / "file").write_bytes(b"content")
        self.entries: list[Mapping[str, object]] = [
            {"type": 2, "payload": b64encode(self.rest).decode()},
            {"type": 1, "name": "opt/file", "size": 7, "payload": "AAAA"},
            {"type": 1, "name": "opt/", "payload": None},
        ]
        self.tar = self.rest + b"content"

    def image(self) -> Image:
        """Write it, and return it as the engine would describe it."""
        diff_id, config = digest(self.tar), b'{"of": "an image"}'
        known = self.root / "image/overlay2/layerdb" / diff_id.replace(":", "/")
        kept = self.root / "image/overlay2/imagedb/content" / digest(config).replace(":", "/")
        for folder in (known, kept.parent):
            folder.mkdir(parents=True)
        kept.write_bytes(config)
        (known / "diff").write_text(diff_id)
        (known / "cache-id").write_text("cache")
        lines = "\n".join(map(json.dumps, self.entries))
        (known / "tar-split.json.gz").write_bytes(gzip.compress(lines.encode()))
        return Image(
            id=digest(config),
            diff_ids=(diff_id,),
            labels={},
            variables={},
            machine="amd64",
            size_bytes=len(self.tar),
        )

    def info(self, **others: object) -> Info:
        """Return what its engine would say of itself."""
        answer = {
            "Name": os.uname().nodename,
            "Driver": "overlay2",
            "DriverStatus": [["Backing Filesystem", "extfs"], ["Native Overlay Diff", "true"]],
            "DockerRootDir": str(self.root),
            **others,
        }
        return read_answer(answer, Info)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_layer_is_its_files_and_what_lies_between_them(disk: Disk) -> None:
    image = disk.image()

    stored = find_stored(disk.info(), HERE, image)

    assert stored
    assert read(stored.parts()) == {
        image.id: b'{"of": "an image"}',
        image.diff_ids[0]: disk.tar,
    }


@pytest.mark.parametrize(
    "info",
    [
        {"Name": "another-machine"},
        {"Driver": "overlayfs"},
        {"DriverStatus": [["Native Overlay Diff", "false"]]},
        {"DriverStatus": None},
        {"OperatingSystem": "Docker Desktop"},
        {"DockerRootDir": "/nowhere"},
    ],
)
def test_an_engine_elsewhere_or_of_another_kind_is_asked_itself(
    disk: Disk, info: Mapping[str, object]
) -> None:
    assert find_stored(disk.info(**info), HERE, disk.image()) is None


@pytest.mark.parametrize("name", ["diff", "cache-id", "tar-split.json.gz"])
def test_what_the_disk_lacks_is_asked_of_the_engine(disk: Disk, name: str) -> None:
    image = disk.image()
    next(disk.root.glob(f"image/overlay2/layerdb/sha256/*/{name}")).unlink()

    assert find_stored(disk.info(), HERE, image) is None


def test_a_layer_by_the_name_of_another_is_asked_of_the_engine(disk: Disk) -> None:
    image = disk.image()
    next(disk.root.glob("image/overlay2/layerdb/sha256/*/diff")).write_text(digest(b"other"))

    assert find_stored(disk.info(), HERE, image) is None


def refused(disk: Disk) -> str:
    """Return why what is found cannot be read."""
    stored = find_stored(disk.info(), HERE, disk.image())
    assert stored
    with pytest.raises(EngineError) as caught:
        read(stored.parts())
    return str(caught.value).replace(str(disk.root), "ROOT")


def test_a_file_of_another_size_is_refused(disk: Disk) -> None:
    (disk.folder / "opt/file").write_bytes(b"contents")

    assert refused(disk) == wording(
        "the image, as the engine saves it, cannot be read: ROOT/overlay2/cache/diff/opt/file is not the file that it was"
    )


def test_a_file_that_is_gone_is_refused(disk: Disk) -> None:
    (disk.folder / "opt/file").unlink()

    assert "ROOT/overlay2/cache/diff/opt/file" in refused(disk)


def test_what_is_no_plain_file_is_not_waited_for(disk: Disk) -> None:
    (disk.folder / "opt/file").unlink()
    os.mkfifo(disk.folder / "opt/file")

    assert "is not the file that it was" in refused(disk)


def test_no_link_leads_out_of_a_layer(disk: Disk) -> None:
    (disk.root / "secret").mkdir()
    (disk.root / "secret" / "file").write_bytes(b"content")
    (disk.folder / "opt/file").unlink()
    (disk.folder / "opt").rmdir()
    (disk.folder / "opt").symlink_to(disk.root / "secret")

    assert refused(disk) == wording(
        "the image, as the engine saves it, cannot be read: opt leads out of its layer"
    )


def test_no_file_is_a_link(disk: Disk) -> None:
    (disk.root / "secret").write_bytes(b"content")
    (disk.folder / "opt/file").unlink()
    (disk.folder / "opt/file").symlink_to(disk.root / "secret")

    assert "opt/file" in refused(disk)


def test_no_name_leads_out_of_a_layer(disk: Disk) -> None:
    (disk.root / "secret").write_bytes(b"content")
    disk.entries[1] = {"type": 1, "name": "../../../secret", "size": 7}

    assert refused(disk) == wording(
        "the image, as the engine saves it, cannot be read: ../../.. leads out of its layer"
    )


@pytest.mark.parametrize("lines", [b"{", b'{"type": 2, "payload": 7}', b'{"type": 1, "size": "x"}'])
def test_damaged_documents_are_refused(disk: Disk, lines: bytes) -> None:
    image = disk.image()
    path = next(disk.root.glob("image/overlay2/layerdb/sha256/*/tar-split.json.gz"))

    for content in (gzip.compress(lines), lines, path.read_bytes()[:-20]):
        path.write_bytes(content)
        stored = find_stored(disk.info(), HERE, image)
        assert stored
        with pytest.raises(EngineError, match="as the engine saves it, cannot be read"):
            read(stored.parts())
