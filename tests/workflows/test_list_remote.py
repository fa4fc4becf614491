"""What a registry holds, and whether this machine runs it: told from labels and facts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError, RegistryError
from snapenv.lock.store import write_snapshot
from snapenv.model.hardware import Driver
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import ImageRef, Layer, RemoteImage
from snapenv.model.needs_label import make_label
from snapenv.model.results import LastVerdict
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.steps.verdicts import keep_verdict, last_verdict
from snapenv.workflows.list import Listing, list_images
from snapenv.workflows.push import Push, push
from tests.samples import TAG, sample_base_lock, sample_facts, sample_hardware, sample_snapshot
from tests.workflows.services import (
    BASE,
    LOCK,
    REPOSITORY,
    EngineWithBase,
    FakeRegistry,
    NoEngine,
    services,
    target,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.results import ListedImage, ListResult
    from snapenv.ports import Services

OURS = {SNAPSHOT_LABEL: "sha256:abc", NEEDS_LABEL: make_label(LOCK)}
OLD_DRIVER = Driver(version="525.60.13", cuda=(12, 0))
NEWER = "train-yolov8.4.191-base-cu130"
SIZES = (1_000, 200, 30)


class Empty(EngineWithBase):
    """An engine that has no image of snapenv but those that a test gives it."""

    def list_names(self, *, label: str) -> tuple[tuple[str, str], ...]:
        return tuple(one for one in super().list_names(label=label) if "@" not in one[0])


def image(
    tag: str = TAG, *, created: str = "2026-03-01T12:00:00Z", **changed: object
) -> RemoteImage:
    digest = f"sha256:{tag[-1] * 64}"
    made = RemoteImage(
        ref=ImageRef(repository=REPOSITORY, tag=tag, digest=digest),
        config_digest="sha256:c",
        layers=tuple(Layer(digest=f"packed-{one}", size_bytes=one) for one in SIZES),
        diff_ids=("sha256:0", "sha256:1", "sha256:2"),
        labels=OURS,
        variables={},
        machine="amd64",
        created=created,
    )
    return replace(made, **changed)


def registry(*images: RemoteImage) -> FakeRegistry:
    return FakeRegistry(images={one.ref.tagged: one for one in images})


def here(
    served: FakeRegistry,
    engine: EngineWithBase | None = None,
    *,
    driver: Driver | None = None,
    state: Path | None = None,
) -> Services:
    facts = sample_facts(hardware=sample_hardware(driver=driver) if driver else None)
    made = services(engine or Empty(), registry=served, here=target(facts))
    return replace(made, state=state)


def listed(ask: Services, device: str = "auto") -> ListResult:
    return list_images(Listing(repository=REPOSITORY, remote=True, device=device), ask).result


def row(ask: Services, device: str = "auto") -> ListedImage:
    (only,) = listed(ask, device).images
    return only


def test_an_image_that_runs_here_says_all_that_a_person_asks_first() -> None:
    found = row(here(registry(image())))

    assert (found.kind, found.digest, found.created) == (
        "image",
        f"sha256:{'0' * 64}",
        "2026-03-01T12:00:00Z",
    )
    assert (found.gpus, found.verified) == (("NVIDIA H200",), None)
    assert (found.size_bytes, found.pull_bytes) == (1_230, 1_230)
    assert (found.runs, found.reason) == ("yes", None)


def test_a_driver_that_is_too_old_is_the_reason() -> None:
    found = row(here(registry(image()), driver=OLD_DRIVER))

    assert found.runs == "no"
    assert str(found.reason).startswith("driver.cuda: ")


def test_a_device_that_is_asked_for_counts() -> None:
    assert row(here(registry(image()), driver=OLD_DRIVER), "cpu").runs == "yes"


def test_an_image_without_our_label_is_unknown() -> None:
    found = row(here(registry(image(labels={SNAPSHOT_LABEL: "sha256:abc"}))))

    assert (found.runs, found.reason) == wording(("unknown", "its labels do not say what it needs"))


def test_layers_that_are_here_are_not_to_be_pulled() -> None:
    engine = Empty()
    two_of_three = ("sha256:0", "sha256:1", "sha256:9")
    engine.images[f"{REPOSITORY}:{NEWER}"] = replace(BASE, diff_ids=two_of_three, labels=OURS)

    found = {one.tag: one for one in listed(here(registry(image()), engine)).images}

    assert found[TAG].pull_bytes == SIZES[2]
    assert (found[NEWER].local, found[NEWER].remote, found[NEWER].runs) == (True, False, None)


def test_the_last_verdict_of_this_machine_is_told(tmp_path: Path) -> None:
    verdict = LastVerdict(ok=True, tier="identical", at="2026-03-02T00:00:00+00:00")
    keep_verdict(tmp_path, "sha256:abc", verdict)

    outcome = list_images(
        Listing(repository=REPOSITORY, remote=True), here(registry(image()), state=tmp_path)
    )

    assert outcome.result.images[0].verified == verdict
    assert outcome.lines[2:] == (
        wording("    runs: yes      image of NVIDIA H200  000000000000"),
        wording("    identical 2026-03-02, 1.2 kB to pull"),
    )


@pytest.mark.parametrize("content", [b"", b"{", b'{"ok": 1}', b"\xff"])
def test_a_verdict_that_cannot_be_read_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "abc.json").write_bytes(content)

    assert last_verdict(tmp_path, "sha256:abc") is None
    assert last_verdict(tmp_path, "../abc") is None
    assert last_verdict(None, "sha256:abc") is None


def pushed(tmp_path: Path, served: FakeRegistry, *, inherited: bool = False) -> None:
    lock = sample_base_lock() if inherited else LOCK
    write_snapshot(sample_snapshot(lock), tmp_path / "mine")
    push(
        Push(ref=str(tmp_path / "mine"), repository=REPOSITORY),
        services(NoEngine(), registry=served),
    )


def test_without_docker_a_snapshot_runs_and_an_image_does_not(tmp_path: Path) -> None:
    served = registry(image(NEWER, created="2026-04-01T12:00:00Z"))
    pushed(tmp_path, served)
    served.images |= {f"{REPOSITORY}:{TAG}": image()}  # only its name: the snapshot is there

    found = {one.tag: one for one in listed(here(served, NoEngine())).images}

    assert (found[TAG].kind, found[TAG].runs) == ("snapshot", "yes")
    assert found[TAG].pull_bytes == found[TAG].size_bytes
    assert (found[NEWER].runs, str(found[NEWER].reason).partition(":")[0]) == ("no", "engine")


def test_a_snapshot_that_needs_the_base_image_needs_docker(tmp_path: Path) -> None:
    served = registry()
    pushed(tmp_path, served, inherited=True)
    (name,) = served.snapshots
    served.images[name] = image()

    assert row(here(served, NoEngine())).runs == "no"
    assert row(here(served)).runs == "yes"


def test_the_newest_that_runs_here_is_printed_alone() -> None:
    served = registry(
        image("train-py3.9-base-cpu", created="2026-01-01T00:00:00Z"),
        image(TAG, created="2026-03-01T00:00:00Z"),
        image(NEWER, created="2026-04-01T00:00:00Z", labels={}),
    )

    outcome = list_images(Listing(repository=REPOSITORY, fits=True), here(served))

    assert outcome.lines == (f"{REPOSITORY}:{TAG}@sha256:{'0' * 64}",)
    assert outcome.result.fits == outcome.lines[0]
    assert [one.tag for one in outcome.result.images] == [TAG]


def test_where_nothing_runs_the_newest_says_why() -> None:
    with pytest.raises(NotFoundError) as caught:
        list_images(
            Listing(repository=REPOSITORY, fits=True), here(registry(image()), driver=OLD_DRIVER)
        )

    assert f"{TAG}: driver.cuda" in caught.value.hint


def test_what_keeps_a_replaced_name_is_not_listed() -> None:
    names = (TAG, f"replaced-{'1' * 64}", f"sha256-{'2' * 64}")
    served = registry(*(image(name) for name in names))

    assert [one.tag for one in listed(here(served)).images] == [TAG]


class Poor(FakeRegistry):
    """Serves some tags in no form that is known."""

    bad: tuple[str, ...] = ()

    def find_snapshot(self, ref: ImageRef) -> None:
        if str(ref.tag) in self.bad:
            raise RegistryError(f"it serves a damaged manifest: {ref}", hint="Push it again.")


def test_one_tag_that_cannot_be_read_does_not_hide_the_others() -> None:
    served = Poor(images={one.ref.tagged: one for one in (image(), image(NEWER))})
    served.bad = (NEWER,)

    found = {one.tag: one.runs for one in listed(here(served)).images}

    assert found == {TAG: "yes", NEWER: "unknown"}
    served.bad = (NEWER, TAG)
    with pytest.raises(RegistryError):
        listed(here(served))
