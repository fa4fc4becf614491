"""An environment handed on through a real registry as a snapshot alone: Docker is nowhere."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef, kept_tag
from snapenv.model.snapshot import SNAPSHOT_LABEL, TAG_LABEL
from snapenv.registry.client import RegistryClient
from tests.command import Command
from tests.fakes import FakeTask
from tests.registry.pushed import Shelf
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@dataclass(frozen=True)
class Handed:
    """An environment with a package of our own, its snapshot, and where that was pushed."""

    environment: Venv
    snapshot: Path
    ref: ImageRef


@pytest.fixture(scope="module")
def handed(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Handed:
    made = Venv(tmp_path_factory.mktemp("alone") / "venv").make()
    made.install("markupsafe==3.0.2")
    (made.site / "ours.py").write_text("OURS = 1\n")
    snapshot, command = made.beside / "snapshot", Command(NOWHERE)
    captured = command.result(
        "capture", "--no-smoke", "--python", str(made.python), "-o", str(snapshot)
    )
    repository = Shelf.new(registry).repository
    pushed = command.result("push", str(snapshot), repository)
    assert (pushed["snapshot"], pushed["present"]) == (captured["digest"], False)
    return Handed(made, snapshot, ImageRef(repository=repository, tag=captured["tag"]))


def test_a_colleague_without_docker_has_the_same_environment(
    handed: Handed, tmp_path: Path
) -> None:
    into = tmp_path / "back"

    done = Command(NOWHERE).result(
        *("restore", str(handed.ref), "--engine", "venv", "--into", str(into), "--no-smoke")
    )

    assert done["path"] == str(into)
    assert Venv(into).look() == handed.environment.look()
    assert Venv(into).say("import ours; print(ours.OURS)") == "1\n"


def test_the_newest_that_runs_here_is_named_as_restore_wants_it(
    handed: Handed, tmp_path: Path
) -> None:
    repository, into = handed.ref.repository, tmp_path / "back"
    command = Command({**NOWHERE, "XDG_STATE_HOME": str(tmp_path / "state")})

    (before,) = command.result("list", "--remote", repository)["images"]
    (name,) = command.run("list", "--fits", repository).stdout.split()
    command.result("restore", name, "--engine", "venv", "--into", str(into), "--no-smoke")
    (after,) = command.result("list", "--remote", repository)["images"]

    assert (before["kind"], before["runs"], before["verified"]) == ("snapshot", "yes", None)
    assert name == f"{handed.ref}@{before['digest']}"
    assert (after["verified"]["ok"], after["verified"]["tier"]) == (True, None)


def test_a_name_in_the_registry_is_compared_shown_and_pulled(
    handed: Handed, tmp_path: Path
) -> None:
    name, command = str(handed.ref), Command(NOWHERE)

    same = command.result("diff", name, str(handed.snapshot))
    shown = command.result("show", name)
    pulled = command.result("pull", name, "-o", str(tmp_path / "pulled"))

    assert (same["left"]["kind"], same["differences"]) == ("snapshot", [])
    assert shown["digest"] == pulled["snapshot"] == same["left"]["digest"]
    assert (tmp_path / "pulled" / "SHA256SUMS").read_bytes() == (
        handed.snapshot / "SHA256SUMS"
    ).read_bytes()


def test_what_is_nowhere_is_told_by_the_registry(handed: Handed, tmp_path: Path) -> None:
    name = f"{handed.ref.repository}:train-py3.1-base-cpu"
    words = ("restore", name, "--engine", "venv", "--into", str(tmp_path / "back"))

    stderr = Command(NOWHERE).error("not-found", *words)

    assert f"has no {name}" in stderr


@pytest.fixture
def image(engine_host: str, handed: Handed) -> Iterator[ImageRef]:
    """A local image of another snapshot, under the tag that the snapshot has in its registry."""
    assert engine_host
    engine = DockerEngine()
    files = {"Dockerfile": b"FROM scratch\nCOPY x /\n", "x": os.urandom(5_000)}
    labels = {SNAPSHOT_LABEL: "sha256:abc", TAG_LABEL: str(handed.ref.tag)}
    ref = ImageRef(repository=f"alone-{uuid.uuid4().hex}", tag=handed.ref.tag)
    engine.tag(engine.build(BuildContext(files=files, labels=labels), FakeTask()), ref)
    yield ref
    engine.remove(ref.tagged)


@pytest.mark.docker
def test_an_image_takes_the_tag_only_where_asked_and_the_snapshot_stays(
    handed: Handed, image: ImageRef, registry: str, tmp_path: Path
) -> None:
    client, repository = RegistryClient(), Shelf.new(registry).repository
    ref = ImageRef(repository=repository, tag=handed.ref.tag)
    before = Command().result("push", str(handed.snapshot), repository)["digest"]
    pinned = str(ref.at(before))

    taken = Command().error("tag-taken", "push", str(image), repository)
    moved = Command().result("push", str(image), repository, "--replace")
    pulled = Command().result("pull", pinned, "-o", str(tmp_path / "still"))

    DockerEngine().remove(ref.tagged)
    assert before in taken
    assert (moved["kind"], moved["replaced"]) == ("image", before)
    assert client.find_digest(ref) == moved["digest"]
    kept = ImageRef(repository=repository, tag=kept_tag(before))
    assert client.find_digest(kept) == before
    assert (tmp_path / "still" / "SHA256SUMS").exists()
    assert pulled["kind"] == "snapshot"
