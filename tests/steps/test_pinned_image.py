"""From a REF to an image that every machine can pull."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError, RegistryError, UsageError
from snapenv.lock.store import write_snapshot
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import Image, ImageRef
from snapenv.model.needs_label import make_label
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.steps.pinned_image import PinnedImage, pinned_image
from snapenv.workflows.push import Push, push
from tests.fakes import DESCRIBED, FakeTask
from tests.render.workloads import IMAGE
from tests.samples import TAG, sample_lock, sample_snapshot
from tests.steady import steady
from tests.workflows.services import EngineWithBase, FakeRegistry, NoEngine, remote, services

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "localhost:5000/team/env"
NAME = ImageRef(repository=REPOSITORY, tag=TAG)
LABELS = {SNAPSHOT_LABEL: "sha256:2", NEEDS_LABEL: make_label(sample_lock())}
OURS = Image(
    id="sha256:1",
    diff_ids=("sha256:0",),
    labels=LABELS,
    variables={},
    machine="amd64",
    size_bytes=1,
)


def pin(
    text: str,
    engine: EngineWithBase,
    *,
    image: ImageRef | None = None,
    registry: FakeRegistry | None = None,
) -> PinnedImage:
    given = services(engine, registry=registry)
    return pinned_image(text, repository=REPOSITORY, image=image, services=given)


def holding(image: Image = OURS, name: ImageRef = NAME, *, pushed: bool = False) -> EngineWithBase:
    engine = EngineWithBase()
    engine.images[name.tagged] = image
    if pushed:
        engine.push(name, FakeTask())
    return engine


def test_an_image_that_was_pushed_from_here_has_its_digest_here() -> None:
    engine = holding(pushed=True)
    registry = FakeRegistry()

    pinned = pin(TAG, engine, registry=registry)

    assert str(pinned.ref).startswith(f"{REPOSITORY}:{TAG}@sha256:")
    assert pinned.snapshot == "sha256:2"
    assert (pinned.label.cuda, pinned.label.ultralytics) == ("13.0", "8.4.190")
    assert registry.asked == []


@pytest.mark.parametrize("name", [NAME, ImageRef(repository="snapenv", tag=TAG)], ids=str)
def test_an_image_that_was_never_pushed_is_refused(name: ImageRef) -> None:
    with pytest.raises(NotFoundError) as raised:
        pin(str(name), holding(name=name))

    assert steady(raised.value, name=name) == wording(
        "NAME is on this machine alone: no registry has given it a digest, and no other machine can pull it"
    )
    assert raised.value.hint.startswith("Push it first: snapenv build SNAPSHOT --repository ")


def test_what_the_registry_has_of_another_build_is_not_this_image() -> None:
    registry = FakeRegistry(
        images={NAME.tagged: remote(name=f"{NAME}@sha256:{'7' * 64}")}, answers=("localhost",)
    )

    with pytest.raises(NotFoundError) as caught:
        pin(TAG, holding(), registry=registry)

    assert steady(caught.value) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 is on this machine alone: no registry has given it a digest, and no other machine can pull it"
    )


def test_a_digest_of_containerd_s_own_counts_only_where_the_registry_has_it() -> None:
    made_here = replace(OURS, digests=(f"{REPOSITORY}@sha256:{'5' * 64}",))
    engine = holding(made_here)
    engine.described = replace(DESCRIBED, containerd_store=True)
    served = remote(name=f"{NAME}@sha256:{'7' * 64}", labels=LABELS, diff_ids=OURS.diff_ids)

    with pytest.raises(NotFoundError) as caught:
        pin(TAG, engine, registry=FakeRegistry(answers=("localhost",)))

    assert steady(caught.value) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 is on this machine alone: no registry has given it a digest, and no other machine can pull it"
    )

    registry = FakeRegistry(images={NAME.tagged: served}, answers=("localhost",))
    assert pin(TAG, engine, registry=registry).ref == NAME.at(f"sha256:{'7' * 64}")


@pytest.mark.parametrize("engine", [EngineWithBase(), NoEngine()], ids=["not here", "no engine"])
def test_an_image_in_a_registry_is_asked_for_and_not_pulled(engine: EngineWithBase) -> None:
    served = remote(name=f"{NAME}@sha256:{'7' * 64}", labels=LABELS)
    registry = FakeRegistry(images={NAME.tagged: served}, answers=("localhost",))

    pinned = pin(str(NAME), engine, registry=registry)

    assert pinned.ref == NAME.at(f"sha256:{'7' * 64}")
    assert pinned.label.torch == "2.11.0+cu130"
    assert set(registry.asked) == {NAME.tagged}
    with pytest.raises(RegistryError):
        pin(f"example.com/team/env:{TAG}", engine, registry=registry)


def test_an_image_of_others_is_refused() -> None:
    with pytest.raises(NotFoundError, match="holds no snapshot"):
        pin(TAG, holding(replace(OURS, labels={}), pushed=True))


def test_a_snapshot_is_of_the_image_that_is_named_with_tag_and_digest(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "snapshot")
    folder, engine = str(tmp_path / "snapshot"), EngineWithBase()

    pinned = pin(folder, engine, image=IMAGE)

    assert (pinned.ref, pinned.snapshot) == (IMAGE, sample_snapshot().digest)
    assert pinned.label.python == "3.11.7"
    for image in (None, replace(IMAGE, tag=None), replace(IMAGE, digest=None)):
        with pytest.raises(UsageError, match="--image|not an image that another machine"):
            pin(folder, engine, image=image)
    with pytest.raises(UsageError, match="--image is for a snapshot, and"):
        pin(TAG, holding(pushed=True), image=IMAGE)


def test_a_snapshot_in_a_registry_is_of_the_image_that_is_named_too(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(), tmp_path / "snapshot")
    registry, engine = FakeRegistry(answers=("localhost",)), NoEngine()
    request = Push(ref=str(tmp_path / "snapshot"), repository=REPOSITORY)
    push(request, services(engine, registry=registry))

    pinned = pin(str(NAME), engine, image=IMAGE, registry=registry)

    assert (pinned.ref, pinned.snapshot) == (IMAGE, sample_snapshot().digest)
    with pytest.raises(UsageError) as caught:
        pin(str(NAME), engine, registry=registry)

    assert steady(caught.value) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 is not an image that another machine can pull"
    )


def test_a_registry_that_does_not_answer_is_no_image_that_was_never_pushed() -> None:
    with pytest.raises(RegistryError, match="does not answer"):
        pin(TAG, holding(), registry=FakeRegistry(answers=()))
