"""What every Engine promises, held by the fake and by Docker 20.10 and 28 alike."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.errors import EnvironmentMissingError, NotFoundError, RegistryError
from snapenv.model.image import BuildContext, ImageRef
from snapenv.ports import Engine
from tests.engines.newer_engine import CONTAINERD, NEWER, start_newer
from tests.engines.provide import provide
from tests.fakes import FakeEngine, FakeTask

if TYPE_CHECKING:
    from snapenv.model.image import Image

SILENT = "localhost:1"  # nothing listens there
DIGEST = f"sha256:{'0' * 64}"
BY_NAME = {newer.name: newer for newer in (NEWER, CONTAINERD)}
NOT_YET = {CONTAINERD.name: ("test_an_image_of_this_machine_alone_has_no_digest_to_pin",)}


@dataclass(frozen=True)
class Side:
    engine: Engine
    registry: str

    def new_name(self, registry: str | None = None) -> ImageRef:
        return ImageRef(repository=f"{registry or self.registry}/promises/{uuid.uuid4()}", tag="a")

    def build(self, content: str = "hello") -> Image:
        context = BuildContext(
            files={"Dockerfile": b"FROM scratch\nCOPY a.txt /data/\n", "a.txt": content.encode()},
            labels={"org.example.what": f"{content} 'and' \"more\"\n$x"},
        )
        return self.engine.build(context, FakeTask())


@pytest.fixture(
    params=[
        "fake",
        *(pytest.param(name, marks=pytest.mark.docker) for name in ("docker", *BY_NAME)),
    ]
)
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Side:
    if request.param == "fake":
        return Side(FakeEngine(registry="localhost:5000"), "localhost:5000")
    if newer := BY_NAME.get(request.param):
        if request.node.originalname in NOT_YET.get(newer.name, ()):
            request.applymarker(pytest.mark.xfail(reason="it gives each name a digest"))
        monkeypatch.setenv("DOCKER_HOST", provide(lambda place: start_newer(place, newer)))
    return Side(DockerEngine(), request.getfixturevalue("registry"))


def test_an_image_that_is_not_here_is_none(side: Side) -> None:
    assert side.engine.find(str(side.new_name())) is None
    assert side.engine.find(str(side.new_name().at(DIGEST))) is None


def test_a_build_gives_an_image_with_its_labels_and_no_name(side: Side) -> None:
    image = side.build("labelled")

    assert image.labels == {"org.example.what": "labelled 'and' \"more\"\n$x"}
    assert image.digests == ()
    assert len(image.diff_ids) == 1
    assert side.engine.find(image.id) == image


def test_the_same_files_build_the_same_layers(side: Side) -> None:
    assert side.build("same").diff_ids == side.build("same").diff_ids
    assert side.build("same").diff_ids != side.build("other").diff_ids


def test_a_folder_of_an_image_can_be_read(side: Side) -> None:
    assert side.engine.read_folder(side.build("read me"), "/data") == {"a.txt": b"read me"}


def test_a_folder_that_an_image_has_not_is_not_found(side: Side) -> None:
    with pytest.raises(NotFoundError, match="has no folder /nope"):
        side.engine.read_folder(side.build(), "/nope")


def test_an_image_without_an_entrypoint_starts_commands(side: Side) -> None:
    assert side.engine.starts_commands(side.build())


def test_an_image_is_found_under_its_name_until_the_name_is_removed(side: Side) -> None:
    image, name = side.build("named"), side.new_name()

    side.engine.tag(image, name)
    found = side.engine.find(name.tagged)
    side.engine.remove(name.tagged)

    assert found
    assert replace(found, digests=image.digests) == image  # some engines give a digest at once
    assert side.engine.find(name.tagged) is None


def test_removing_what_is_not_here_is_no_failure(side: Side) -> None:
    side.engine.remove(side.new_name().tagged)


def test_an_image_comes_back_from_a_registry_as_it_was(side: Side) -> None:
    image, name = side.build(f"sent {uuid.uuid4()}"), side.new_name()
    side.engine.tag(image, name)

    pushed = side.engine.push(name, FakeTask())
    side.engine.remove(name.tagged)
    here = side.engine.find(str(pushed))
    pulled = side.engine.pull(pushed, FakeTask())

    assert here is None
    assert (pulled.diff_ids, pulled.labels) == (image.diff_ids, image.labels)
    assert f"{name.repository}@{pushed.digest}" in pulled.digests
    assert side.engine.find(str(pushed)) == pulled
    assert side.engine.resolve(name, FakeTask()) == pushed


def test_a_pull_by_tag_gives_the_tag_too(side: Side) -> None:
    image, name = side.build(f"tagged {uuid.uuid4()}"), side.new_name()
    side.engine.tag(image, name)
    side.engine.push(name, FakeTask())
    side.engine.remove(name.tagged)

    pulled = side.engine.pull(name, FakeTask())

    assert side.engine.find(name.tagged) == pulled


def test_a_name_with_a_digest_is_pinned_already(side: Side) -> None:
    pinned = side.new_name(SILENT).at(DIGEST)

    assert side.engine.resolve(pinned, FakeTask()) == pinned


def test_a_tag_that_the_registry_has_not_is_not_found(side: Side) -> None:
    name = side.new_name()

    with pytest.raises(NotFoundError, match=name.tagged):
        side.engine.resolve(name, FakeTask())
    with pytest.raises(NotFoundError, match=name.tagged):
        side.engine.pull(name, FakeTask())


def test_a_registry_that_does_not_answer_is_named(side: Side) -> None:
    name = side.new_name(SILENT)
    with pytest.raises(RegistryError, match=f"{SILENT} does not answer"):
        side.engine.resolve(name, FakeTask())
    with pytest.raises(RegistryError, match=f"{SILENT} does not answer"):
        side.engine.pull(name, FakeTask())

    side.engine.tag(side.build(), name)

    with pytest.raises(RegistryError, match=f"{SILENT} does not answer"):
        side.engine.push(name, FakeTask())


def test_an_image_of_this_machine_alone_has_no_digest_to_pin(side: Side) -> None:
    name = side.new_name(SILENT)
    side.engine.tag(side.build(), name)

    with pytest.raises(NotFoundError, match=f"{name} is on this machine alone"):
        side.engine.resolve(name, FakeTask())


def test_what_is_not_here_cannot_be_pushed(side: Side) -> None:
    name = side.new_name()

    with pytest.raises(NotFoundError, match=f"no local image {name}"):
        side.engine.push(name, FakeTask())


def test_a_container_that_does_not_run_is_no_environment(side: Side) -> None:
    with pytest.raises(EnvironmentMissingError, match="no container nobody"):
        side.engine.container_target("nobody", python="python3")
