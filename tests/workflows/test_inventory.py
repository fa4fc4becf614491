from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import EngineMissingError, NotFoundError, RegistryError, UsageError
from snapenv.lock.make_lock import base_source
from snapenv.lock.store import write_snapshot
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import Image, ImageRef, Layer, RemoteImage
from snapenv.model.needs_label import make_label
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL, Source
from snapenv.workflows.build import Build, build
from snapenv.workflows.list import Listing, list_images
from snapenv.workflows.show import show
from tests.samples import TAG, sample_lock, sample_snapshot
from tests.workflows.services import (
    BASE,
    REGISTRY,
    REPOSITORY,
    EngineWithBase,
    FakeRegistry,
    services,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.snapshot import Lock

NAME = f"{REPOSITORY}:{TAG}"
EXACT = ImageRef.parse("nvcr.io/nvidia/pytorch:25.10-py3")
OTHER_TAG = "train-py3.11-base-cpu"
DIGEST = f"sha256:{'1' * 64}"
CREATED = "2026-03-01T12:00:00Z"
LABELS = {
    SNAPSHOT_LABEL: "sha256:abc",
    "io.snapenv.version": "1.0",
    "org.opencontainers.image.version": TAG,
    "org.opencontainers.image.base.name": "nvcr.io/nvidia/pytorch:25.10-py3",
    "org.opencontainers.image.base.digest": DIGEST,
}
IMAGE = replace(BASE, labels=LABELS, size_bytes=2_000_000_000)


@dataclass(kw_only=True)
class Shelf(EngineWithBase):
    """An engine that lists its images too."""

    made: str = CREATED
    missing: bool = field(default=False, init=False)

    def list_names(self, *, label: str) -> tuple[tuple[str, str], ...]:
        self._refuse_missing()
        named = (name for name, image in self.images.items() if label in image.labels)
        return tuple((name, self.made) for name in sorted(named) if "@" not in name and ":" in name)

    def find(self, ref: str) -> Image | None:
        self._refuse_missing()
        return super().find(ref)

    def _refuse_missing(self) -> None:
        if self.missing:
            raise EngineMissingError("no Docker engine answers at x", hint="Start Docker.")


def no_engine() -> Shelf:
    shelf = Shelf()
    shelf.missing = True
    return shelf


def there(name: str = NAME, **changed: object) -> RemoteImage:
    image = RemoteImage(
        ref=ImageRef.parse(name).at(DIGEST),
        config_digest=DIGEST,
        layers=(Layer(digest=DIGEST, size_bytes=700_000_000),),
        diff_ids=IMAGE.diff_ids,
        labels=LABELS,
        variables={},
        machine="amd64",
        created=CREATED,
    )
    return replace(image, **changed)


def captured_on(machine: str) -> Lock:
    lock = sample_lock()
    system = replace(lock.hardware.system, machine=machine)
    return replace(lock, hardware=replace(lock.hardware, system=system))


@dataclass(kw_only=True)
class Counter:
    """An engine and a registry that a test fills."""

    engine: Shelf = field(default_factory=Shelf)
    registry: FakeRegistry = field(default_factory=FakeRegistry)

    def lines(self, *, remote: bool = False, repository: str = REPOSITORY) -> tuple[str, ...]:
        request = Listing(repository=repository, remote=remote)
        return list_images(request, services(self.engine, registry=self.registry)).lines


def test_nothing_here_is_said_in_a_line() -> None:
    assert Counter().lines() == (wording("no local image of snapenv"),)


def test_what_is_here_is_listed_by_repository_and_tag() -> None:
    counter = Counter()
    for name in (NAME, f"{REPOSITORY}:{OTHER_TAG}", f"snapenv:{OTHER_TAG}"):
        counter.engine.images[name] = IMAGE
    counter.engine.images["other:latest"] = BASE

    assert counter.lines() == (
        REPOSITORY,
        wording("  train-py3.11-base-cpu            2.0 GB  2026-03-01 local"),
        wording("  train-yolov8.4.190-base-cu130    2.0 GB  2026-03-01 local"),
        "snapenv",
        wording("  train-py3.11-base-cpu            2.0 GB  2026-03-01 local"),
    )
    assert max(map(len, counter.lines())) <= 60


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({}, "both"),
        ({"diff_ids": ("sha256:9",)}, "differ"),
        ({"labels": {**LABELS, SNAPSHOT_LABEL: "sha256:def"}}, "differ"),
    ],
)
def test_a_tag_in_both_places_is_one_image_or_two(changed: dict[str, object], word: str) -> None:
    counter = Counter()
    counter.engine.images[NAME] = IMAGE
    counter.registry.images[NAME] = there(NAME, **changed)

    assert counter.lines(remote=True)[1].split()[-1] == word


def test_only_tags_of_the_convention_are_asked_for() -> None:
    counter = Counter()
    counter.registry.images = {NAME: there(), f"{REPOSITORY}:latest": there()}

    lines = counter.lines(remote=True)

    assert lines == (
        REPOSITORY,
        wording("  train-yolov8.4.190-base-cu130  700.0 MB  2026-03-01 remote"),
        wording("    runs: unknown  image  111111111111"),
        wording("    unverified, 700.0 MB to pull"),
        wording("    its labels do not say what it needs"),
    )
    assert set(counter.registry.asked) == {REPOSITORY, NAME}


def test_what_the_registry_did_not_name_is_here_alone() -> None:
    engine, registry = Shelf(), FakeRegistry(images={f"{REPOSITORY}:{OTHER_TAG}": there()})
    engine.images |= {NAME: IMAGE, f"snapenv:{TAG}": IMAGE}

    outcome = list_images(
        Listing(repository=REPOSITORY, remote=True), services(engine, registry=registry)
    )

    images = outcome.result.images
    assert [(one.name, one.local, one.remote, one.same) for one in images] == [
        (f"{REPOSITORY}:{OTHER_TAG}", False, True, None),
        (NAME, True, False, None),
        (f"snapenv:{TAG}", True, None, None),
    ]


def test_without_an_engine_the_registry_is_listed_with_a_warning() -> None:
    engine, registry = no_engine(), FakeRegistry(images={NAME: there()})
    ask = services(engine, registry=registry)

    outcome = list_images(Listing(repository=REPOSITORY, remote=True), ask)

    assert [one.where for one in outcome.result.images] == ["remote"]
    assert outcome.warnings[0] == wording(
        "no Docker engine answers at x: local images are not listed"
    )
    with pytest.raises(EngineMissingError):
        list_images(Listing(repository=REPOSITORY), ask)


def test_an_image_for_another_machine_is_listed_with_the_reason() -> None:
    labels = {**LABELS, NEEDS_LABEL: make_label(captured_on("aarch64"))}
    registry = FakeRegistry(images={NAME: there(machine="arm64", labels=labels)})

    outcome = list_images(
        Listing(repository=REPOSITORY, remote=True), services(Shelf(), registry=registry)
    )

    (row,) = outcome.result.images
    assert (row.tag, row.size_bytes, row.where, row.runs) == (TAG, 700_000_000, "remote", "no")
    assert row.reason == wording("platform: amd64, needed: arm64")


@pytest.mark.parametrize(("machine", "runs"), [("aarch64", "yes"), ("x86_64", "no")])
def test_an_engine_for_arm64_is_offered_images_for_arm64(machine: str, runs: str) -> None:
    lock = captured_on(machine)
    kind = lock.hardware.system.architecture
    labels = {**LABELS, NEEDS_LABEL: make_label(lock)}
    engine = Shelf()
    engine.described = replace(engine.described, architecture="arm64")
    request = Listing(repository=REPOSITORY, remote=True, device="cpu")
    registry = FakeRegistry(images={NAME: there(machine=kind, labels=labels)})

    (row,) = list_images(request, services(engine, registry=registry)).result.images

    assert (row.runs, row.reason is None) == (runs, runs == "yes")


def test_the_machine_of_a_capture_is_shown(tmp_path: Path) -> None:
    lock = captured_on("aarch64")
    write_snapshot(sample_snapshot(lock), tmp_path / "s")
    labels = {**LABELS, NEEDS_LABEL: make_label(lock)}
    registry = FakeRegistry(images={NAME: there(machine="arm64", labels=labels)})
    ask = services(Shelf(), registry=registry)

    shown = [show(ref, ask, repository=REPOSITORY) for ref in (NAME, str(tmp_path / "s"))]

    assert [one.result.machine for one in shown] == ["arm64", "arm64"]
    assert all("machine    arm64" in one.lines for one in shown)


def test_a_repository_of_no_registry_is_not_asked_for() -> None:
    with pytest.raises(UsageError) as caught:
        Counter().lines(remote=True, repository="snapenv")

    assert str(caught.value) == wording("snapenv is a repository of this machine alone")


def test_a_registry_that_does_not_answer_is_no_empty_list() -> None:
    with pytest.raises(RegistryError, match="does not answer"):
        Counter().lines(remote=True, repository="example.com/team/env")


def test_a_snapshot_folder_is_shown_from_its_files(tmp_path: Path) -> None:
    snapshot = sample_snapshot()
    write_snapshot(snapshot, tmp_path / "s")

    outcome = show(str(tmp_path / "s"), services(no_engine()), repository=REPOSITORY)

    result = outcome.result
    assert (result.kind, result.tag, result.digest) == ("snapshot", TAG, snapshot.digest)
    assert (result.python, result.torch, result.cuda) == ("3.11.7", "2.11.0+cu130", "13.0")
    assert result.packages == 7
    assert f"tag        {TAG}" in outcome.lines
    assert "CUDA       13.0" in outcome.lines


def test_a_local_image_is_shown_from_the_snapshot_in_it(tmp_path: Path) -> None:
    engine = Shelf()
    write_snapshot(sample_snapshot(), tmp_path / "s")
    build(tmp_path / "s", Build(repository=REPOSITORY, mirror=REGISTRY), services(engine))
    image = engine.images[NAME]
    assert (image.id, IMAGE_SNAPSHOT) in engine.folders

    result = show(TAG, services(engine), repository=REPOSITORY).result

    assert (result.kind, result.name, result.digest) == ("image", NAME, image.id)
    assert result.packages == 7
    assert str(result.base).startswith(f"{REGISTRY}/nvidia/pytorch:25.10-py3@sha256:")


def test_an_image_is_shown_with_the_base_that_it_has_and_no_other(tmp_path: Path) -> None:
    engine = Shelf()
    lock = sample_lock()
    sources = (Source(place="a", holds="7 wheels", when_gone=""), base_source(EXACT))
    write_snapshot(sample_snapshot(replace(lock, sources=sources)), tmp_path / "s")
    other = f"{REGISTRY}/nvidia/pytorch:26.03-py3"
    build(tmp_path / "s", Build(repository=REPOSITORY, base=other), services(engine))

    outcome = show(TAG, services(engine), repository=REPOSITORY)

    base = str(outcome.result.base)
    assert base.startswith(f"{other}@sha256:")
    assert outcome.result.sources == ("a: 7 wheels", f"{REGISTRY}: the base image {base}")
    assert lock.base.image not in "\n".join(outcome.lines)


@pytest.mark.parametrize("label", ["", "no name at all"])
def test_a_label_that_names_no_image_leaves_the_sources_as_captured(
    label: str, tmp_path: Path
) -> None:
    engine = Shelf()
    sources = (base_source(EXACT),)
    write_snapshot(sample_snapshot(replace(sample_lock(), sources=sources)), tmp_path / "s")
    build(tmp_path / "s", Build(repository=REPOSITORY, mirror=REGISTRY), services(engine))
    image = engine.images[NAME]
    labels = {**image.labels, "org.opencontainers.image.base.name": label}
    engine.images[NAME] = replace(image, labels=labels)

    shown = show(TAG, services(engine), repository=REPOSITORY)

    assert shown.result.sources == (f"nvcr.io: the base image {EXACT}",)


def test_an_image_of_a_registry_is_shown_without_a_pull() -> None:
    engine = Shelf()

    outcome = show(
        TAG, services(engine, registry=FakeRegistry(images={NAME: there()})), repository=REPOSITORY
    )

    assert outcome.lines == (
        f"tag        {TAG}",
        f"name       {NAME}",
        f"digest     {DIGEST}",
        "snapshot   sha256:abc",
        "size       700.0 MB",
        f"created    {CREATED}",
        "base       nvcr.io/nvidia/pytorch:25.10-py3",
        f"           @{DIGEST}",
        "CUDA       13.0",
        "machine    amd64",
        wording("written by snapenv 1.0"),
        wording("The packages, sources and baseline lie in the image."),
        wording(
            "To see them: docker pull localhost:5000/team/env:train-yolov8.4.190-base-cu130, then snapenv show once more"
        ),
    )
    assert outcome.result.packages is None
    assert engine.find(NAME) is None


def test_the_label_of_an_image_tells_what_is_in_it_and_where_it_was_captured() -> None:
    labels = {**LABELS, NEEDS_LABEL: make_label(sample_lock())}
    registry = FakeRegistry(images={NAME: there(labels=labels)})

    outcome = show(NAME, services(Shelf(), registry=registry), repository=REPOSITORY)

    assert outcome.lines[8:14] == (
        "python     3.11.7",
        "torch      2.11.0+cu130",
        "CUDA       13.0",
        "packages   7, ultralytics 8.4.190",
        "machine    amd64",
        "hardware   NVIDIA H200",
    )
    assert outcome.result.driver == "580.95.05"


@pytest.mark.parametrize("text", ["{", '{"torch": 7}', "[]", "\ud800", "x" * 20_000])
def test_a_label_that_cannot_be_read_tells_nothing(text: str) -> None:
    registry = FakeRegistry(images={NAME: there(labels={**LABELS, NEEDS_LABEL: text})})

    result = show(NAME, services(Shelf(), registry=registry), repository=REPOSITORY).result

    assert (result.cuda, result.packages, result.gpus) == ("13.0", None, None)


def test_what_a_tag_alone_tells_is_shown() -> None:
    labels = {**LABELS, "org.opencontainers.image.version": OTHER_TAG}
    registry = FakeRegistry(images={NAME: there(labels=labels)})

    result = show(NAME, services(Shelf(), registry=registry), repository="snapenv").result

    assert (result.python, result.torch, result.cuda) == ("3.11", None, None)


def test_labels_of_somebody_else_cannot_steer_a_terminal() -> None:
    labels = {**LABELS, "io.snapenv.version": "\x1b[2J\nok"}
    registry = FakeRegistry(images={NAME: there(labels=labels)})

    outcome = show(NAME, services(Shelf(), registry=registry), repository=REPOSITORY)

    assert r"written by snapenv \x1b[2J\nok" in outcome.lines


def test_without_an_engine_the_registry_is_asked() -> None:
    registry = FakeRegistry(images={NAME: there()})

    outcome = show(NAME, services(no_engine(), registry=registry), repository=REPOSITORY)

    assert outcome.result.kind == "registry"


def test_an_image_that_snapenv_did_not_make_is_not_shown() -> None:
    registry = FakeRegistry(images={NAME: there(labels={})})

    with pytest.raises(NotFoundError, match="holds no snapshot"):
        show(NAME, services(Shelf(), registry=registry), repository=REPOSITORY)


def test_a_tag_that_is_nowhere_is_not_found() -> None:
    with pytest.raises(NotFoundError) as caught:
        show(TAG, services(Shelf()), repository="snapenv")

    assert str(caught.value) == wording(
        "there is no snapshot folder, no archive and no local image snapenv:train-yolov8.4.190-base-cu130"
    )
    with pytest.raises(NotFoundError):
        show(TAG, services(Shelf()), repository=REPOSITORY)


def test_a_snapshot_names_what_it_was_made_of(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(replace(sample_lock(), parent="sha256:1")), tmp_path / "s")

    shown = show(str(tmp_path / "s"), services(), repository="snapenv")

    assert shown.result.parent == "sha256:1"
    assert "made of    sha256:1" in shown.lines
