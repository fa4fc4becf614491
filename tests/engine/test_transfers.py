"""Pulls and pushes of a real engine, through a network that does what networks do."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.engine.stream import Patience
from snapenv.errors import NotFoundError, RegistryError, SnapenvError
from snapenv.model.image import BuildContext, ImageRef, RemoteImage
from snapenv.network.session import Patience as RegistryPatience
from snapenv.registry.client import RegistryClient
from tests.engines import faulty as to
from tests.engines.faulty import Fault, FaultyRegistry, serve_faulty
from tests.engines.provide import provide_running
from tests.engines.registry import PASSWORD, USER, serve_private
from tests.fakes import FakeTask
from tests.registry.pushed import Pushed, Shelf, behind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

pytestmark = pytest.mark.docker

QUICK = Patience(answer_s=3.0, silence_s=3.0, before_retries_s=(0.1, 0.2))
LONG = replace(QUICK, answer_s=30.0, silence_s=30.0)  # what is to succeed may be slow
QUICK_REGISTRY = RegistryPatience(read_s=2.0, retries=2, backoff_s=0.1, max_wait_s=1.0)

CREATED = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}  # what a registry answers to a push


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(patience=QUICK_REGISTRY)


@pytest.fixture
def engine(engine_host: str, client: RegistryClient) -> DockerEngine:
    assert engine_host
    return DockerEngine(registry=client, patience=LONG)


@pytest.fixture
def impatient(engine_host: str, client: RegistryClient) -> DockerEngine:
    assert engine_host
    return DockerEngine(registry=client, patience=QUICK)


@pytest.fixture
def faulty(registry: str) -> Iterator[FaultyRegistry]:
    with serve_faulty(registry) as running:
        yield running


@pytest.fixture
def shelf(registry: str, faulty: FaultyRegistry, witness: docker.DockerClient) -> Iterator[Shelf]:
    """A repository that nobody has used; what an engine took from it is removed."""
    made = Shelf.new(registry)
    yield made
    for image in witness.images.list(name=f"{faulty.name}/{_path(made)}"):
        witness.images.remove(str(image.id), force=True)


@pytest.fixture
def there(shelf: Shelf) -> Pushed:
    """An image that the registry has, and no engine."""
    return shelf.push()


@pytest.fixture
def ref(there: Pushed, faulty: FaultyRegistry) -> ImageRef:
    """Its name behind the faulty proxy."""
    return ImageRef(repository=f"{faulty.name}/{there.ref.path}", tag="a")


@pytest.fixture
def built(shelf: Shelf, faulty: FaultyRegistry, engine: DockerEngine) -> ImageRef:
    """An image of the engine that no registry has, named behind the faulty proxy."""
    files = {"Dockerfile": b"FROM scratch\nCOPY x /\n", "x": os.urandom(50_000)}
    name = ImageRef(repository=f"{faulty.name}/{_path(shelf)}", tag="a")
    engine.tag(engine.build(BuildContext(files=files, labels={}), FakeTask()), name)
    return name


def _path(shelf: Shelf) -> str:
    return shelf.repository.partition("/")[2]


def assert_is(engine: DockerEngine, ref: ImageRef, there: Pushed) -> None:
    image = engine.find(ref.tagged)
    assert image is not None
    assert image.id == there.config_digest
    assert image.diff_ids == there.diff_ids


def test_a_pull_is_by_digest_and_names_what_came(
    engine: DockerEngine, ref: ImageRef, there: Pushed, faulty: FaultyRegistry
) -> None:
    image = engine.pull(ref, FakeTask())

    assert image.digests == (f"{ref.repository}@{there.ref.digest}",)
    assert faulty.count(rf"GET \S+/manifests/{there.ref.digest} 200") >= 1
    assert faulty.count(r"GET \S+/manifests/a 200") <= 1
    assert_is(engine, ref, there)


def test_a_pull_with_a_digest_gives_no_tag(
    engine: DockerEngine, ref: ImageRef, there: Pushed
) -> None:
    engine.pull(ref.at(str(there.ref.digest)), FakeTask())

    assert engine.find(ref.tagged) is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(to=where, status=status)
        for where in (to.ANY_MANIFEST, to.MANIFEST)
        for status in (429, 500, 502, 503)
    ],
    ids=str,
)
def test_a_failure_that_passes_is_tried_again(
    engine: DockerEngine, ref: ImageRef, there: Pushed, faulty: FaultyRegistry, fault: Fault
) -> None:
    fault = faulty.add(fault)

    engine.pull(ref, FakeTask())

    assert fault.times == 0
    assert_is(engine, ref, there)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"status": 401}, "refuses"),
        ({"status": 403}, "refuses"),
        ({"status": 429}, "too many requests"),
        ({"status": 500}, "does not answer"),
        ({"status": 503}, "does not answer"),
        ({"hangs": True}, "does not answer: no message arrived"),
        ({"cut_after": 0}, "does not answer"),
    ],
    ids=str,
)
def test_a_failure_that_stays_is_named_and_nothing_is_here(
    impatient: DockerEngine,
    ref: ImageRef,
    faulty: FaultyRegistry,
    what: dict[str, object],
    message: str,
) -> None:
    faulty.always(to.ANY_MANIFEST, **what)

    with pytest.raises(RegistryError, match=f"{faulty.name} .*{message}"):
        impatient.pull(ref, FakeTask())

    assert impatient.find(ref.tagged) is None


def test_other_bytes_for_a_manifest_s_digest_are_never_an_image(
    engine: DockerEngine, ref: ImageRef, faulty: FaultyRegistry, shelf: Shelf
) -> None:
    other = shelf.push("other")
    faulty.always(to.MANIFEST, instead=other.manifest)

    with pytest.raises(RegistryError, match=f"{faulty.name} serves other bytes"):
        engine.pull(ref, FakeTask())

    assert engine.find(ref.tagged) is None


@pytest.mark.parametrize("part", ["config", "layer"])
def test_other_bytes_for_a_blob_s_digest_are_never_an_image(
    engine: DockerEngine, ref: ImageRef, there: Pushed, faulty: FaultyRegistry, part: str
) -> None:
    digest = there.config_digest if part == "config" else there.layer_digests[1]
    faulty.always(rf"GET /v2/\S+/blobs/{digest}", flip=1000)

    with pytest.raises(SnapenvError) as caught:
        engine.pull(ref, FakeTask())

    assert isinstance(caught.value, RegistryError), caught.value.message
    assert engine.find(ref.tagged) is None
    assert engine.find(str(ref.at(str(there.ref.digest)))) is None


def test_a_connection_cut_at_any_byte_of_a_layer_gives_the_image_or_none(
    engine: DockerEngine, shelf: Shelf, faulty: FaultyRegistry
) -> None:
    cuts = random.Random(5)

    for tag in ("first", "second", "third"):
        there = shelf.push(tag, layer_bytes=200_000)
        faults = [
            faulty.fault(rf"GET /v2/\S+/blobs/{digest}", cut_after=cuts.randrange(size))
            for digest, size in zip(there.layer_digests, there.layer_sizes, strict=True)
        ]
        ref = behind(ImageRef(repository=shelf.repository, tag=tag), faulty.name)

        engine.pull(ref, FakeTask())

        assert [fault.times for fault in faults] == [0, 0]
        assert_is(engine, ref, there)


def test_a_layer_that_stops_coming_is_no_image(
    impatient: DockerEngine, ref: ImageRef, there: Pushed, faulty: FaultyRegistry
) -> None:
    faulty.always(rf"GET /v2/\S+/blobs/{there.layer_digests[0]}", hangs=True)

    with pytest.raises(RegistryError, match=f"{faulty.name} does not answer: no message arrived"):
        impatient.pull(ref, FakeTask())

    assert impatient.find(ref.tagged) is None


def test_a_push_is_what_the_registry_then_serves(
    engine: DockerEngine, built: ImageRef, client: RegistryClient
) -> None:
    image = engine.find(built.tagged)

    pushed = engine.push(built, FakeTask())

    there = client.read(built)
    assert image is not None
    assert (there.ref, there.config_digest, there.diff_ids) == (pushed, image.id, image.diff_ids)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(to=to.UPLOAD, status=500),
        Fault(to=to.UPLOAD, cut_request_after=1000),
        Fault(to=to.PUT_MANIFEST, status=429),
        Fault(to=to.PUT_MANIFEST, status=503),
        Fault(to=to.PUT_MANIFEST, cut_request_after=10),
        Fault(to=to.PUT_MANIFEST, cut_after=0),
        Fault(to=to.ANY_MANIFEST, status=500),
    ],
    ids=str,
)
def test_a_push_that_fails_once_arrives(
    engine: DockerEngine,
    built: ImageRef,
    faulty: FaultyRegistry,
    client: RegistryClient,
    fault: Fault,
) -> None:
    fault = faulty.add(fault)

    pushed = engine.push(built, FakeTask())

    assert fault.times == 0
    assert client.read(built).ref == pushed


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"status": 401}, "refuses"),
        ({"status": 403}, "refuses"),
        ({"status": 429}, "too many requests"),
        ({"status": 500}, "does not answer"),
        ({"hangs": True}, "does not answer: no message arrived"),
        ({"cut_request_after": 20}, "does not answer"),
    ],
    ids=str,
)
def test_a_push_whose_manifest_is_not_taken_is_no_push(
    impatient: DockerEngine,
    built: ImageRef,
    faulty: FaultyRegistry,
    what: dict[str, object],
    message: str,
) -> None:
    faulty.always(to.PUT_MANIFEST, **what)

    with pytest.raises(RegistryError, match=f"{faulty.name} .*{message}"):
        impatient.push(built, FakeTask())

    assert not Shelf(f"{faulty.behind}/{built.path}").has("a")


def test_a_registry_that_says_created_and_keeps_nothing_is_no_push(
    engine: DockerEngine, built: ImageRef, faulty: FaultyRegistry, shelf: Shelf
) -> None:
    faulty.always(to.PUT_MANIFEST, status=201, headers=CREATED)

    with pytest.raises((RegistryError, NotFoundError), match=faulty.name):
        engine.push(built, FakeTask())

    assert not shelf.has("a")


def test_a_push_after_which_another_image_is_served_is_no_push(
    engine: DockerEngine, built: ImageRef, faulty: FaultyRegistry, shelf: Shelf
) -> None:
    other = shelf.push("other")
    faulty.always(to.PUT_MANIFEST, status=201, headers=CREATED)
    shelf.put_manifest("a", other.manifest, other.media_type)

    with pytest.raises(RegistryError, match="was sent as .* and is served as"):
        engine.push(built, FakeTask())


def test_a_local_image_that_is_not_what_its_registry_serves_is_told(
    engine: DockerEngine, ref: ImageRef, faulty: FaultyRegistry, shelf: Shelf
) -> None:
    image = engine.pull(ref, FakeTask())
    other = shelf.push("other")

    with pytest.raises(RegistryError, match="has other layers than the registry serves"):
        engine._compare(behind(other.ref, faulty.name), image)


class Unreached(RegistryClient):
    """What a registry is that only the engine reaches, or that has not what a mirror has."""

    def __init__(self, failure: SnapenvError) -> None:
        super().__init__()
        self._failure = failure

    def read(self, ref: ImageRef, *, machine: str | None = None) -> RemoteImage:
        del ref, machine
        raise self._failure


@pytest.mark.parametrize(
    "failure",
    [RegistryError("x does not answer", hint=""), NotFoundError("x has no y", hint="")],
    ids=["silent", "absent"],
)
def test_what_only_the_engine_reaches_arrives_and_is_told_as_not_compared(
    engine_host: str, ref: ImageRef, built: ImageRef, failure: SnapenvError
) -> None:
    assert engine_host
    told: list[str] = []
    engine = DockerEngine(registry=Unreached(failure), patience=QUICK, warn=told.append)

    pushed = engine.push(built, FakeTask())
    engine.remove(built.tagged)
    image = engine.pull(ref, FakeTask())

    assert image.digest_in(ref.repository) == pushed.digest
    assert told == [f"not compared with the registry: {failure.message}"] * 2


@pytest.fixture
def private(tmp_path: Path) -> Iterator[str]:
    with provide_running(serve_private(tmp_path / "private")) as name:
        yield name


@pytest.mark.parametrize("way", ["configuration", "helper"])
def test_docker_s_own_login_opens_a_private_registry(
    private: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    log_in(private, tmp_path, monkeypatch, way=way)
    there = Shelf.new(private, (USER, PASSWORD)).push()
    client = RegistryClient(patience=QUICK_REGISTRY)
    engine = DockerEngine(registry=client, patience=QUICK)

    with removed(engine, there.ref):
        image = engine.pull(ImageRef(repository=there.ref.repository, tag="a"), FakeTask())
        again = ImageRef(repository=f"{private}/{uuid.uuid4().hex}", tag="b")
        engine.tag(image, again)
        pushed = engine.push(again, FakeTask())
        engine.remove(again.tagged)

    assert image.diff_ids == there.diff_ids
    assert client.read(pushed).diff_ids == there.diff_ids


def test_without_a_login_a_private_registry_refuses_and_is_named(
    private: str, engine: DockerEngine
) -> None:
    there = Shelf.new(private, (USER, PASSWORD)).push()

    with pytest.raises(RegistryError, match=f"{private} refuses") as caught:
        engine.pull(there.ref, FakeTask())

    assert f"docker login {private}" in caught.value.hint


def test_a_helper_that_fails_is_told_without_what_it_said(
    private: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(private, tmp_path, monkeypatch, way="helper", helper=f"echo {PASSWORD}; exit 1")
    ref = ImageRef(repository=f"{private}/x", tag="a")
    engine = DockerEngine(patience=QUICK)

    with pytest.raises(RegistryError, match=f"no login for {private}") as caught:
        engine.pull(ref, FakeTask())

    assert PASSWORD not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("host", "is_insecure"),
    [("127.0.0.9:5000", True), ("10.0.0.1:5000", False), ("docker.io", False)],
)
def test_http_is_taken_where_the_engine_is_configured_to(
    engine: DockerEngine,
    host: str,
    is_insecure: bool,  # noqa: FBT001
) -> None:
    assert engine.is_insecure(host) is is_insecure


def test_ctrl_c_ends_a_pull_with_130_and_without_an_image(
    engine: DockerEngine, ref: ImageRef, there: Pushed, faulty: FaultyRegistry
) -> None:
    faulty.always(rf"GET /v2/\S+/blobs/{there.layer_digests[0]}", hangs=True)
    words = [sys.executable, "-m", "snapenv", "--json", "restore", str(ref), "--no-preflight"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not faulty.count(there.layer_digests[1]) and time.monotonic() < until:
        time.sleep(0.05)

    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=300)

    assert running.returncode == 130
    assert json.loads(said)["error"]["kind"] == "interrupted"
    assert engine.find(ref.tagged) is None


def log_in(
    registry: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    way: str,
    helper: str | None = None,
) -> None:
    """Let docker's own configuration hold the login, or name a helper on PATH that does."""
    home = folder / "docker"
    home.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    if way == "configuration":
        import base64

        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        config: dict[str, object] = {"auths": {registry: {"auth": pair}}}
    else:
        answer = json.dumps({"ServerURL": registry, "Username": USER, "Secret": PASSWORD})
        program = folder / "bin" / "docker-credential-snapenvtest"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{helper or f'''echo '{answer}' '''}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        config = {"credHelpers": {registry: "snapenvtest"}}
    (home / "config.json").write_text(json.dumps(config))


@contextlib.contextmanager
def removed(engine: DockerEngine, ref: ImageRef) -> Iterator[None]:
    try:
        yield
    finally:
        engine.remove(ref.tagged)
