"""Builds by Docker 20.10 and 28, with and without containerd's store, and by buildx."""

from __future__ import annotations

import uuid

import pytest
from msgspec.structs import replace

from snapenv.content import Tar
from snapenv.engine.docker import DockerEngine
from snapenv.errors import BuildError, RegistryError
from snapenv.model.image import BuildContext, ImageRef
from snapenv.registry.client import RegistryClient
from tests.engines.busybox import small_context
from tests.engines.engine import start_engine
from tests.engines.newer_engine import CONTAINERD, NEWER, Newer, buildx, start_newer
from tests.engines.place import Place
from tests.engines.provide import provide
from tests.fakes import FakeTask

pytestmark = pytest.mark.docker

NEW = (NEWER, CONTAINERD)


@pytest.fixture(params=NEW, ids=lambda newer: newer.name)
def newer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Newer:
    newer: Newer = request.param
    monkeypatch.setenv("DOCKER_HOST", provide(lambda place: start_newer(place, newer)))
    return newer


@pytest.fixture(params=[None, *NEW], ids=["docker20", *(newer.name for newer in NEW)])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    newer: Newer | None = request.param
    address = provide(lambda place: start_newer(place, newer) if newer else start_engine(place))
    monkeypatch.setenv("DOCKER_HOST", address)
    return DockerEngine()


def test_the_newer_engines_are_newer(newer: Newer) -> None:
    assert newer.name
    assert DockerEngine().check().startswith("Docker 28.")


def test_mounts_of_every_kind_that_a_dockerfile_of_ours_has_leave_nothing(
    engine: DockerEngine,
) -> None:
    image = engine.build(
        small_context(
            "RUN mkdir /mnt /made",
            "RUN --mount=type=tmpfs,target=/mnt --mount=type=cache,target=/mnt/cache \\",
            "    --mount=type=bind,source=x,target=/mnt/lock/x \\",
            "    cat /mnt/lock/x > /made/x; echo > /mnt/cache/y",
            x=b"staged",
        ),
        FakeTask(),
    )

    assert engine.read_folder(image, "/made") == {"x": b"staged"}
    assert engine.read_folder(image, "/mnt") == {}
    engine.remove(image.id)


def test_what_is_not_lent_is_no_failure(engine: DockerEngine) -> None:
    image = engine.build(small_context("WORKDIR /staged", "COPY ca.pe[m] /staged/"), FakeTask())

    assert engine.read_folder(image, "/staged") == {}
    engine.remove(image.id)


def test_a_step_that_fails_is_named_with_its_last_lines(engine: DockerEngine) -> None:
    lines = "for i in $(seq 1 40); do echo line $i; done"

    with pytest.raises(BuildError, match="failed with exit code 7") as caught:
        engine.build(small_context(f"RUN {lines}; exit 7"), FakeTask())

    assert caught.value.hint.splitlines() == [f"line {number}" for number in range(11, 41)]


def test_a_step_is_noted_while_it_runs_and_the_bytes_are_counted(engine: DockerEngine) -> None:
    task = FakeTask()
    context = small_context("RUN echo word; sleep 0.1", x=bytes(3_000_000))

    engine.remove(engine.build(context, task).id)

    assert max(done for done, _ in task.counts) == Tar(context.files).size_bytes


def test_a_step_of_which_only_another_s_lock_changed_comes_from_the_cache(
    engine: DockerEngine,
) -> None:
    steps = (
        "RUN mkdir /made",
        "RUN --mount=type=bind,source=a,target=/a cat /proc/sys/kernel/random/uuid > /made/a",
        "RUN --mount=type=bind,source=b,target=/b cat /proc/sys/kernel/random/uuid > /made/b",
    )

    before = engine.build(small_context(*steps, a=b"1", b=b"1"), FakeTask())
    after = engine.build(small_context(*steps, a=b"1", b=b"2"), FakeTask())

    assert after.diff_ids[:-1] == before.diff_ids[:-1]
    assert after.diff_ids[-1] != before.diff_ids[-1]
    for image in (before, after):
        engine.remove(image.id)


def test_buildx_builds_what_we_build(newer: Newer) -> None:
    steps = ("RUN --mount=type=bind,source=x,target=/mnt/x cat /mnt/x > /y",)
    tar = b"".join(Tar(small_context(*steps, x=b"by buildx").files))
    engine = DockerEngine()

    buildx(Place.default(), newer, tar, name="snapenv-tests:buildx")

    image = engine.find("snapenv-tests:buildx")
    assert image is not None
    engine.remove("snapenv-tests:buildx")


def test_containerd_s_store_packs_new_layers_with_zstd_and_leaves_those_of_the_base(
    registry: str, engine_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = uuid.uuid4().bytes * 1000  # of a layer that the engine has not packed before
    ref = ImageRef(repository=f"{registry}/zstd/{uuid.uuid4().hex}", tag="base")
    monkeypatch.setenv("DOCKER_HOST", provide(lambda place: start_newer(place, CONTAINERD)))
    engine = DockerEngine()
    engine.tag(engine.build(small_context(), FakeTask()), ref)
    engine.push(ref, FakeTask())
    on_base = BuildContext(
        files={"Dockerfile": f"FROM {ref}\nCOPY x /made/\n".encode(), "x": content},
        labels={},
        compression="zstd",
    )
    packed = replace(ref, tag="zstd")

    engine.tag(engine.build(on_base, FakeTask()), packed)
    engine.push(packed, FakeTask())

    *of_base, last = RegistryClient().read(packed).layers
    assert [layer.digest for layer in of_base] == [
        layer.digest for layer in RegistryClient().read(ref).layers
    ]
    assert (last.media_type or "").endswith("zstd")
    for name in (ref, packed):
        engine.remove(name.tagged)
    pulling = provide(lambda place: start_newer(place, NEWER))
    monkeypatch.setenv("DOCKER_HOST", pulling)
    pulled = DockerEngine().pull(packed, FakeTask())
    assert DockerEngine().read_folder(pulled, "/made") == {"x": content}
    DockerEngine().remove(packed.tagged)
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    if DockerEngine().describe().api < (1, 42):  # of Debian 12
        with pytest.raises(RegistryError):
            DockerEngine().pull(packed, FakeTask())
    else:
        pulled = DockerEngine().pull(packed, FakeTask())
        assert DockerEngine().read_folder(pulled, "/made") == {"x": content}
        DockerEngine().remove(packed.tagged)
