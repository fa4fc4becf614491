"""What snapenv has made in a real engine is listed with what removing it gives back, and removed."""

from __future__ import annotations

import os
import uuid

import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.launch import KIND_LABEL
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.engines.busybox import small_context
from tests.fakes import FakeTask
from tests.samples import TAG

pytestmark = pytest.mark.docker

SIZE = 50_000


def test_images_of_snapenv_are_listed_and_go_with_all_their_names() -> None:
    engine = DockerEngine()
    files = {"Dockerfile": b"FROM scratch\nCOPY x /\n", "x": os.urandom(SIZE)}
    labels = {SNAPSHOT_LABEL: f"sha256:{uuid.uuid4().hex}"}
    environment = engine.build(BuildContext(files=files, labels=labels), FakeTask())
    refs = [ImageRef(repository=f"clean/{uuid.uuid4().hex}", tag=TAG) for _ in range(2)]
    for ref in refs:
        engine.tag(environment, ref)
    layer = engine.build(
        BuildContext(
            files={"Dockerfile": f"FROM {refs[0].tagged}\nCOPY y /\n".encode(), "y": b"12"},
            labels={SNAPSHOT_LABEL: "", KIND_LABEL: "workspace-layer"},
        ),
        FakeTask(),
    )
    container = engine.client.create_container(environment.id, ["/none"])
    child = engine.client.commit(container["Id"])["Id"]
    engine.client.remove_container(container["Id"])
    with_child = {one.id: one for one in engine.list_made()}[environment.id]
    engine.remove(child)
    foreign = engine.build(BuildContext(files=files | {"x": os.urandom(9)}, labels={}), FakeTask())

    made = {one.id: one for one in engine.list_made()}
    engine.remove_made(made[layer.id])
    alone = {one.id: one for one in engine.list_made()}[environment.id]
    engine.remove_made(alone)
    engine.remove_made(alone)

    assert (made[layer.id].kind, made[layer.id].size_bytes) == ("workspace", 2)
    assert made[environment.id].kind == alone.kind == "environment"
    assert sorted(alone.names) == sorted(ref.tagged for ref in refs)
    assert made[environment.id].size_bytes == 0
    assert alone.size_bytes == SIZE
    assert not alone.in_use
    assert with_child.in_use
    assert foreign.id not in made
    assert engine.find(environment.id) is None
    assert engine.find(foreign.id)
    engine.remove(foreign.id)


def test_what_uv_keeps_in_builds_goes_and_what_others_keep_stays() -> None:
    engine = DockerEngine()
    name = uuid.uuid4().hex
    image = engine.build(
        small_context(
            f"RUN --mount=type=cache,target=/{name} echo /opt/snapenv/venv > /{name}/x",
            f"RUN --mount=type=cache,target=/{name}b echo > /{name}b/x",
        ),
        FakeTask(),
    )
    client = engine.client

    def kept() -> list[str]:
        records = client.df()["BuildCache"]
        return [one["ID"] for one in records if name in one["Description"] and is_mount(one)]

    engine.remove(image.id)
    before = kept()
    (ours,) = (one for one in engine.list_made() if one.id in before)
    engine.remove_made(ours)

    assert len(before) == 2
    assert ours.kind == "build-cache"
    assert ours.size_bytes > 0
    assert kept() == [one for one in before if one != ours.id]


def is_mount(record: dict[str, str]) -> bool:
    return record["Type"] == "exec.cachemount"
