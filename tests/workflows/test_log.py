"""A line of ancestors, found where each of them lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError
from snapenv.lock.store import read_snapshot, write_snapshot
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import Image, kept_tag
from snapenv.model.needs_label import make_label
from snapenv.model.results import LogEntry
from snapenv.model.snapshot import IMAGE_SNAPSHOT, PARENT_LABEL, SNAPSHOT_LABEL, TAG_LABEL
from snapenv.workflows.log import log
from tests.samples import (
    TAG,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_lock,
    sample_snapshot,
)
from tests.workflows.services import (
    BASE,
    REPOSITORY,
    EngineWithBase,
    FakeRegistry,
    NoEngine,
    remote,
    services,
)

if TYPE_CHECKING:
    from snapenv.model.image import RemoteImage
    from snapenv.model.outcome import Outcome
    from snapenv.model.results import LogResult
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services

LOSSES = sample_fingerprint()


def snapshot(version: str, parent: Snapshot | None = None, **losses: tuple[str, ...]) -> Snapshot:
    """Return a snapshot of an environment of one numpy, made of another one."""
    environment = sample_environment(distributions=[sample_distribution("numpy", version)])
    lock = sample_lock(
        facts=sample_facts(environment=environment), baseline=replace(LOSSES, **losses)
    )
    return sample_snapshot(replace(lock, parent=parent.digest if parent else None))


FIRST = snapshot("1.0")
SECOND = snapshot("2.0", FIRST)
THIRD = snapshot("3.0", SECOND, losses=("0x1.0p+1", *LOSSES.losses[1:]))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(text: str, outside: Services, repository: str = "snapenv") -> Outcome[LogResult]:
    return log(text, outside, repository=repository)


def digests(outcome: Outcome[LogResult]) -> list[str]:
    return [entry.digest for entry in outcome.result.entries]


def image_of(one: Snapshot, engine: EngineWithBase, name: str) -> Image:
    """Let the engine have an image of a snapshot."""
    image = replace(
        BASE,
        id=one.digest.replace("sha256:", "sha256:1"),
        labels={SNAPSHOT_LABEL: one.digest, TAG_LABEL: one.lock.tag},
    )
    engine.images |= {name: image, image.id: image}
    files = {path: one.text(path) for path in one.files}
    engine.folders[image.id, IMAGE_SNAPSHOT] = files
    return image


def served(one: Snapshot, tag: str) -> RemoteImage:
    labels = {
        SNAPSHOT_LABEL: one.digest,
        TAG_LABEL: one.lock.tag,
        NEEDS_LABEL: make_label(one.lock),
        **({PARENT_LABEL: one.lock.parent} if one.lock.parent else {}),
    }
    found = remote(labels=labels, name=f"{REPOSITORY}:{tag}")
    return replace(found, ref=found.ref.at(one.digest), created="2026-11-01T10:00:00Z")


def test_ancestors_are_found_among_folders_with_what_each_has_changed() -> None:
    write_snapshot(FIRST, Path("first"))
    write_snapshot(SECOND, Path("snapshots", TAG))
    write_snapshot(THIRD, Path("elsewhere", "third"))

    done = shown("elsewhere/third", services())

    third, second, first = done.result.entries
    assert (third.place, second.place, first.place) == (
        "elsewhere/third",
        f"snapshots/{TAG}",
        "first",
    )
    assert third.changes == ("numpy 2.0 → 3.0",)
    assert third.losses == wording("losses different from step 1, by at most 4.2e-01")
    assert (second.losses, second.parent) == ("losses identical", FIRST.digest)
    assert (first.changes, first.parent) == (None, None)
    assert done.lines[-1] == "  captured"


def test_an_image_that_lost_its_tag_is_found_and_named_by_its_digest() -> None:
    engine = EngineWithBase()
    image_of(SECOND, engine, f"snapenv:{TAG}")
    before = image_of(FIRST, engine, f"snapenv:{kept_tag('sha256:1')}")

    done = shown(TAG, services(engine))

    assert digests(done) == [SECOND.digest, FIRST.digest]
    assert done.result.entries[1].place == f"snapenv:{TAG}@{before.id}"


def test_a_registry_is_asked_for_what_is_not_here_and_its_labels_tell_the_rest() -> None:
    write_snapshot(THIRD, Path("third"))
    registry = FakeRegistry(
        images={
            f"{REPOSITORY}:{TAG}": served(SECOND, TAG),
            f"{REPOSITORY}:replaced-1": served(FIRST, "replaced-1"),
            f"{REPOSITORY}:sha256-{'5' * 64}": remote(labels={}),
            f"{REPOSITORY}:another": remote(labels={}),
        }
    )

    done = shown("third", services(registry=registry), REPOSITORY)

    assert digests(done) == [THIRD.digest, SECOND.digest, FIRST.digest]
    assert done.result.entries[2].place == f"{REPOSITORY}:{TAG}@{FIRST.digest}"
    assert done.result.entries[2].captured_at == "2026-11-01T10:00:00Z"
    assert done.result.entries[1].losses is None
    assert {*registry.asked} == {
        REPOSITORY,
        f"{REPOSITORY}:replaced-1",
        f"{REPOSITORY}:{TAG}",
    }


def test_an_image_of_a_registry_is_no_reason_to_pull_it() -> None:
    name = f"{REPOSITORY}:{TAG}"
    registry = FakeRegistry(images={name: served(SECOND, TAG)})

    done = shown(name, services(registry=registry))

    assert digests(done) == [SECOND.digest, FIRST.digest]
    assert done.result.entries[1] == LogEntry(digest=FIRST.digest, parent=None, place=None)
    assert done.result.searched == ("snapshot folders", "local images", REPOSITORY)


def test_a_parent_that_is_nowhere_is_named_with_where_it_was_looked_for() -> None:
    write_snapshot(SECOND, Path("second"))

    done = shown("second", services(NoEngine()))

    assert done.result.entries[-1] == LogEntry(digest=FIRST.digest, parent=None, place=None)
    assert done.lines[-1] == wording("  not in snapshot folders")
    assert done.warnings == wording(
        ("no Docker engine answers at x: local images were not searched",)
    )


def test_labels_that_name_each_other_are_listed_once() -> None:
    labels = {SNAPSHOT_LABEL: "sha256:1", PARENT_LABEL: "sha256:2", TAG_LABEL: TAG}
    others = {SNAPSHOT_LABEL: "sha256:2", PARENT_LABEL: "sha256:1", TAG_LABEL: TAG}
    images = {
        f"{REPOSITORY}:{TAG}": remote(labels=labels),
        f"{REPOSITORY}:replaced-2": remote(labels=others, name=f"{REPOSITORY}:replaced-2"),
    }

    done = shown(f"{REPOSITORY}:{TAG}", services(registry=FakeRegistry(images=images)))

    assert digests(done) == ["sha256:1", "sha256:2"]


def test_a_label_cannot_steer_the_terminal() -> None:
    labels = {SNAPSHOT_LABEL: "sha256:1", PARENT_LABEL: "\x1b[2J\n", TAG_LABEL: "\x1b[2J"}
    registry = FakeRegistry(images={f"{REPOSITORY}:{TAG}": remote(labels=labels)})

    done = shown(f"{REPOSITORY}:{TAG}", services(registry=registry))

    assert len(done.lines) == 5
    assert all(line.isprintable() for line in done.lines)


def test_what_no_parent_is_named_of_was_captured(folder: Path) -> None:
    write_snapshot(FIRST, folder / "first")

    done = shown("first", services(NoEngine()))

    assert digests(done) == [FIRST.digest]
    assert done.warnings == ()
    assert read_snapshot(folder / "first").lock.parent is None


def test_a_registry_that_does_not_answer_is_a_warning() -> None:
    write_snapshot(SECOND, Path("second"))

    done = shown("second", services(registry=FakeRegistry(answers=())), "silent.example.com/env")

    assert digests(done) == [SECOND.digest, FIRST.digest]
    assert "silent.example.com" in done.warnings[0]


def test_an_image_that_is_not_ours_has_no_line() -> None:
    name = f"{REPOSITORY}:{TAG}"
    registry = FakeRegistry(images={name: remote(labels={})})

    with pytest.raises(NotFoundError, match="holds no snapshot"):
        shown(name, services(registry=registry))
