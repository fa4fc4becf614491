"""Images that were not built here are compared with the base that their labels name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.image import Image, ImageRef
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL
from snapenv.steps.outside import check_outside, keep_as_built
from tests.samples import sample_lock
from tests.workflows.services import BASE, EngineWithBase, FakeRegistry, remote, services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.outcome import Check

NAME = "localhost:5000/nvidia/pytorch:25.10-py3"
PINNED = ImageRef.parse(NAME).at(f"sha256:{'b' * 64}")
OURS = Image(
    id="sha256:1",
    diff_ids=("sha256:0", "sha256:1", "sha256:2"),
    labels={BASE_NAME_LABEL: NAME, BASE_DIGEST_LABEL: str(PINNED.digest)},
    variables={},
    machine="amd64",
    size_bytes=9,
)


class Here:
    """A machine that knows a base by its digest, in its engine or in a registry."""

    def __init__(
        self, cache: Path, *, local: Image | None = None, served: tuple[str, ...] | None = None
    ) -> None:
        engine = EngineWithBase()
        if local:
            engine.images[f"{PINNED.repository}@{PINNED.digest}"] = local
        images = {} if served is None else {NAME: remote(name=str(PINNED), diff_ids=served)}
        self.registry = FakeRegistry(images=images)
        self.services = replace(services(engine, registry=self.registry), cache=cache)

    def check(self, image: Image = OURS, *, rehash: bool = False) -> tuple[Check, ...]:
        lock = sample_lock()
        return tuple(
            check
            for check in check_outside(image, lock, self.services, rehash=rehash)
            if check.id == "base"
        )


def test_the_layers_of_a_base_that_is_here_are_compared_without_asking_anybody(
    tmp_path: Path,
) -> None:
    here = Here(tmp_path, local=replace(BASE, diff_ids=("sha256:0", "sha256:1")))

    (check,) = here.check()

    assert (check.ok, check.part) == (True, "image")
    assert (check.expected, check.actual) == wording(
        (
            f"the layers of {NAME}@sha256:{'b' * 64} below its own",
            "2 layers",
        )
    )
    assert not here.registry.asked
    assert here.check() == ()
    assert [check.ok for check in here.check(rehash=True)] == [True]


@pytest.mark.parametrize("local", [None, replace(BASE, machine="arm64")])
def test_of_a_base_that_is_not_here_its_registry_is_asked_once(
    tmp_path: Path, local: Image | None
) -> None:
    here = Here(tmp_path, local=local, served=("sha256:0", "sha256:1"))

    checks = here.check(), here.check()

    assert [[check.ok for check in each] for each in checks] == [[True], []]
    assert here.registry.asked == [NAME]


@pytest.mark.parametrize(
    "layers",
    [(), ("sha256:1",), ("sha256:0", "sha256:2"), ("sha256:0", "sha256:1", "sha256:2", "sha256:3")],
)
@pytest.mark.parametrize("is_here", [True, False])
def test_an_image_that_lies_on_other_layers_than_its_base_s_is_not_right(
    tmp_path: Path, layers: tuple[str, ...], *, is_here: bool
) -> None:
    local = replace(BASE, diff_ids=layers) if is_here else None
    here = Here(tmp_path, local=local, served=layers)

    first, again = here.check(), here.check()

    assert first == again
    assert [check.fails for check in first] == [True]
    assert first[0].actual == "others"


def test_a_base_that_cannot_be_had_is_not_checked_and_asked_for_again(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.registry.answers = ()

    (check,) = here.check()

    assert (check.ok, check.fails) == (False, False)
    assert check.actual == wording("not checked: localhost:5000 does not answer")
    here.registry.answers = ("localhost",)
    assert here.check()[0].actual == check.actual  # who was silent is not waited for again soon
    assert here.check(rehash=True)[0].actual.startswith("not checked: there is no ")
    here.registry.images[NAME] = remote(name=str(PINNED), diff_ids=OURS.diff_ids[:1])
    assert here.check(rehash=True)[0].ok


def test_a_registry_that_was_silent_is_asked_again_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Here(tmp_path, served=OURS.diff_ids[:1])
    here.registry.answers = ()
    assert not here.check()[0].ok
    here.registry.answers = ("localhost",)
    later = time.time() + 3601
    monkeypatch.setattr("snapenv.steps.outside.time.time", lambda: later)

    assert here.check()[0].ok


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {BASE_NAME_LABEL: NAME},
        {BASE_NAME_LABEL: NAME, BASE_DIGEST_LABEL: "latest"},
        {BASE_NAME_LABEL: "\x1b[2J", BASE_DIGEST_LABEL: str(PINNED.digest)},
    ],
)
def test_an_image_that_names_no_base_is_not_said_to_have_one(
    tmp_path: Path, labels: dict[str, str]
) -> None:
    here = Here(tmp_path, served=("sha256:0",))

    (check,) = here.check(replace(OURS, labels=labels))

    assert (check.ok, check.severity) == (False, "warning")
    assert check.actual == wording("not checked: it names none")
    assert not here.registry.asked


def test_nobody_is_asked_about_an_image_that_was_built_here(tmp_path: Path) -> None:
    here = Here(tmp_path)

    keep_as_built(OURS, sample_lock(), here.services)

    assert here.check() == ()
    assert not here.registry.asked
