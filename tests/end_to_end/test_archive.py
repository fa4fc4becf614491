"""An image as one file: out of one engine, and back into it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import posixpath
import subprocess
import tarfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker import DockerClient
from docker.errors import ImageNotFound

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL
from tests.archive.making import unpack
from tests.command import Command
from tests.end_to_end.containers import Working, run_in
from tests.engines import faulty as to
from tests.engines.engine import start_engine
from tests.engines.faulty import Fault, FaultyRegistry, serve_faulty
from tests.engines.newer_engine import CONTAINERD, NEWER, start_newer
from tests.engines.place import install
from tests.engines.provide import provide
from tests.fakes import FakeTask
from tests.samples import TAG, sample_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engines.newer_engine import Newer

pytestmark = pytest.mark.docker

SNAPSHOT = sample_snapshot()
BASE_LABEL = "org.opencontainers.image.base"


@dataclass(frozen=True)
class Small:
    """A small base in the registry, and an image of a snapshot on it."""

    client: DockerClient
    command: Command
    base: ImageRef
    image: ImageRef
    folder: Path
    same_ids: bool  # containerd's store has an id of its own for each image that comes in

    def same(self, before: dict[str, Any], after: dict[str, Any]) -> bool:
        keys = ("RootFS", "Config", "Architecture", *(("Id",) if self.same_ids else ()))
        return all(before[key] == after[key] for key in keys)

    def inspect(self, ref: ImageRef) -> dict[str, Any]:
        found: dict[str, Any] = self.client.api.inspect_image(ref.tagged)  # type: ignore[no-untyped-call]
        return found

    def export(self, name: str, *words: str) -> Path:
        path = self.folder / name
        self.command.result("export", self.image.tagged, "-o", str(path), *words)
        return path

    def bring(self, path: Path, *words: str) -> dict[str, Any]:
        repository = ("--repository", self.image.repository)
        return self.command.document("import", str(path), *repository, *words)

    def remove(self, *refs: ImageRef) -> None:
        for ref in refs:
            self.client.images.remove(self.inspect(ref)["Id"], force=True)

    def has(self, ref: ImageRef) -> bool:
        try:
            self.client.images.get(ref.tagged)
        except ImageNotFound:
            return False
        return True


ENGINES = {"docker20": None, NEWER.name: NEWER, CONTAINERD.name: CONTAINERD}
every_engine = pytest.mark.parametrize("address", ENGINES, indirect=True)
# What this machine alone decides: the engine is only what it is asked on.
any_engine = pytest.mark.parametrize(
    "address",
    [
        name if newer is None else pytest.param(name, marks=pytest.mark.full)
        for name, newer in ENGINES.items()
    ],
    indirect=True,
)


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> str:
    newer = ENGINES[request.param]
    return provide(lambda place: start_newer(place, newer) if newer else start_engine(place))


@pytest.fixture(scope="module")
def base(address: str, registry: str) -> Iterator[ImageRef]:
    """A base that an engine has built and pushed, by tag and digest."""
    word = uuid.uuid4().hex
    base = ImageRef(repository=f"{registry}/archive/{word}", tag="base")
    lines = b"FROM scratch\nCOPY base /base\nCOPY more /more\n"
    # Not repeated bytes: those can stay the same when a bit of what zstd made of them is another.
    files = {"Dockerfile": lines, "base": os.urandom(1_600_000), "more": word.encode()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", address)
        engine = DockerEngine()
        engine.tag(engine.build(BuildContext(files=files, labels={}), FakeTask()), base)
        yield engine.push(base, FakeTask())


@pytest.fixture
def small(
    address: str, base: ImageRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Small]:
    """The base and an image on it, both in the engine that DOCKER_HOST names."""
    monkeypatch.setenv("DOCKER_HOST", address)
    engine, client = DockerEngine(), DockerClient(base_url=address)
    if engine.find(base.tagged) is None:
        engine.tag(engine.pull(base, FakeTask()), base)
    image = ImageRef(repository=f"archive-{uuid.uuid4().hex}", tag=TAG)
    engine.tag(engine.build(_on(base), FakeTask()), image)
    same_ids = not address.endswith(f"/{CONTAINERD.name}.sock")
    command = Command({"DOCKER_HOST": address})
    small = Small(client, command, base, image, tmp_path, same_ids)
    yield small
    for found in client.images.list():
        names = (*found.attrs["RepoTags"], *found.attrs["RepoDigests"])
        if any(image.repository in name or base.repository in name for name in names):
            client.images.remove(str(found.id), force=True)
    client.close()


def _on(base: ImageRef) -> BuildContext:
    lines = [
        f"FROM {base}",
        f"COPY {' '.join(SNAPSHOT.files)} {IMAGE_SNAPSHOT}/",
        "COPY snapenv.toml /again",
        "COPY snapenv.toml /again",
        'ENTRYPOINT ["/base"]',
        "ENV A=b=c",
    ]
    labels = {
        SNAPSHOT_LABEL: SNAPSHOT.digest,
        f"{BASE_LABEL}.name": base.tagged,
        f"{BASE_LABEL}.digest": str(base.digest),
    }
    files = {**SNAPSHOT.files, "of.base": "\n".join(lines).encode()}
    return BuildContext(files=files, labels=labels, dockerfile="of.base")


def _bytes(content: object) -> bytes:
    assert isinstance(content, bytes)
    return content


@every_engine
def test_an_image_that_was_removed_comes_back_the_same(small: Small) -> None:
    before = small.inspect(small.image)
    path = small.folder / "a"
    exported = small.command.result("export", small.image.tagged, "-o", str(path))
    small.remove(small.image)

    imported = small.bring(path)["result"]

    assert exported["digest"] == before["Id"]
    assert imported["config"] == exported["config"]
    assert imported["digest"] == small.inspect(small.image)["Id"]
    assert small.same(before, small.inspect(small.image))


@every_engine
def test_an_image_comes_back_without_its_base_being_there(small: Small) -> None:
    before = small.inspect(small.image)
    path = small.export("a")
    small.remove(small.image, small.base)

    assert small.bring(path)["ok"]

    assert small.same(before, small.inspect(small.image))


@every_engine
def test_layers_that_the_engine_does_not_know_are_loaded(small: Small) -> None:
    """No build cache has them, as on another machine."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in {**SNAPSHOT.files, "../x": uuid.uuid4().bytes * 99_999}.items():
            member = tarfile.TarInfo(posixpath.normpath(f"{IMAGE_SNAPSHOT}/{name}").lstrip("/"))
            member.size = len(_bytes(content))
            archive.addfile(member, io.BytesIO(_bytes(content)))
    small.client.api.import_image_from_data(
        stream.getvalue(),
        repository=small.image.repository,
        tag=TAG,
        changes=[f"LABEL {SNAPSHOT_LABEL}={SNAPSHOT.digest}"],
    )
    before = small.inspect(small.image)
    path = small.export("a")
    small.remove(small.image)

    assert small.bring(path)["ok"]

    assert small.same(before, small.inspect(small.image))
    found = small.command.result("export", small.image.tagged, "-o", str(small.folder / "b"))
    assert (small.folder / "b").read_bytes() == path.read_bytes()
    assert found["digest"] == small.inspect(small.image)["Id"]


@every_engine
@pytest.mark.parametrize("place", ["here", "in its registry"])
def test_a_delta_takes_the_base_from_here_or_from_its_registry(place: str, small: Small) -> None:
    before = small.inspect(small.image)
    path = small.export("a", "--delta")
    small.remove(small.image, *(() if place == "here" else (small.base,)))

    done = small.bring(path)

    assert done["ok"], done["error"]["message"]
    assert done["result"]["delta"] is True
    assert small.same(before, small.inspect(small.image))
    assert path.stat().st_size < 20_000


@every_engine
def test_a_delta_without_its_base_is_refused_and_nothing_is_loaded(small: Small) -> None:
    path = small.export("a", "--delta")
    small.remove(small.image, small.base)

    done = small.bring(path, "--mirror", "localhost:1/nowhere")

    assert (done["exit_code"], done["error"]["kind"]) == (4, "registry")
    assert not small.has(small.image)


# With containerd's store an engine speaks TLS first, which the faulty proxy does not understand.
plain_http = pytest.mark.parametrize(
    "address", ["docker20", pytest.param(NEWER.name, marks=pytest.mark.full)], indirect=True
)


@pytest.fixture
def mirror(registry: str) -> Iterator[FaultyRegistry]:
    """Another name of the registry, over a network that does what networks do."""
    with serve_faulty(registry) as running:
        yield running


@plain_http
@pytest.mark.parametrize(
    "fault",
    [
        Fault(to=to.ANY_MANIFEST, status=503),
        Fault(to=to.MANIFEST, cut_after=10),
        Fault(to=to.BLOB, cut_after=1000),
    ],
    ids=str,
)
def test_a_mirror_that_fails_once_gives_the_base_at_last(
    fault: Fault, small: Small, mirror: FaultyRegistry
) -> None:
    before = small.inspect(small.image)
    path = small.export("a", "--delta")
    small.remove(small.image, small.base)
    fault = mirror.add(fault)

    done = small.bring(path, "--mirror", mirror.name)

    assert done["ok"], done["error"]["message"]
    assert fault.times == 0
    assert small.same(before, small.inspect(small.image))


@plain_http
@pytest.mark.parametrize(
    "fault",
    [{"status": 401}, {"flip": 700}, {"instead": b"{}"}],
    ids=str,
)
def test_a_mirror_that_refuses_or_serves_other_bytes_gives_no_image(
    fault: Mapping[str, object], small: Small, mirror: FaultyRegistry
) -> None:
    path = small.export("a", "--delta")
    small.remove(small.image, small.base)
    # An engine may still have the manifest: then it asks by HEAD, and for the layers alone.
    mirror.always(r"\w+ /v2/\S+/" if "status" in fault else to.BLOB, **fault)

    done = small.bring(path, "--mirror", mirror.name)

    assert (done["exit_code"], done["error"]["kind"]) == (4, "registry")
    assert mirror.name in done["error"]["message"]
    assert not small.has(small.image)
    assert not small.client.images.list(name=f"{mirror.name}/{small.base.path}")


@any_engine
def test_a_damaged_archive_is_refused_by_name_and_nothing_is_loaded(small: Small) -> None:
    path = small.export("a")
    small.remove(small.image)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    done = small.bring(path)

    assert (done["exit_code"], done["error"]["kind"]) == (6, "archive")
    assert str(path) in done["error"]["message"]
    assert not small.has(small.image)


@any_engine
def test_a_tag_is_moved_by_replace_alone(small: Small) -> None:
    before = small.inspect(small.image)
    path = small.export("a")
    small.remove(small.image)
    small.client.images.get(small.base.tagged).tag(small.image.repository, TAG)

    refused, moved = small.bring(path), small.bring(path, "--replace")

    assert (refused["exit_code"], refused["error"]["kind"]) == (3, "tag-taken")
    assert "--replace" in refused["error"]["hint"]
    assert moved["ok"]
    assert small.same(before, small.inspect(small.image))


@any_engine
def test_a_file_that_is_there_is_not_written_over(small: Small) -> None:
    path = small.export("a")

    done = small.command.document("export", small.image.tagged, "-o", str(path))

    assert (done["exit_code"], done["error"]["kind"]) == (3, "place-taken")


@every_engine
def test_skopeo_reads_what_was_written(small: Small) -> None:
    provide(lambda _: install({"skopeo": "skopeo"}))
    before = small.inspect(small.image)
    tar, copy = small.folder / "tar", small.folder / "copy"
    exported = small.command.result("export", small.image.tagged, "-o", str(small.folder / "a"))
    tar.write_bytes(unpack((small.folder / "a").read_bytes()))

    source = f"oci-archive:{tar}:{TAG}"
    config = json.loads(subprocess.check_output(["skopeo", "inspect", "--config", source]))
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", source, f"dir:{copy}"], check=True
    )

    assert config["rootfs"]["diff_ids"] == before["RootFS"]["Layers"]
    assert config["config"]["Labels"] == before["Config"]["Labels"]
    manifest = json.loads((copy / "manifest.json").read_text())
    assert manifest["config"]["digest"] == exported["config"]
    assert [layer["digest"] for layer in manifest["layers"]] == before["RootFS"]["Layers"]


@dataclass(frozen=True)
class Archives:
    """Two archives that Docker 20.10 wrote of one image on the stand-in base."""

    tag: str
    exported: Mapping[str, dict[str, Any]]  # by kind: whole, or delta
    paths: Mapping[str, Path]


@pytest.fixture(scope="module")
def archives(
    engine_host: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Archives:
    command, folder = Command({"DOCKER_HOST": engine_host}), tmp_path_factory.mktemp("archives")
    named = ("--repository", f"archive-{uuid.uuid4().hex}")
    with Working(DockerClient(base_url=engine_host, timeout=600), base_image) as container:
        run_in(container, "python3 -m venv --system-site-packages /mine")
        there = ("--container", str(container.name), "--python", "/mine/bin/python")
        words = ("--no-smoke", "--base", base_image, "-o", str(folder / "snapshot"))
        tag = command.result("capture", *there, *words)["tag"]
    image = command.result("build", str(folder / "snapshot"), *named)["image"]
    paths = {kind: folder / kind for kind in ("whole", "delta")}
    exported = {
        kind: command.result(
            *("export", tag, "-o", str(path), *named), *(["--delta"] if kind == "delta" else [])
        )
        for kind, path in paths.items()
    }
    with contextlib.closing(DockerClient(base_url=engine_host, timeout=600)) as client:
        client.images.remove(image)
    return Archives(tag, exported, paths)


@pytest.mark.parametrize("kind", ["whole", "delta"])
def test_an_environment_on_a_base_comes_back_and_is_restored(
    kind: str, engine_host: str, archives: Archives
) -> None:
    command, repository = Command({"DOCKER_HOST": engine_host}), f"archive-{uuid.uuid4().hex}"
    named = ("--repository", repository)

    imported = command.result("import", str(archives.paths[kind]), *named)
    restored = command.result("restore", archives.tag, *named, "--device", "cpu", "--no-smoke")

    with contextlib.closing(DockerClient(base_url=engine_host, timeout=600)) as client:
        client.images.remove(f"{repository}:{archives.tag}")
    assert imported["digest"] == restored["digest"] == archives.exported[kind]["digest"]
    assert imported["snapshot"] == restored["snapshot"]
    if kind == "delta":
        assert archives.paths[kind].stat().st_size < 30_000_000


@pytest.mark.parametrize(("newer", "kind"), [(NEWER, "delta"), (CONTAINERD, "whole")])
def test_an_archive_of_one_engine_is_restored_from_its_file_on_another(
    newer: Newer, kind: str, archives: Archives
) -> None:
    address = provide(lambda place: start_newer(place, newer))
    command, repository = Command({"DOCKER_HOST": address}), f"archive-{uuid.uuid4().hex}"
    words = ("--repository", repository, "--device", "cpu", "--no-smoke")

    restored = command.result("restore", str(archives.paths[kind]), *words)

    assert restored["image"].startswith(f"{repository}:")
    with contextlib.closing(DockerClient(base_url=address, timeout=600)) as client:
        client.images.remove(restored["image"])
