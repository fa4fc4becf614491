"""What snapenv wrote at commit 7a4e064 is read and restored by the snapenv of today.

``tests/recorded/first_format/README.md`` tells how it was made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv
from docker import DockerClient

from snapenv.archive.layout import END
from snapenv.archive.reader import check_archive
from snapenv.errors import ArchiveError, SnapshotDamagedError
from snapenv.lock.store import parse_snapshot, read_snapshot
from snapenv.model.fingerprint import Speed
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL
from snapenv.render.layers import split_lock
from tests.archive.making import blob, change_documents, member, read_members
from tests.command import Command
from tests.engines.index_server import serve_index
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parents[1] / "recorded" / "first_format"
SNAPSHOT, ARCHIVE = RECORDED / "snapshot", RECORDED / "image.delta"
WITH_BASELINE = RECORDED / "with_baseline"
SNAPSHOT_TAG, IMAGE_TAG = "train-py3.11-base-cpu", "train-py3.13-base-cpu"
SNAPSHOT_DIGEST = "sha256:9cdeb1b32aac2eef960d9d168e3df693ab41cc936a87e4a23a26c0ad0cbd75ff"
ARCHIVED_DIGEST = "sha256:1f435217b16c498c5076bad5d8b7ea3301ba4453f2358ad844ebdc3a17f6c2cb"
FILES = sorted(str(path.relative_to(SNAPSHOT)) for path in SNAPSHOT.rglob("*") if path.is_file())

LOOK = """
import json
from importlib import resources
import blinker, by_hand, iniconfig.added, iniconfig.exceptions, inner_tool, training_code
print(json.dumps([
    by_hand.BY_HAND, iniconfig.added.ADDED, iniconfig.exceptions.EDITED,
    (resources.files("iniconfig") / "py.typed").is_file(),
    inner_tool.VERSION, training_code.ANSWER,
]))
"""
AS_CAPTURED = [True, True, True, False, 2, 42]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The program with empty caches, behind a proxy that serves the wheels of example.com."""
    wheels = {path.name: path.read_bytes() for path in (RECORDED / "wheels").iterdir()}
    with serve_index(*wheels.items()) as server:
        proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy"), server.address)
        folders = {"UV_CACHE_DIR": str(tmp_path / "uv"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        yield Command({**proxy, **folders})


@pytest.mark.parametrize(
    ("ref", "tag", "packages"),
    [
        (SNAPSHOT, SNAPSHOT_TAG, 4),
        (ARCHIVE, IMAGE_TAG, 4),
        (WITH_BASELINE, "train-yolov8.4.190-base-cu130", 59),
    ],
    ids=["snapshot", "archive", "with baseline"],
)
def test_it_is_shown_and_equals_itself(ref: Path, tag: str, packages: int) -> None:
    shown = Command().result("show", str(ref), "--packages")
    compared = Command().result("diff", str(ref), str(ref))

    assert (shown["tag"], len(shown["distributions"])) == (tag, packages)
    assert compared["differences"] == []


@pytest.mark.parametrize("folder", [SNAPSHOT, WITH_BASELINE], ids=["snapshot", "with baseline"])
def test_the_layers_are_those_of_then_so_that_they_are_not_built_again(folder: Path) -> None:
    layers = split_lock(read_snapshot(folder).lock)

    then = {path.name: path.read_bytes() for path in folder.glob("pylock.*.toml")}
    assert {layer.file: layer.content for layer in layers} == then


def test_a_baseline_is_read_with_its_speed() -> None:
    baseline = read_snapshot(WITH_BASELINE).lock.baseline

    assert baseline
    assert (len(baseline.values), baseline.values[0]) == (10, 60.4184684753418)
    assert len(baseline.operators) == 7
    assert baseline.speed == Speed(
        images_per_s=10.537,
        step_ms_median=386.604,
        step_ms_p95=473.0,
        loading_share=0.0355,
        shm_bytes=25276514304,
        cpu_count=2,
    )


def test_every_flipped_byte_of_the_speed_in_a_comment_is_found() -> None:
    files = read_snapshot(WITH_BASELINE).files
    content = (WITH_BASELINE / "SHA256SUMS").read_bytes()

    for position in range(content.index(b","), content.index(b"\n")):
        flipped = bytearray(content)
        flipped[position] ^= 1
        with pytest.raises(SnapshotDamagedError, match="not of its form"):
            parse_snapshot({**files, "SHA256SUMS": bytes(flipped)}, where="there")


@pytest.fixture
def _python_of_then() -> None:
    """Skip where there is no Python of the captured version, unless under CI."""
    found = subprocess.run(
        (uv.find_uv_bin(), "python", "find", "--system", "3.11"), capture_output=True, check=False
    )
    if found.returncode != 0 and "CI" not in os.environ:
        pytest.skip("no Python 3.11")


@pytest.mark.usefixtures("_python_of_then")
def test_the_snapshot_is_restored_into_a_venv(command: Command, tmp_path: Path) -> None:
    into = tmp_path / "restored"

    restored = command.document("restore", str(SNAPSHOT), "--engine", "venv", "--into", str(into))

    assert_restored(restored, SNAPSHOT_TAG, SNAPSHOT_DIGEST)
    assert json.loads(run(into / "bin" / "python", "-c", LOOK)) == AS_CAPTURED
    assert run(into / "bin" / "inner-tool") == "2\n"


@pytest.mark.parametrize("name", FILES)
def test_a_snapshot_with_one_other_byte_is_refused(name: str, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(SNAPSHOT, tmp_path / "damaged"))
    flip_last_byte(damaged / name)

    with pytest.raises(SnapshotDamagedError):
        read_snapshot(damaged)


def test_an_archive_with_one_other_byte_is_refused(tmp_path: Path) -> None:
    damaged = Path(shutil.copy(ARCHIVE, tmp_path / "damaged"))
    flip_last_byte(damaged)

    with pytest.raises(ArchiveError):
        check_archive(damaged, FakeTask())


@pytest.fixture(scope="module")
def client(engine_host: str) -> Iterator[DockerClient]:
    client = DockerClient(base_url=engine_host, timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="module")
def archive(
    client: DockerClient, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The recorded archive, on this machine's stand-in base instead of the one of then."""
    base = client.images.pull(base_image)
    (layer,) = base.attrs["RootFS"]["Layers"]

    def put_on_base(_: object, manifest: dict[str, Any], config: dict[str, Any]) -> None:
        manifest["layers"][0] |= {"digest": layer, "size": base.attrs["Size"]}
        config["rootfs"]["diff_ids"][0] = layer
        config["config"]["Labels"] |= {
            BASE_NAME_LABEL: base_image,
            BASE_DIGEST_LABEL: client.images.get_registry_data(base_image).id,
        }

    path: Path = tmp_path_factory.mktemp("archive") / "image.delta"
    path.write_bytes(change_documents(ARCHIVE.read_bytes(), put_on_base))
    return path


@pytest.fixture
def repository(client: DockerClient) -> Iterator[str]:
    """A name for images of one test, which are removed after it."""
    name = f"first-format-{uuid.uuid4().hex}"
    yield name
    for image in client.images.list(name):
        client.images.remove(str(image.id), force=True)


@pytest.mark.docker
def test_the_archive_is_restored(
    archive: Path, client: DockerClient, repository: str, command: Command
) -> None:
    words = ("--repository", repository, "--device", "cpu", "--no-smoke")

    restored = command.document("restore", str(archive), *words)

    assert_restored(restored, IMAGE_TAG, ARCHIVED_DIGEST)
    assert look_inside(client, f"{repository}:{IMAGE_TAG}") == AS_CAPTURED


@pytest.mark.docker
def test_the_image_is_restored_by_its_tag(
    archive: Path, client: DockerClient, repository: str, command: Command
) -> None:
    client.images.load(docker_save(archive, name=f"{repository}:{IMAGE_TAG}"))
    words = ("--repository", repository, "--device", "cpu", "--no-smoke")

    restored = command.document("restore", IMAGE_TAG, *words)

    assert_restored(restored, IMAGE_TAG, ARCHIVED_DIGEST)
    assert look_inside(client, f"{repository}:{IMAGE_TAG}") == AS_CAPTURED


def assert_restored(document: dict[str, Any], tag: str, digest_of_snapshot: str) -> None:
    assert (document["exit_code"], document["ok"]) == (0, True), document
    checks = {check["id"]: check["ok"] for check in document["checks"]}
    assert (document["result"]["tag"], document["result"]["snapshot"]) == (tag, digest_of_snapshot)
    assert (checks["distributions"], checks["untracked"]) == (True, True)


def look_inside(client: DockerClient, image: str) -> list[object]:
    output = client.containers.run(image, ["python", "-c", LOOK], entrypoint=[], remove=True)
    seen: list[object] = json.loads(output)
    return seen


def docker_save(archive: Path, *, name: str) -> bytes:
    """Return an archive's image as ``docker save`` writes it, without the layers of its base."""
    members = read_members(archive.read_bytes())
    index = json.loads(members["index.json"])
    manifest = json.loads(members[blob(index["manifests"][0]["digest"])])
    config, layers = blob(manifest["config"]["digest"]), manifest["layers"]
    names = [blob(layer["digest"]) for layer in layers]
    described = [{"Config": config, "RepoTags": [name], "Layers": names}]
    contents = {name: members[name] for name in (config, *names) if name in members}
    contents["manifest.json"] = json.dumps(described).encode()
    return b"".join(member(name, content) for name, content in contents.items()) + END


def run(*argv: Path | str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
