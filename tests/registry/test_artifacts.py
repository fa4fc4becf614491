"""Snapshots that lie alone in a real registry: sent, found and fetched, through a poor network."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.archive.snapshot import pack_snapshot
from snapenv.errors import NotFoundError, RegistryError, SnapshotVersionError
from snapenv.lock.store import make_snapshot
from snapenv.model.artifact import ARTIFACT_TYPE, RemoteSnapshot
from snapenv.model.image import ImageRef
from snapenv.model.oci import OCI_MANIFEST, sha256_digest
from snapenv.model.snapshot import SNAPSHOT_LABEL, TAG_LABEL
from snapenv.network.session import Patience
from snapenv.registry.client import RegistryClient
from tests.engines import faulty as to
from tests.engines.place import install
from tests.engines.provide import provide, provide_running
from tests.engines.registry import PASSWORD, USER, serve_private
from tests.fakes import FakeTask
from tests.registry.pushed import Shelf, behind
from tests.samples import CAPTURED_AT, TAG, pylock_of, sample_lock
from tests.steady import steady

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.artifact import Artifact
    from snapenv.model.oci import Descriptor
    from tests.engines.faulty import FaultyRegistry

QUICK = Patience(connect_s=60.0, read_s=60.0, retries=2, backoff_s=0.01, max_wait_s=0.1)
IMPATIENT = replace(QUICK, connect_s=4.0, read_s=2.0)  # for who is silent
HEAD_BLOB = r"HEAD /v2/\S+/blobs/sha256:\S+ 404"
SKOPEO = ("skopeo", "--insecure-policy")
BEGIN = r"POST /v2/\S+/blobs/uploads/"
FINISH = r"PUT /v2/\S+/blobs/uploads/"


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(patience=QUICK)


@pytest.fixture
def ref(registry: str) -> ImageRef:
    return ImageRef(repository=Shelf.new(registry).repository, tag=TAG)


@pytest.fixture
def artifact(tmp_path: Path, request: pytest.FixtureRequest) -> Artifact:
    return pack(tmp_path, wheel=request.node.name.encode() * 999)


def pack(folder: Path, *, wheel: bytes) -> Artifact:
    """Return the artifact of a snapshot that carries a wheel of its own."""
    lock = sample_lock()
    snapshot = make_snapshot(
        lock,
        pylock=pylock_of(lock),
        dockerfile=b"FROM scratch\n",
        captured_at=CAPTURED_AT,
        carried={"vendor/ours-1.0-py3-none-any.whl": wheel},
    )
    (folder / "packed").mkdir(exist_ok=True)
    return pack_snapshot(snapshot, folder / "packed")


def layers(artifact: Artifact) -> tuple[str, ...]:
    return tuple(one["digest"] for one in json.loads(artifact.manifest)["layers"])


def found(client: RegistryClient, ref: ImageRef) -> RemoteSnapshot:
    described = client.find_snapshot(ref)
    assert described
    return described


def fetched(client: RegistryClient, ref: ImageRef, layer: Descriptor, into: Path) -> bytes:
    client.fetch(ref, layer, into, FakeTask())
    return into.read_bytes()


def test_a_snapshot_that_was_sent_is_found_and_fetched(
    client: RegistryClient, ref: ImageRef, artifact: Artifact, tmp_path: Path
) -> None:
    task = FakeTask()

    digest = client.push(ref, artifact, task)

    total = sum(len(read(one)) for one in artifact.blobs.values())
    assert digest == sha256_digest(artifact.manifest) == client.find_digest(ref)
    assert task.counts[-1] == (total, total)
    remote = found(client, ref)
    assert remote.ref == ref.at(digest)
    assert tuple(one.digest for one in remote.layers) == layers(artifact)
    assert (remote.created, remote.annotations[TAG_LABEL]) == (CAPTURED_AT, TAG)
    assert remote.annotations[SNAPSHOT_LABEL].startswith("sha256:")
    assert client.describe(ref) == remote
    for number, layer in enumerate(remote.layers):
        content = fetched(client, ref, layer, tmp_path / str(number))
        assert content == read(artifact.blobs[layer.digest])


def read(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def test_a_snapshot_is_no_image_and_an_image_no_snapshot(
    client: RegistryClient, ref: ImageRef, artifact: Artifact
) -> None:
    image = Shelf(ref.repository).push("a")
    client.push(ref, artifact, FakeTask())

    with pytest.raises(NotFoundError) as caught:
        client.read(ref)

    assert steady(caught.value.message, ref=ref) == wording("REF is a snapshot alone, and no image")
    assert f"snapenv restore {ref} --engine venv" in caught.value.hint
    assert client.find_snapshot(image.ref) is None
    assert client.describe(image.ref) == client.read(image.ref)


def test_what_the_registry_has_is_not_sent_again(
    client: RegistryClient, ref: ImageRef, faulty: FaultyRegistry, tmp_path: Path
) -> None:
    client.push(ref, pack(tmp_path, wheel=b"one wheel"), FakeTask())
    other = behind(ImageRef(repository=ref.repository, tag="b"), faulty.name)

    client.push(other, pack(tmp_path, wheel=b"another"), FakeTask())

    # the files of a snapshot hold its sums: they are others with another wheel
    assert faulty.count(HEAD_BLOB) == faulty.count(FINISH) == 2
    assert faulty.count(r"HEAD /v2/\S+/blobs/sha256:\S+ 200") == 1


def test_what_another_repository_has_is_not_sent_either(
    client: RegistryClient, ref: ImageRef, artifact: Artifact, faulty: FaultyRegistry
) -> None:
    client.push(ref, artifact, FakeTask())
    other = behind(ImageRef(repository=f"{ref.repository}-other", tag=TAG), faulty.name)

    client.push(other, artifact, FakeTask(), mount=behind(ref, faulty.name))

    assert faulty.count(r"POST \S+mount=sha256:\S+ 201") == 3
    assert faulty.count(FINISH) == 0
    assert found(client, other).layers == found(client, ref).layers


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (BEGIN, {"status": 503}),
        (FINISH, {"status": 500}),
        (FINISH, {"cut_request_after": 500}),
        (FINISH, {"silent": True}),
        (to.PUT_MANIFEST, {"status": 502}),
        (to.PUT_MANIFEST, {"cut_request_after": 9}),
        (to.PUT_MANIFEST, {"silent": True}),
    ],
    ids=str,
)
def test_a_transfer_that_breaks_once_is_whole(  # noqa: PLR0913 - two of them are the case
    client: RegistryClient,
    ref: ImageRef,
    artifact: Artifact,
    faulty: FaultyRegistry,
    *,
    where: str,
    what: dict[str, object],
) -> None:
    fault = faulty.add(to.Fault(to=where, **what))  # type: ignore[arg-type]
    sender = RegistryClient(patience=IMPATIENT) if "silent" in what else client

    sender.push(behind(ref, faulty.name), artifact, FakeTask())

    assert fault.times == 0
    assert tuple(one.digest for one in found(client, ref).layers) == layers(artifact)


def test_a_registry_that_takes_no_artifacts_is_named(
    client: RegistryClient, ref: ImageRef, artifact: Artifact, faulty: FaultyRegistry
) -> None:
    faulty.always(to.PUT_MANIFEST, status=400)
    there = behind(ref, faulty.name)

    with pytest.raises(RegistryError) as caught:
        client.push(there, artifact, FakeTask())

    assert caught.value.message.removesuffix(str(there)).removeprefix(faulty.name) == wording(
        " takes no artifacts: it answers with 400: "
    )
    assert "snapenv export" in caught.value.hint
    assert client.find_digest(ref) is None


@pytest.mark.parametrize("what", [{"flip": 5}, {"cut_after": 99}, {"status": 503}], ids=str)
def test_a_layer_comes_whole_or_not_at_all(  # noqa: PLR0913 - one of them is the case
    client: RegistryClient,
    ref: ImageRef,
    artifact: Artifact,
    faulty: FaultyRegistry,
    tmp_path: Path,
    *,
    what: dict[str, object],
) -> None:
    client.push(ref, artifact, FakeTask())
    there, wheel = behind(ref, faulty.name), found(client, ref).layers[1]

    faulty.add(to.Fault(to=to.BLOB, **what))  # type: ignore[arg-type]
    assert fetched(client, there, wheel, tmp_path / "a") == artifact.blobs[wheel.digest]
    faulty.add(to.Fault(to=to.BLOB, times=99, **what))  # type: ignore[arg-type]
    with pytest.raises(RegistryError):
        client.fetch(there, wheel, tmp_path / "b", FakeTask())
    assert not (tmp_path / "b").exists()


def test_a_layer_is_never_larger_than_its_manifest_says(
    client: RegistryClient,
    ref: ImageRef,
    artifact: Artifact,
    faulty: FaultyRegistry,
    tmp_path: Path,
) -> None:
    client.push(ref, artifact, FakeTask())
    faulty.always(to.BLOB, instead=bytes(1 << 20))

    with pytest.raises(RegistryError) as caught:
        client.fetch(
            behind(ref, faulty.name), found(client, ref).layers[1], tmp_path / "a", FakeTask()
        )

    assert steady(caught.value) == wording(
        "localhost:PORT sends more than 49 KiB, which is too much: localhost:PORT/transfers/NAME:train-yolov8.4.190-base-cu130"
    )
    assert not (tmp_path / "a").exists()


def test_a_tag_more_keeps_the_digest(
    client: RegistryClient, ref: ImageRef, artifact: Artifact
) -> None:
    digest = client.push(ref, artifact, FakeTask())
    image = Shelf(ref.repository).push("a")

    client.retag(ref, "replaced-x")
    client.retag(image.ref, "replaced-y")

    kept = [
        client.find_digest(ImageRef(repository=ref.repository, tag=tag))
        for tag in ("replaced-x", "replaced-y")
    ]
    assert kept == [digest, image.ref.digest]


def test_only_the_login_of_docker_s_configuration_may_push(
    client: RegistryClient, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provide_running(serve_private(tmp_path / "private")) as host:
        ref = ImageRef(repository=f"{host}/team/env", tag=TAG)
        with pytest.raises(RegistryError) as caught:
            client.push(ref, artifact, FakeTask())
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        digest = RegistryClient(patience=QUICK).push(ref, artifact, FakeTask())

    assert caught.value.hint == f"Log in: docker login {host}"
    assert digest == sha256_digest(artifact.manifest)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (ARTIFACT_TYPE.replace("v1", "v7"), SnapshotVersionError),
        ("application/vnd.example.thing", RegistryError),
    ],
)
def test_an_artifact_of_another_kind_is_named(
    client: RegistryClient,
    ref: ImageRef,
    artifact: Artifact,
    kind: str,
    error: type[Exception],
) -> None:
    client.push(ref, artifact, FakeTask())
    manifest = {**json.loads(artifact.manifest), "artifactType": kind}
    Shelf(ref.repository).put_manifest("other", json.dumps(manifest).encode(), OCI_MANIFEST)

    with pytest.raises(error, match=kind.replace(".", r"\.")):
        client.find_snapshot(ImageRef(repository=ref.repository, tag="other"))


def test_skopeo_copies_what_was_pushed(
    client: RegistryClient, ref: ImageRef, artifact: Artifact, tmp_path: Path
) -> None:
    provide(lambda _: install({"skopeo": "skopeo"}))
    client.push(ref, artifact, FakeTask())

    copy = tmp_path / "copy"
    subprocess.run(
        (*SKOPEO, "copy", "--quiet", "--src-tls-verify=false", f"docker://{ref}", f"oci:{copy}:a"),
        check=True,
    )

    blobs = {path.name for path in (copy / "blobs" / "sha256").iterdir()}
    expected = {sha256_digest(artifact.manifest), *artifact.blobs}
    assert {f"sha256:{name}" for name in blobs} == expected
