"""Builds and transfers on a real engine."""

from __future__ import annotations

import json
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

from snapenv.content import Tar
from snapenv.engine.docker import DockerEngine
from snapenv.errors import BuildError, EngineError, SnapshotDamagedError, WriteError
from snapenv.kept import Kept
from snapenv.model.image import BuildContext, ImageRef
from tests.engines.busybox import small_context
from tests.engines.place import Place
from tests.engines.registry import start_registry, stop_registry
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

    from snapenv.model.carried import Content
    from snapenv.model.image import Image

pytestmark = pytest.mark.docker


def context(*lines: str, **files: Content) -> BuildContext:
    return BuildContext(files={"Dockerfile": "\n".join(lines).encode(), **files}, labels={})


@pytest.fixture
def going(tmp_path: Path) -> Iterator[Place]:
    """A place for a registry that a test may stop."""
    place = Place(tmp_path)
    with place.lock():
        yield place
    stop_registry(place)
    shutil.rmtree(place.run)


def test_what_an_image_says_of_itself_is_read(image: Image) -> None:
    assert image.machine == "amd64"
    assert image.variables["NVIDIA_PYTORCH_VERSION"] == "25.01"
    assert image.variables["PYTORCH_VERSION"].startswith("2.")
    assert len(image.diff_ids) == 1
    assert image.size_bytes > 1e8


def test_cache_mounts_and_bind_mounts_build(engine: DockerEngine, base: ImageRef) -> None:
    built = engine.build(
        context(
            f"FROM {base}",
            "RUN --mount=type=cache,target=/cache --mount=type=bind,source=x,target=/staged/x \\",
            "    mkdir /made && cp /staged/x /made/ && touch /cache/y",
            x=b"staged",
        ),
        FakeTask(),
    )

    assert engine.read_folder(built, "/made") == {"x": b"staged"}


def test_a_step_has_the_proxies_of_dockers_configuration_and_the_image_has_none(
    engine: DockerEngine,
    witness: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = f"http://proxy.example.com:{uuid.uuid4().int % 60_000}"  # no step that was kept
    configuration = {"proxies": {"default": {"httpsProxy": proxy}}}
    (tmp_path / "config.json").write_text(json.dumps(configuration))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    step = f"RUN mkdir /made && echo $HTTPS_PROXY $https_proxy > /made/seen # {uuid.uuid4()}"

    built = engine.build(small_context(f"# {uuid.uuid4()}", step), FakeTask())

    assert engine.read_folder(built, "/made") == {"seen": f"{proxy} {proxy}\n".encode()}
    assert not [name for name in built.variables if "proxy" in name.lower()]
    assert proxy not in json.dumps(witness.images.get(built.id).history())


def test_an_entrypoint_is_told_by_whether_it_starts_a_command(engine: DockerEngine) -> None:
    words = {
        '["/bin/sh", "-c", "exec \\"$@\\"", "sh"]': True,
        '["/bin/echo"]': False,
        '["jupyter"]': False,
    }
    images = {
        entrypoint: engine.build(small_context(f"ENTRYPOINT {entrypoint}"), FakeTask())
        for entrypoint in words
    }

    assert {one: engine.starts_commands(image) for one, image in images.items()} == words


def test_an_entrypoint_that_has_started_a_command_is_not_tried_again(
    engine: DockerEngine, witness: docker.DockerClient, tmp_path: Path
) -> None:
    words = json.dumps(["/bin/sh", "-c", 'exec "$@"', str(uuid.uuid4())])
    built = engine.build(small_context(f"ENTRYPOINT {words}"), FakeTask())

    tried = DockerEngine(kept=Kept(tmp_path / "made")).starts_commands(built)
    witness.images.remove(built.id)

    assert tried
    assert DockerEngine(kept=Kept(tmp_path / "made")).starts_commands(built)


def test_a_program_runs_in_an_image_whose_entrypoint_starts_nothing(engine: DockerEngine) -> None:
    built = engine.build(small_context('ENTRYPOINT ["jupyter"]'), FakeTask())

    done = engine.image_target(built, python="/bin/sh", gpus=None).run(("/bin/echo", "here"))

    assert (done.exit_code, done.stdout) == (0, "here\n")


def test_a_step_that_fails_is_named_with_its_exit_code_and_last_lines(
    engine: DockerEngine, base: ImageRef
) -> None:
    lines = "for i in $(seq 1 40); do echo line $i; done"

    with pytest.raises(BuildError) as caught:
        engine.build(context(f"FROM {base}", f"RUN {lines}; exit 7"), FakeTask())

    assert caught.value.message == f"step [2/2] RUN {lines}; exit 7 failed with exit code 7"
    assert caught.value.hint.splitlines() == [f"line {number}" for number in range(11, 41)]


def test_a_dockerfile_that_cannot_be_read_is_a_failed_build(engine: DockerEngine) -> None:
    with pytest.raises(BuildError, match="unknown instruction: BOGUS"):
        engine.build(context("FROM scratch", "BOGUS x"), FakeTask())


def test_a_full_disk_is_told_apart_from_a_step_that_fails(
    engine: DockerEngine, base: ImageRef
) -> None:
    with pytest.raises(WriteError, match="the disk of the Docker engine is full"):
        engine.build(context(f"FROM {base}", "RUN cat /dev/zero > /dev/full"), FakeTask())


def test_a_step_is_noted_while_it_runs(engine: DockerEngine, base: ImageRef) -> None:
    task, word = FakeTask(), uuid.uuid4().hex

    engine.build(context(f"FROM {base}", f"RUN echo {word}"), task)

    assert f"[2/2] RUN echo {word}" in task.notes
    assert f"[2/2] RUN echo {word}: {word}" in task.notes


def test_a_file_builds_the_same_layer_as_its_bytes(engine: DockerEngine, tmp_path: Path) -> None:
    content = uuid.uuid4().bytes * 100_000
    (tmp_path / "x").write_bytes(content)
    lines = ("FROM scratch", "COPY x /")

    by_path = engine.build(context(*lines, x=tmp_path / "x"), FakeTask())
    by_bytes = engine.build(context(*lines, x=content), FakeTask())

    assert by_path.diff_ids == by_bytes.diff_ids


def test_the_bytes_of_what_is_built_from_are_counted_as_they_go(engine: DockerEngine) -> None:
    sent, task = context("FROM scratch", "COPY x /", x=bytes(3_000_000)), FakeTask()
    size = Tar(sent.files).size_bytes

    engine.build(sent, task)

    counts = [done for done, total in task.counts if total == size]
    assert counts == sorted(counts)
    assert counts[-1] == size


def test_a_file_that_is_gone_ends_a_build(engine: DockerEngine, tmp_path: Path) -> None:
    sent = context("FROM scratch", "COPY x y /", x=bytes(3_000_000), y=tmp_path / "y")

    with pytest.raises(SnapshotDamagedError, match="y cannot be read: No such file"):
        engine.build(sent, FakeTask())


def test_a_refusal_while_much_is_sent_is_read(engine: DockerEngine, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(200_000_000)
    refused = BuildContext(files={"Dockerfile": large}, labels={}, dockerfile="../out")

    with pytest.raises((BuildError, EngineError)) as caught:
        engine.build(refused, FakeTask())

    assert "went away" not in caught.value.message


def test_a_base_that_is_here_is_built_on_without_its_registry(
    engine: DockerEngine, going: Place
) -> None:
    name = ImageRef(repository=f"{start_registry(going)}/gone", tag="a")
    first = engine.build(context("FROM scratch", "COPY x /", x=uuid.uuid4().bytes), FakeTask())
    engine.tag(first, name)
    pinned = engine.push(name, FakeTask())
    engine.remove(name.tagged)
    engine.pull(pinned, FakeTask())
    stop_registry(going)

    built = engine.build(context(f"FROM {pinned}", "COPY y /", y=b"more"), FakeTask())

    assert built.diff_ids[0] == first.diff_ids[0]
    assert engine.resolve(name.at(str(pinned.digest)), FakeTask()) == pinned
    engine.remove(str(pinned.repository) + f"@{pinned.digest}")


def test_without_its_registry_a_name_is_pinned_by_what_it_came_with(
    engine: DockerEngine, going: Place
) -> None:
    name = ImageRef(repository=f"{start_registry(going)}/gone", tag="a")
    engine.tag(engine.build(context("FROM scratch", "COPY x /", x=b"x"), FakeTask()), name)
    pinned = engine.push(name, FakeTask())
    stop_registry(going)

    assert engine.resolve(name, FakeTask()) == pinned
    engine.remove(name.tagged)


def test_bytes_are_counted_while_an_image_moves(engine: DockerEngine, registry: str) -> None:
    name = ImageRef(repository=f"{registry}/moved", tag=uuid.uuid4().hex)
    random = b"".join(uuid.uuid4().bytes for _ in range(250_000))
    task = FakeTask()
    engine.tag(engine.build(context("FROM scratch", "COPY x /", x=random), FakeTask()), name)

    engine.push(name, task)
    engine.remove(name.tagged)

    done, total = task.counts[-1]
    assert done == total
    assert done >= len(random)


def test_a_folder_with_too_many_files_is_refused(engine: DockerEngine, image: Image) -> None:
    with pytest.raises(EngineError, match="/usr/bin holds more than 64 files"):
        engine.read_folder(image, "/usr/bin")


def test_reading_a_folder_leaves_no_container(
    engine: DockerEngine, witness: docker.DockerClient
) -> None:
    built = engine.build(context("FROM scratch", "COPY x /kept/", x=uuid.uuid4().bytes), FakeTask())

    engine.read_folder(built, "/kept")

    assert witness.containers.list(all=True, filters={"ancestor": built.id}) == []
