from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import (
    ArchiveError,
    BaseError,
    EngineError,
    NotFoundError,
    PlaceTakenError,
    SnapshotDamagedError,
    TagTakenError,
)
from snapenv.model.image import BuildContext, Image, ImageRef
from snapenv.model.results import ArchiveResult
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL
from snapenv.workflows.doctor import Doctor, doctor
from snapenv.workflows.export import Export, export
from snapenv.workflows.import_ import Import, import_archive
from snapenv.workflows.restore import Restore, restore
from snapenv.workflows.show import show
from tests.fakes import FakeEngine, FakeTask, SilentProgress
from tests.samples import TAG, sample_facts, sample_snapshot
from tests.steady import steady
from tests.workflows.services import services as usual
from tests.workflows.services import target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from snapenv.ports import Services, Target, Task
    from snapenv.steps.proof import EngineName

REGISTRY = "localhost:5000"
REPOSITORY = f"{REGISTRY}/team/env"
BASE = ImageRef(repository=f"{REGISTRY}/nvidia/pytorch", tag="25.10-py3")
SNAPSHOT = sample_snapshot()


def services(engine: FakeEngine) -> Services:
    return replace(usual(), engine=engine)


def build(engine: FakeEngine, lines: str, **labels: str) -> Image:
    files = {"of.base": lines.encode(), "x": random.Random(1).randbytes(99_000), **SNAPSHOT.files}
    context = BuildContext(files=files, labels=labels, dockerfile="of.base")
    return engine.build(context, FakeTask())


def build_image(engine: FakeEngine, base: ImageRef, *, digest: str = SNAPSHOT.digest) -> Image:
    name = "org.opencontainers.image.base.name"
    return build(
        engine,
        f"FROM {base}\nCOPY {' '.join(SNAPSHOT.files)} {IMAGE_SNAPSHOT}/",
        **{
            SNAPSHOT_LABEL: digest,
            name: base.tagged,
            name.replace("name", "digest"): str(base.digest),
        },
    )


def push_base(engine: FakeEngine) -> ImageRef:
    engine.tag(build(engine, "FROM scratch\nCOPY x /"), BASE)
    return engine.push(BASE, FakeTask())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a venv without --into be made in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that has a base in its registry, and an image on it under its tag."""
    engine = FakeEngine()
    engine.tag(build_image(engine, push_base(engine)), ImageRef(repository=REPOSITORY, tag=TAG))
    return engine


@pytest.fixture
def other(engine: FakeEngine) -> Pulling:
    """Another machine's engine, with the same registry."""
    return Pulling(served=dict(engine.served), remote=dict(engine.layers))


class Pulling(FakeEngine):
    """Knows the layers of what it pulls; every image holds the sample's environment."""

    def __init__(self, *, served: dict[str, Image], remote: dict[str, bytes]) -> None:
        super().__init__(served=served)
        self.remote, self.pulled = remote, list[str]()

    def pull(self, ref: ImageRef, task: Task) -> Image:
        image = super().pull(ref, task)
        self.layers |= {one: self.remote[one] for one in image.diff_ids}
        self.pulled.append(str(ref))
        return image

    def image_target(self, image: Image, *, python: str, gpus: str | None) -> Target:
        del image, python, gpus
        return target(sample_facts())


class Silent(FakeEngine):
    """Fails a test that asks it for an image."""

    def check(self) -> str:
        raise AssertionError

    def find(self, ref: str) -> Image | None:
        raise AssertionError(ref)


def by_tag(path: Path, **options: object) -> Export:
    return replace(Export(ref=TAG, output=path, repository=REPOSITORY), **options)


def file(path: Path, **options: object) -> Import:
    return replace(Import(file=path, repository="here"), **options)


def test_an_image_comes_back_on_another_machine(
    engine: FakeEngine, other: FakeEngine, tmp_path: Path
) -> None:
    exported = export(by_tag(tmp_path / "a"), services(engine))
    imported = import_archive(file(tmp_path / "a"), services(other))

    there, here = engine.images[f"{REPOSITORY}:{TAG}"], other.images[f"here:{TAG}"]
    assert (here.diff_ids, here.labels) == (there.diff_ids, there.labels)
    assert other.read_folder(here, IMAGE_SNAPSHOT) == dict(SNAPSHOT.files)
    assert exported.result == ArchiveResult(
        path=str(tmp_path / "a"),
        image=f"{REPOSITORY}:{TAG}",
        digest=there.id,
        config=imported.result.config,
        snapshot=SNAPSHOT.digest,
        delta=False,
        size_bytes=(tmp_path / "a").stat().st_size,
    )
    assert imported.result.image == f"here:{TAG}"
    assert imported.result.snapshot == SNAPSHOT.digest


def test_an_image_that_only_the_registry_has_is_pulled(engine: FakeEngine, tmp_path: Path) -> None:
    ref = ImageRef(repository=REPOSITORY, tag=TAG)
    engine.push(ref, FakeTask())
    engine.remove(ref.tagged)

    export(by_tag(tmp_path / "a"), services(engine))

    assert (tmp_path / "a").exists()


def test_a_delta_is_small_and_takes_the_base_from_the_registry(
    engine: FakeEngine, other: Pulling, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "whole"), services(engine))
    export(by_tag(tmp_path / "delta", delta=True), services(engine))

    done = import_archive(file(tmp_path / "delta"), services(other))

    assert done.result.delta is True
    assert f"here:{TAG}" in other.images
    assert [name.partition("@")[0] for name in other.pulled] == [BASE.tagged]
    delta, whole = ((tmp_path / name).stat().st_size for name in ("delta", "whole"))
    assert delta < whole - 90_000


def test_a_delta_takes_the_base_from_the_engine_where_it_has_it(
    engine: FakeEngine, other: Pulling, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a", delta=True), services(engine))
    other.pull(engine.resolve(BASE, FakeTask()), FakeTask())
    other.pulled.clear()

    import_archive(file(tmp_path / "a"), services(other))

    assert other.pulled == []


class Complete(Pulling):
    """Takes only tars that hold every layer, as an engine with containerd's store does."""

    def load(self, tar: Iterable[bytes]) -> Image:
        content = b"".join(tar)
        layers, self.layers = self.layers, {}
        try:
            return super().load([content])
        finally:
            self.layers = {**layers, **self.layers}


def test_an_engine_that_wants_every_layer_gets_the_base_too(
    engine: FakeEngine, other: Pulling, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a", delta=True), services(engine))
    complete = Complete(served=other.served, remote=other.remote)

    done = import_archive(file(tmp_path / "a"), services(complete))

    assert done.result.image == f"here:{TAG}"


def test_a_mirror_gives_the_base_too(engine: FakeEngine, other: Pulling, tmp_path: Path) -> None:
    export(by_tag(tmp_path / "a", delta=True), services(engine))
    other.registry = "example.com"
    other.served = {
        name.replace(REGISTRY, "example.com/mirror"): image for name, image in other.served.items()
    }

    import_archive(file(tmp_path / "a", mirror="example.com/mirror"), services(other))

    assert other.pulled[0].startswith("example.com/mirror/nvidia/pytorch:25.10-py3@sha256:")


def test_a_base_whose_tag_was_moved_here_is_pulled_by_its_digest(
    engine: FakeEngine, other: Pulling, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a", delta=True), services(engine))
    other.tag(build(other, "FROM scratch\nCOPY Dockerfile /"), BASE)

    import_archive(file(tmp_path / "a"), services(other))

    assert len(other.pulled) == 1
    assert f"here:{TAG}" in other.images


def test_a_base_that_has_other_layers_is_refused(
    engine: FakeEngine, other: Pulling, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a", delta=True), services(engine))
    wrong = build(other, "FROM scratch\nCOPY Dockerfile /")
    other.tag(wrong, BASE)
    other.served = dict.fromkeys(other.served, wrong)
    other.remote = other.layers

    with pytest.raises(BaseError, match="which has others$"):
        import_archive(file(tmp_path / "a"), services(other))

    assert f"here:{TAG}" not in other.images


def test_a_delta_of_a_base_that_is_gone_is_refused(engine: FakeEngine, tmp_path: Path) -> None:
    for name in [name for name in engine.images if "nvidia/pytorch" in name]:
        del engine.images[name]

    with pytest.raises(BaseError) as caught:
        export(by_tag(tmp_path / "a", delta=True), services(engine))

    assert steady(caught.value) == wording(
        "the base image of localhost:5000/team/env:train-yolov8.4.190-base-cu130 is not here: localhost:5000/nvidia/pytorch:25.10-py3@sha256:DIGEST"
    )
    assert not list(tmp_path.iterdir())


def test_an_image_without_a_snapshot_is_not_exported(engine: FakeEngine, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no snapshot"):
        export(by_tag(tmp_path / "a", ref=BASE.tagged), services(engine))

    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_refused_before_the_engine_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(PlaceTakenError):
        export(by_tag(tmp_path / "a"), replace(usual(), engine=None))


def test_a_tag_is_not_moved_without_being_asked(
    engine: FakeEngine, other: Pulling, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a"), services(engine))
    old = build(other, "FROM scratch\nCOPY Dockerfile /")
    other.tag(old, ImageRef(repository="here", tag=TAG))

    with pytest.raises(TagTakenError, match=f"here:{TAG} is {old.id} already"):
        import_archive(file(tmp_path / "a"), services(other))
    assert other.images == {old.id: old, f"here:{TAG}": old}
    import_archive(file(tmp_path / "a", replace=True), services(other))

    assert other.images[f"here:{TAG}"].labels[SNAPSHOT_LABEL] == SNAPSHOT.digest


def test_a_second_import_does_no_harm(engine: FakeEngine, other: Pulling, tmp_path: Path) -> None:
    export(by_tag(tmp_path / "a"), services(engine))

    first = import_archive(file(tmp_path / "a"), services(other))
    second = import_archive(file(tmp_path / "a"), services(other))

    assert first == second


class Changing(Pulling):
    """Makes something else of what it is given."""

    def load(self, tar: Iterable[bytes]) -> Image:
        image = replace(super().load(tar), labels={})
        self.images[image.id] = image
        return image


def test_an_image_that_is_not_the_archives_gets_no_name(
    engine: FakeEngine, other: Pulling, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a"), services(engine))
    changing = Changing(served=other.served, remote=other.remote)

    with pytest.raises(ArchiveError) as caught:
        import_archive(file(tmp_path / "a"), services(changing))

    assert steady(caught.value) == wording(
        "TMP/a is not what snapenv export writes: the engine made sha256:DIGEST of it"
    )
    assert changing.images == {}


def test_a_snapshot_that_the_image_does_not_name_is_not_exported(
    engine: FakeEngine, tmp_path: Path
) -> None:
    image = engine.images[f"{REPOSITORY}:{TAG}"]
    engine.images[f"{REPOSITORY}:{TAG}"] = replace(image, labels={SNAPSHOT_LABEL: "sha256:x"})

    with pytest.raises(SnapshotDamagedError) as caught:
        export(by_tag(tmp_path / "a"), services(engine))

    assert steady(caught.value) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 says it holds snapshot sha256:x, and holds sha256:DIGEST"
    )
    assert not list(tmp_path.iterdir())


def test_an_engine_that_fails_while_it_saves_leaves_no_file(
    engine: FakeEngine, tmp_path: Path
) -> None:
    engine.layers = dict.fromkeys(engine.layers, b"other")

    with pytest.raises(EngineError) as caught:
        export(by_tag(tmp_path / "a"), services(engine))

    assert steady(caught.value) == wording(
        "the Docker engine gave other bytes for layer sha256:DIGEST than it has"
    )
    assert not list(tmp_path.iterdir())


def test_an_archive_is_restored(engine: FakeEngine, other: Pulling, tmp_path: Path) -> None:
    export(by_tag(tmp_path / "a"), services(engine))
    request = Restore(ref=str(tmp_path / "a"), repository="here", device="cpu", smoke=False)

    done = restore(request, services(other))

    assert done.ok
    assert done.result.image == f"here:{TAG}"
    assert done.result.snapshot == SNAPSHOT.digest


def test_an_archive_is_restored_as_a_venv_without_an_engine(
    engine: FakeEngine, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a"), services(engine))
    request = Restore(ref=str(tmp_path / "a"), repository="here", engine="venv", smoke=False)

    done = restore(request, replace(usual(), engine=None))

    assert done.ok
    assert done.result.snapshot == SNAPSHOT.digest


@pytest.mark.parametrize("engine_name", ["docker", "venv"])
def test_an_archive_that_is_restored_is_checked_once(
    engine: FakeEngine, other: Pulling, tmp_path: Path, engine_name: EngineName
) -> None:
    export(by_tag(tmp_path / "a"), services(engine))
    request = Restore(
        ref=str(tmp_path / "a"), repository="here", engine=engine_name, device="cpu", smoke=False
    )
    progress = SilentProgress()

    restore(request, replace(services(other), progress=progress))

    assert progress.titles.count(f"Checking {tmp_path / 'a'}") == 1


def test_of_an_archive_layers_are_to_be_loaded_and_none_fetched(
    engine: FakeEngine, tmp_path: Path
) -> None:
    export(by_tag(tmp_path / "a"), services(engine))

    outcome = doctor(Doctor(ref=str(tmp_path / "a"), repository="here"), services(engine))

    size_bytes = (tmp_path / "a").stat().st_size
    assert outcome.lines == (f"{size_bytes / 1e3:.1f} kB of layers are to be loaded",)


def test_an_archive_is_shown_without_an_engine(engine: FakeEngine, tmp_path: Path) -> None:
    export(by_tag(tmp_path / "a"), services(engine))

    outcome = show(str(tmp_path / "a"), services(Silent()), repository="here")

    result = outcome.result
    assert (result.kind, result.name) == ("archive", str(tmp_path / "a"))
    assert (result.tag, result.digest) == (TAG, SNAPSHOT.digest)
    assert result.packages == 7
    assert f"tag        {TAG}" in outcome.lines


def test_a_damaged_archive_is_not_shown(engine: FakeEngine, tmp_path: Path) -> None:
    export(by_tag(tmp_path / "a"), services(engine))
    content = bytearray((tmp_path / "a").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a").write_bytes(content)

    with pytest.raises(ArchiveError):
        show(str(tmp_path / "a"), services(Silent()), repository="here")


def test_progress_is_told_by_bytes(engine: FakeEngine, other: Pulling, tmp_path: Path) -> None:
    progress = SilentProgress()
    export(by_tag(tmp_path / "a"), replace(services(engine), progress=progress))
    import_archive(file(tmp_path / "a"), replace(services(other), progress=progress))

    assert progress.titles == [
        f"Exporting {REPOSITORY}:{TAG}",
        f"Checking {tmp_path / 'a'}",
        f"Loading {TAG}",
    ]
    assert all(task.counts for task in progress.tasks)
