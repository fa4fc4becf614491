"""An environment that uses its base image's packages, updated on that base; no image loses a name."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker import DockerClient

from snapenv.lock.store import read_snapshot
from tests.command import Command
from tests.end_to_end.containers import Working, install, run_in

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker

REPOSITORY = "snapenv-update"
TAG = "train-py3.13-base-cpu"


@dataclass(frozen=True)
class Updated:
    """A snapshot that inherits packages, one made of it, and the images of both."""

    client: DockerClient
    command: Command
    folder: Path
    captured: dict[str, Any]
    updated: dict[str, Any]
    images: tuple[str, str]  # ids


@pytest.fixture(scope="module")
def updated(
    newer_host: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Updated]:
    client = DockerClient(base_url=newer_host, timeout=600)
    folder = tmp_path_factory.mktemp("update-image")
    command = Command({"DOCKER_HOST": newer_host})
    with Working(client, base_image) as container:
        run_in(container, "python3 -m venv --system-site-packages --without-pip /work")
        install(container, "click==8.1.7 colorama==0.4.6", python="/work/bin/python")
        edited = "/work/lib/python3.13/site-packages/colorama/ansi.py"
        run_in(container, f"sh -c 'echo EDITED = 1 >> {edited}'")
        captured = command.result(
            *("capture", "--container", str(container.name), "--python", "/work/bin/python"),
            *("--no-smoke", "--base", base_image, "-o", str(folder / "before")),
        )
    words = ("update", str(folder / "before"), "--upgrade", "click==8.1.8")
    done = command.result(*words, "-o", str(folder / "after"))
    images = tuple(
        command.result("build", str(folder / name), "--repository", REPOSITORY, *replace)["digest"]
        for name, replace in (("before", ()), ("after", ("--replace",)))
    )
    yield Updated(client, command, folder, captured, done, (images[0], images[1]))
    for image in images:
        client.images.remove(image, force=True)
    client.close()


def test_the_packages_of_the_base_and_the_edits_are_held(updated: Updated) -> None:
    before, after = (read_snapshot(updated.folder / name).lock for name in ("before", "after"))

    assert before.base.site_packages == after.base.site_packages == "inherited"
    assert [
        (each["group"], each["subject"], each["left"], each["right"])
        for each in updated.updated["differences"]
    ] == [("behaviour", "click", "8.1.7", "8.1.8")]
    assert (after.overlay, after.base) == (before.overlay, before.base)
    assert {name: each for name, each in after.packages.items() if name != "click"} == {
        name: each for name, each in before.packages.items() if name != "click"
    }


def test_an_update_leaves_no_image(updated: Updated) -> None:
    ours = updated.client.images.list(filters={"label": "io.snapenv.snapshot"}, all=False)
    of_update = [
        str(image.id)
        for image in ours
        if image.labels["io.snapenv.snapshot"]
        in {updated.captured["digest"], updated.updated["digest"]}
    ]

    assert sorted(of_update) == sorted(updated.images)


@pytest.mark.parametrize("what", ["id", "snapshot"])
def test_the_image_that_lost_its_tag_comes_back_by_a_digest(updated: Updated, what: str) -> None:
    digest = updated.images[0] if what == "id" else updated.captured["digest"]
    words = ("restore", f"{TAG}@{digest}", "--repository", REPOSITORY, "--device", "cpu")

    done = updated.command.result(*words)

    assert done["snapshot"] == updated.captured["digest"]
    assert done["digest"] == updated.images[0]


def test_the_line_is_told_by_images_alone(
    updated: Updated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = updated.command.result("log", TAG, "--repository", REPOSITORY)

    newer, older = done["entries"]
    assert (newer["digest"], older["digest"]) == (
        updated.updated["digest"],
        updated.captured["digest"],
    )
    assert newer["changes"] == ["click 8.1.7 → 8.1.8"]
    assert older["place"] == f"{REPOSITORY}:{TAG}@{updated.images[0]}"
    listed = updated.command.result("list")["images"]
    assert [row["tag"] for row in listed if row["repository"] == REPOSITORY] == [TAG]


def test_the_python_and_the_packages_of_a_base_are_not_moved(updated: Updated) -> None:
    snapshot = str(updated.folder / "before")

    for words in (("--python", "3.12"), ("--remove", "pyyaml")):
        updated.command.error("conflict", "update", snapshot, *words)


def test_what_a_push_replaces_is_found_by_its_line(
    updated: Updated, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = f"{registry}/update-line-{uuid.uuid4().hex}"  # the registry outlives the run
    alone = Command({"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    before, after = (str(updated.folder / name) for name in ("before", "after"))
    alone.result("push", before, repository, "--replace")
    replaced = alone.result("push", after, repository, "--replace")["replaced"]

    newer, older = alone.result("log", f"{repository}:{TAG}")["entries"]

    assert newer["digest"] == updated.updated["digest"]
    assert older["digest"] == updated.captured["digest"]
    assert older["place"] == f"{repository}:{TAG}@{replaced}"
    assert alone.result("show", older["place"])["snapshot"] == updated.captured["digest"]
