"""What every Engine promises, on the Docker of today too, with and without containerd's store."""

from __future__ import annotations

import pytest

from snapenv.content import Tar
from snapenv.engine.docker import DockerEngine
from snapenv.errors import BuildError
from tests.engine.test_promises import (
    Side,
    test_a_build_gives_an_image_with_its_labels_and_no_name,
    test_a_folder_of_an_image_can_be_read,
    test_a_folder_that_an_image_has_not_is_not_found,
    test_a_pull_by_tag_gives_the_tag_too,
    test_a_registry_that_does_not_answer_is_named,
    test_a_tag_that_the_registry_has_not_is_not_found,
    test_an_image_comes_back_from_a_registry_as_it_was,
    test_an_image_is_found_under_its_name_until_the_name_is_removed,
    test_an_image_of_this_machine_alone_has_no_digest_to_pin,
    test_an_image_that_is_not_here_is_none,
    test_removing_what_is_not_here_is_no_failure,
    test_the_same_files_build_the_same_layers,
    test_what_is_not_here_cannot_be_pushed,
)
from tests.engines.busybox import small_context
from tests.engines.engine import start_engine
from tests.engines.newer_engine import CONTAINERD, NEWER, Newer, buildx, start_newer
from tests.engines.place import Place
from tests.engines.provide import provide
from tests.fakes import FakeTask

__all__ = [
    "test_a_build_gives_an_image_with_its_labels_and_no_name",
    "test_a_folder_of_an_image_can_be_read",
    "test_a_folder_that_an_image_has_not_is_not_found",
    "test_a_pull_by_tag_gives_the_tag_too",
    "test_a_registry_that_does_not_answer_is_named",
    "test_a_tag_that_the_registry_has_not_is_not_found",
    "test_an_image_comes_back_from_a_registry_as_it_was",
    "test_an_image_is_found_under_its_name_until_the_name_is_removed",
    "test_an_image_of_this_machine_alone_has_no_digest_to_pin",
    "test_an_image_that_is_not_here_is_none",
    "test_removing_what_is_not_here_is_no_failure",
    "test_the_same_files_build_the_same_layers",
    "test_what_is_not_here_cannot_be_pushed",
]

pytestmark = pytest.mark.docker

NEW = (NEWER, CONTAINERD)
NOT_YET = {CONTAINERD.name: ("test_an_image_of_this_machine_alone_has_no_digest_to_pin",)}


@pytest.fixture(params=NEW, ids=lambda newer: newer.name)
def side(request: pytest.FixtureRequest, registry: str, monkeypatch: pytest.MonkeyPatch) -> Side:
    newer: Newer = request.param
    if request.node.originalname in NOT_YET.get(newer.name, ()):
        request.applymarker(pytest.mark.xfail(reason="it gives each name a digest, pushed or not"))
    monkeypatch.setenv("DOCKER_HOST", provide(lambda place: start_newer(place, newer)))
    return Side(DockerEngine(), registry)


@pytest.fixture(params=[None, *NEW], ids=["docker20", *(newer.name for newer in NEW)])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    newer: Newer | None = request.param
    address = provide(lambda place: start_newer(place, newer) if newer else start_engine(place))
    monkeypatch.setenv("DOCKER_HOST", address)
    return DockerEngine()


def test_the_newer_engines_are_newer(side: Side) -> None:
    assert side.engine.check().startswith("Docker 28.")


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


def test_buildx_builds_what_we_build(side: Side) -> None:
    steps = ("RUN --mount=type=bind,source=x,target=/mnt/x cat /mnt/x > /y",)
    tar = b"".join(Tar(small_context(*steps, x=b"by buildx").files))

    buildx(Place.default(), _of(side), tar, name="snapenv-tests:buildx")

    image = side.engine.find("snapenv-tests:buildx")
    assert image is not None
    side.engine.remove("snapenv-tests:buildx")


def _of(side: Side) -> Newer:
    address = side.engine.check().rpartition(" ")[2]
    return next(newer for newer in NEW if address.endswith(f"/{newer.name}.sock"))
