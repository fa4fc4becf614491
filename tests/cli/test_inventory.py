"""``snapenv list`` and ``snapenv show`` as a user runs them, on a real engine and registry."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.engine.docker import DockerEngine
from snapenv.lock.store import write_snapshot
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL
from snapenv.workflows.export import Export, export
from tests.command import Command
from tests.fakes import FakeEngine, FakeTask
from tests.registry.pushed import Shelf
from tests.samples import TAG, sample_snapshot
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABELS = {SNAPSHOT_LABEL: "sha256:abc", "org.opencontainers.image.version": TAG}
NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def local(engine_host: str, registry: str) -> Iterator[ImageRef]:
    """A local image with the label, in a repository of its own."""
    assert engine_host
    engine = DockerEngine()
    ref = ImageRef(repository=f"{registry}/inventory/{uuid.uuid4().hex}", tag=TAG)
    files = {"Dockerfile": b"FROM scratch\nCOPY x /\n", "x": os.urandom(5_000)}
    image = engine.build(BuildContext(files=files, labels=LABELS), FakeTask())
    engine.tag(image, ref)
    yield ref
    engine.remove(ref.tagged)


def listed(ref: ImageRef, *words: str) -> dict[str, object]:
    result = Command().result("list", "--repository", ref.repository, *words)
    (found,) = (one for one in result["images"] if one["name"] == ref.tagged)
    return {key: found[key] for key in ("local", "remote", "same")}


@pytest.mark.docker
def test_an_image_is_here_then_in_both_places_then_there(local: ImageRef) -> None:
    engine = DockerEngine()

    before = listed(local)
    engine.push(local, FakeTask())
    both = listed(local, "--remote")
    image = engine.find(local.tagged)
    engine.remove(local.tagged)
    after = listed(local, "--remote")

    assert image is not None
    assert before == {"local": True, "remote": None, "same": None}
    assert both == {"local": True, "remote": True, "same": True}
    assert after == {"local": False, "remote": True, "same": None}


@pytest.mark.docker
def test_a_tag_that_names_two_images_is_told(local: ImageRef) -> None:
    Shelf(local.repository).push(TAG, labels=LABELS)

    assert listed(local, "--remote") == {"local": True, "remote": True, "same": False}


def test_an_image_of_a_registry_is_shown_without_an_engine(registry: str) -> None:
    there = Shelf.new(registry).push(TAG, labels=LABELS)

    result = Command(NOWHERE).result("show", there.ref.tagged)

    assert result["kind"] == "registry"
    assert result["digest"] == there.ref.digest
    assert result["size_bytes"] == sum(there.layer_sizes)
    assert result["cuda"] == "13.0"


def test_a_list_is_readable_at_60_columns_and_unbroken_in_a_pipe(registry: str) -> None:
    shelf = Shelf.new(registry)
    shelf.push(TAG, labels=LABELS)
    words = ("list", "--remote", "--repository", shelf.repository)

    piped = Command(NOWHERE).run(*words).stdout.splitlines()
    shown = on_terminal(*words)

    assert piped[0] == shelf.repository
    assert len(piped[1]) <= 60
    assert piped[1] in [line.rstrip() for line in shown.splitlines()]


def test_a_snapshot_folder_is_shown_without_an_engine(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "s")

    done = Command(NOWHERE).run("show", str(tmp_path / "s"))

    assert done.returncode == 0
    assert f"digest     {sample_snapshot().digest}" in done.stdout.splitlines()


def test_an_archive_is_shown_without_an_engine(tmp_path: Path) -> None:
    engine, snapshot = FakeEngine(), sample_snapshot()
    lines = f"FROM scratch\nCOPY {' '.join(snapshot.files)} {IMAGE_SNAPSHOT}/\n"
    context = BuildContext(
        files={"of.scratch": lines.encode(), **snapshot.files},
        labels={SNAPSHOT_LABEL: snapshot.digest},
        dockerfile="of.scratch",
    )
    engine.tag(engine.build(context, FakeTask()), ImageRef(repository="here", tag=TAG))
    request = Export(ref=TAG, output=tmp_path / "a", repository="here")
    export(request, replace(services(), engine=engine))

    result = Command(NOWHERE).result("show", str(tmp_path / "a"))

    assert (result["kind"], result["tag"]) == ("archive", TAG)
    assert result["digest"] == snapshot.digest


def test_a_list_without_an_engine_is_an_error() -> None:
    document = Command(NOWHERE).document("list")

    assert document["error"]["kind"] == "engine-missing"


def test_latest_is_no_tag_of_the_convention_and_is_not_listed(registry: str) -> None:
    shelf = Shelf.new(registry)
    shelf.push("latest", labels=LABELS)

    result = Command(NOWHERE).result("list", "--remote", "--repository", shelf.repository)

    assert result["images"] == []


def on_terminal(*words: str) -> str:
    """Run on a terminal of 60 columns, and give what it shows."""
    near, far = pty.openpty()
    environment = {**os.environ, **NOWHERE, "COLUMNS": "60", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "snapenv", *words],
        env=environment,
        stdout=far,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    assert done.returncode == 0
    os.close(far)
    shown = os.read(near, 1 << 16).decode()
    os.close(near)
    return shown
