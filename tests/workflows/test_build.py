from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import BuildError, EngineError, TagTakenError, UsageError
from snapenv.lock.store import write_snapshot
from snapenv.model.fingerprint import Speed
from snapenv.model.image import Image, ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL, TAG_LABEL
from snapenv.workflows.build import Build, build
from snapenv.workflows.list import Listing, list_images
from tests.fakes import FakeTask
from tests.samples import (
    TAG,
    sample_base_lock,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_lock,
    sample_snapshot,
)
from tests.workflows.services import (
    BASE,
    REGISTRY,
    REPOSITORY,
    EngineWithBase,
    NoEngine,
    services,
    target,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.snapshot import BaseFamily

REQUEST = Build(repository=REPOSITORY, mirror=REGISTRY)
NAME = f"{REPOSITORY}:{TAG}"
OTHER = replace(BASE, id="sha256:other", diff_ids=("sha256:0", "sha256:9"))


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshot"
    write_snapshot(sample_snapshot(), folder)
    return folder


def pushed(engine: EngineWithBase, image: Image) -> None:
    """Let the registry have this image under the tag of the sample, and forget it here."""
    engine.images[NAME] = image
    engine.push(ImageRef.parse(NAME), FakeTask())
    engine.remove(NAME)


def test_the_base_is_pinned_and_the_snapshot_travels_as_it_was_captured(snapshot: Path) -> None:
    engine = EngineWithBase()

    build(snapshot, REQUEST, services(engine))

    (context,) = engine.built
    dockerfile = bytes(context.files[context.dockerfile]).decode()
    captured = {path.name: path.read_bytes() for path in snapshot.iterdir()}
    assert f"FROM {REGISTRY}/nvidia/pytorch:25.10-py3@sha256:" in dockerfile
    assert {name: context.files[name] for name in captured} == captured
    assert context.labels["io.snapenv.snapshot"] == sample_snapshot().digest
    assert context.labels["org.opencontainers.image.base.digest"].startswith("sha256:")


@pytest.mark.parametrize("speed", [Speed(images_per_s=1.0, step_ms_median=2, step_ms_p95=3), None])
def test_the_image_keeps_every_file_that_an_image_needs(
    tmp_path: Path, speed: Speed | None
) -> None:
    lock = sample_lock(baseline=replace(sample_fingerprint(), speed=speed))
    write_snapshot(sample_snapshot(lock), tmp_path / "s")
    engine = EngineWithBase()

    build(tmp_path / "s", REQUEST, services(engine))

    (context,) = engine.built
    dockerfile = bytes(context.files[context.dockerfile]).decode()
    (copied,) = (line for line in dockerfile.splitlines() if line.startswith("COPY snapenv.toml"))
    assert sorted(copied.split()[1:-1]) == sorted(path.name for path in (tmp_path / "s").iterdir())


def captured_on_arm(folder: Path) -> Path:
    facts = sample_facts()
    system = replace(facts.hardware.system, machine="aarch64")
    seen = replace(facts, hardware=replace(facts.hardware, system=system))
    write_snapshot(sample_snapshot(sample_lock(facts=seen)), folder / "arm")
    return folder / "arm"


def test_what_another_kind_of_machine_was_captured_on_is_refused_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    engine, engine_there = EngineWithBase(), set(EngineWithBase().images)

    with pytest.raises(BuildError) as refused:
        build(captured_on_arm(tmp_path), REQUEST, services(engine))

    assert refused.value.message == wording(
        "the environment was captured on arm64, and this engine runs amd64"
    )
    assert "docker pull --platform linux/arm64" in str(refused.value.hint)
    assert (engine.built, set(engine.images)) == ([], engine_there)


@pytest.mark.parametrize(("machine", "built"), [("arm64", 1), ("amd64", 0)])
def test_a_base_that_was_pulled_for_another_kind_of_machine_is_built_on(
    tmp_path: Path, machine: str, built: int
) -> None:
    engine = EngineWithBase()
    name = f"{REGISTRY}/nvidia/pytorch:25.10-py3"
    engine.images[name] = replace(BASE, machine=machine)

    with contextlib.suppress(BuildError):
        build(captured_on_arm(tmp_path), REQUEST, services(engine))

    assert [context.machine for context in engine.built] == ["arm64"] * built


def test_a_certificate_authority_is_lent_to_the_build(snapshot: Path) -> None:
    engine = EngineWithBase()

    build(snapshot, REQUEST, services(engine, certificates=b"PEM"))

    assert engine.built[0].files["ca.pem"] == b"PEM"


@pytest.mark.parametrize(
    ("entrypoint", "reset"),
    [((), False), (("/entry.sh", 'exec "$@"'), False), (("jupyter", "lab"), True)],
)
def test_an_entrypoint_of_the_base_that_starts_no_command_is_left_out_and_told(
    entrypoint: tuple[str, ...], *, reset: bool, snapshot: Path
) -> None:
    engine = engine_with(replace(BASE, entrypoint=entrypoint))

    outcome = build(snapshot, REQUEST, services(engine))

    (context,) = engine.built
    dockerfile = bytes(context.files[context.dockerfile]).decode()
    assert ("\nENTRYPOINT []\n" in dockerfile) == reset
    assert engine.images[NAME].entrypoint == (() if reset else entrypoint)
    told = [text for text in outcome.warnings if "ENTRYPOINT" in text]
    expected = (
        f'ENTRYPOINT ["jupyter", "lab"] of {REGISTRY}/nvidia/pytorch:25.10-py3 starts no command: '
        "the image has none"
    )
    assert told == ([expected] if reset else [])


def test_steps_that_the_base_adds_to_each_build_are_told(snapshot: Path) -> None:
    engine = engine_with(replace(BASE, triggers=("RUN id",)))

    outcome = build(snapshot, REQUEST, services(engine))

    assert [text for text in outcome.warnings if text.endswith("ONBUILD RUN id")]


def engine_with(base: Image) -> EngineWithBase:
    """Return an engine whose registry has this base under the name of the sample's."""
    engine = EngineWithBase()
    ref = ImageRef.parse(f"{REGISTRY}/nvidia/pytorch:25.10-py3")
    engine.images[ref.tagged] = base
    engine.push(ref, FakeTask())
    engine.remove(ref.tagged)
    return engine


def test_the_image_is_named_by_the_convention(snapshot: Path) -> None:
    engine = EngineWithBase()

    outcome = build(snapshot, REQUEST, services(engine))

    image = engine.images[NAME]
    assert outcome.result.image == NAME
    assert outcome.result.digest == image.id
    assert outcome.result.pushed is False


def test_an_image_that_is_not_what_the_lock_says_gets_no_name(snapshot: Path) -> None:
    other = sample_environment(distributions=[sample_distribution("numpy", "1.0")])
    engine = EngineWithBase(inside=target(sample_facts(environment=other)))

    with pytest.raises(BuildError) as caught:
        build(snapshot, REQUEST, services(engine))

    assert str(caught.value) == wording(
        "the image is not what the lock says: distribution.torch: 2.11.0 became absent; distribution.torchvision: 0.26.0 became absent; distribution.ultralytics: 8.4.190 became absent"
    )
    assert NAME not in engine.images


def test_what_is_only_to_be_looked_out_for_refuses_no_image(tmp_path: Path) -> None:
    captured = replace(sample_facts(), startup={"LD_PRELOAD": ("libtcmalloc.so.4",)})
    lock = replace(sample_lock(facts=captured), startup=captured.startup)
    write_snapshot(sample_snapshot(lock), tmp_path / "preloaded")
    engine = EngineWithBase(inside=target(replace(sample_facts(), startup={})))

    build(tmp_path / "preloaded", REQUEST, services(engine))

    assert NAME in engine.images


def test_what_a_base_puts_before_the_environment_gets_no_name(snapshot: Path) -> None:
    shadowed = replace(sample_facts(), startup={"PYTHONPATH": ("six",)})
    engine = EngineWithBase(inside=target(shadowed))

    with pytest.raises(BuildError) as caught:
        build(snapshot, REQUEST, services(engine))

    assert str(caught.value) == wording(
        "the image is not what the lock says: variables.PYTHONPATH: nothing before the environment's own became six before the environment's own"
    )
    assert NAME not in engine.images


def test_a_name_that_another_image_has_is_not_moved(snapshot: Path) -> None:
    engine = EngineWithBase(images={NAME: OTHER})

    with pytest.raises(TagTakenError, match="sha256:other already"):
        build(snapshot, REQUEST, services(engine))

    assert engine.images[NAME] == OTHER
    assert engine.built == []


def test_a_name_is_moved_where_that_is_asked_for(snapshot: Path) -> None:
    engine = EngineWithBase(images={NAME: OTHER})

    build(snapshot, replace(REQUEST, replace=True), services(engine))

    assert engine.images[NAME] != OTHER


def test_an_image_that_was_built_before_is_not_built_again(snapshot: Path) -> None:
    engine = EngineWithBase()

    first = build(snapshot, REQUEST, services(engine))
    second = build(snapshot, REQUEST, services(engine))

    assert len(engine.built) == 1
    assert first.result == second.result


def test_another_base_than_that_of_the_image_under_this_name_is_refused(snapshot: Path) -> None:
    engine = EngineWithBase()
    build(snapshot, REQUEST, services(engine))

    with pytest.raises(TagTakenError, match=r"on .*26\.03-py3"):
        build(
            snapshot,
            replace(REQUEST, base="nvcr.io/nvidia/pytorch:26.03-py3"),
            services(engine),
        )


def test_pushing_gives_the_digest_that_the_registry_serves(snapshot: Path) -> None:
    engine = EngineWithBase()

    outcome = build(snapshot, replace(REQUEST, push=True), services(engine))

    assert f"{REPOSITORY}@{outcome.result.digest}" in engine.served


def test_pushing_twice_says_the_same_twice(snapshot: Path) -> None:
    engine = EngineWithBase()
    request = replace(REQUEST, push=True)

    first = build(snapshot, request, services(engine))
    second = build(snapshot, request, services(engine))

    assert first.result == second.result


def test_a_tag_that_another_image_has_in_the_registry_is_not_moved(snapshot: Path) -> None:
    engine = EngineWithBase()
    pushed(engine, OTHER)

    with pytest.raises(TagTakenError, match="--replace|already"):
        build(snapshot, replace(REQUEST, push=True), services(engine))

    assert engine.served[NAME].id == OTHER.id


def test_a_tag_in_the_registry_is_moved_where_that_is_asked_for(snapshot: Path) -> None:
    engine = EngineWithBase()
    pushed(engine, OTHER)

    build(snapshot, replace(REQUEST, push=True, replace=True), services(engine))

    assert engine.served[NAME].id != OTHER.id


def test_the_image_that_loses_its_tag_keeps_a_name_and_comes_back_by_its_id(
    snapshot: Path,
) -> None:
    engine = EngineWithBase()
    before = replace(OTHER, labels={SNAPSHOT_LABEL: "sha256:2", TAG_LABEL: TAG})
    engine.images[NAME] = engine.images[before.id] = before
    outside = services(engine)

    done = build(snapshot, Build(repository=REPOSITORY, mirror=REGISTRY, replace=True), outside)

    assert engine.images[f"{REPOSITORY}:replaced-other"] == before
    assert engine.images[NAME].id == done.result.digest != before.id
    assert done.lines[-1] == wording(
        "the image before it stays as localhost:5000/team/env:train-yolov8.4.190-base-cu130@sha256:other"
    )
    listed = list_images(Listing(repository=REPOSITORY), outside).result.images
    assert [row.tag for row in listed] == [TAG]


SLIM = ImageRef(repository=f"{REGISTRY}/library/debian", tag="12-slim")


def engine_with_slim() -> EngineWithBase:
    """Return an engine whose registry has a plain Debian too."""
    engine = EngineWithBase()
    engine.images[SLIM.tagged] = BASE
    engine.push(SLIM, FakeTask())
    engine.remove(SLIM.tagged)
    return engine


def test_a_snapshot_is_built_on_another_family_and_travels_as_it_was_captured(
    snapshot: Path,
) -> None:
    engine = engine_with_slim()

    outcome = build(snapshot, replace(REQUEST, base_family="slim"), services(engine))

    (context,) = engine.built
    dockerfile = bytes(context.files[context.dockerfile]).decode()
    assert f"FROM {SLIM.tagged}@sha256:" in dockerfile
    assert "FROM tools AS uv\n" in dockerfile
    assert context.files["Dockerfile"] == (snapshot / "Dockerfile").read_bytes()
    assert outcome.result.base == SLIM.tagged


def test_the_image_of_one_family_is_not_taken_for_another_s(snapshot: Path) -> None:
    engine = engine_with_slim()
    build(snapshot, replace(REQUEST, base_family="slim"), services(engine))

    build(snapshot, replace(REQUEST, base_family="slim"), services(engine))
    with pytest.raises(TagTakenError, match=r"on .*/nvidia/pytorch:"):
        build(snapshot, replace(REQUEST, base_family="pytorch"), services(engine))
    assert len(engine.built) == 1


@pytest.mark.parametrize("family", ["slim", "cuda"])
def test_packages_of_nvidia_s_image_are_not_built_on_another_family(
    family: BaseFamily, tmp_path: Path
) -> None:
    write_snapshot(sample_snapshot(sample_base_lock()), tmp_path / "own")

    with pytest.raises(UsageError, match=f"--base-family {family} is for an isolated"):
        build(tmp_path / "own", replace(REQUEST, base_family=family), services(NoEngine()))


def test_layers_are_packed_with_zstd_where_the_engine_can(snapshot: Path) -> None:
    engine = EngineWithBase()
    engine.described = replace(engine.described, containerd_store=True)
    request = replace(REQUEST, compression="zstd")

    first, second = (build(snapshot, request, services(engine)) for _ in range(2))

    assert [context.compression for context in engine.built] == ["zstd"]
    assert not first.warnings
    assert second.warnings == (
        wording(
            "localhost:5000/team/env:train-yolov8.4.190-base-cu130 is built already: "
            "--compression is for a new image (--replace)"
        ),
    )


def test_zstd_is_refused_where_the_engine_would_pack_with_gzip(snapshot: Path) -> None:
    engine = EngineWithBase()

    with pytest.raises(EngineError) as caught:
        build(snapshot, replace(REQUEST, compression="zstd"), services(engine))

    assert "containerd-snapshotter" in caught.value.hint
    assert engine.built == []
