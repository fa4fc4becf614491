from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import EngineMissingError, NotFoundError, SnapenvError
from snapenv.lock.store import write_snapshot
from snapenv.model.image import Image, ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL, TAG_LABEL
from snapenv.steps.source import (
    Archive,
    LocalImage,
    RegistryImage,
    SnapshotFolder,
    Source,
    resolve_snapshot,
    resolve_source,
)
from tests.samples import TAG, sample_snapshot
from tests.workflows.services import EngineWithBase, services

if TYPE_CHECKING:
    from snapenv.ports import Services

OTHER = "train-py3.11-base-cpu"
OURS = Image(
    id="sha256:1",
    diff_ids=(),
    labels={SNAPSHOT_LABEL: "sha256:2"},
    variables={},
    machine="amd64",
    size_bytes=1,
)


SNAPSHOT = SnapshotFolder(Path("snapshots", TAG))


def local(name: str) -> LocalImage:
    return LocalImage(ImageRef.parse(name), OURS)


class NoEngine(EngineWithBase):
    """Does not answer."""

    def __post_init__(self) -> None: ...

    def find(self, ref: str) -> Image | None:
        raise EngineMissingError(f"nothing answers for {ref}", hint="Start it.")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with a snapshot where a capture puts it."""
    monkeypatch.chdir(tmp_path)
    write_snapshot(sample_snapshot(), tmp_path / "snapshots" / TAG)
    write_snapshot(sample_snapshot(), tmp_path / "mine")
    (tmp_path / "mine.tar.zst").touch()


def holding(*names: str) -> Services:
    engine = EngineWithBase()
    engine.images.update(dict.fromkeys(names, OURS))
    return services(engine)


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        (TAG, (f"snapenv:{TAG}", f"other:{TAG}"), local(f"snapenv:{TAG}")),
        (TAG, (f"team/env:{TAG}",), local(f"team/env:{TAG}")),  # as list shows it
        (f"team/env:{TAG}", (), RegistryImage(ImageRef.parse(f"team/env:{TAG}"))),
        ("other:old", ("other:old",), local("other:old")),
        (TAG, (), SNAPSHOT),
        (TAG, ("a:x", f"a/b:{OTHER}"), SNAPSHOT),
        ("mine", (), SnapshotFolder(Path("mine"))),
        ("mine.tar.zst", (), Archive(Path("mine.tar.zst"))),
    ],
)
def test_a_name_leads_to_the_image_the_tag_or_the_folder(
    text: str, names: tuple[str, ...], found: Source
) -> None:
    assert resolve_source(text, repository="snapenv", services=holding(*names)) == found


@pytest.mark.parametrize(
    ("text", "names", "near"),
    [
        (TAG[:-2], (), TAG),
        ("train-py3.12-base-cpu", (f"x:{OTHER}",), OTHER),
        (OTHER, (f"x:{OTHER}", f"y:{OTHER}"), f"{OTHER} or x:{OTHER}"),
        ("othr:old", ("other:old",), "other:old"),
        ("./min", (), "mine"),
        (f"snapshots/{TAG[2:]}", (), f"snapshots/{TAG}"),
        ("snapshots/x", (), None),
        ("nothing-like-it", ("other:old",), None),
        ("x" * 5000, (), None),
        ("./" + "x" * 5000, (), None),
        ("No Image", (), None),
    ],
)
def test_what_is_nowhere_is_not_found_and_what_is_called_nearly_so_is_named(
    text: str, names: tuple[str, ...], near: str | None
) -> None:
    with pytest.raises(SnapenvError) as caught:
        resolve_source(text, repository="snapenv", services=holding(*names))

    assert isinstance(caught.value, NotFoundError)
    assert ("Did you mean" in caught.value.hint) == (near is not None)
    assert (near or "") in caught.value.hint
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("text", "error"),
    [("nosuch", NotFoundError), ("old:tag", EngineMissingError), (OTHER, EngineMissingError)],
)
def test_only_what_looks_like_an_image_here_needs_an_engine(
    text: str, error: type[SnapenvError]
) -> None:
    with pytest.raises(error):
        resolve_source(text, repository="snapenv", services=replace(services(), engine=NoEngine()))

    around = replace(services(), engine=NoEngine())
    assert resolve_source(TAG, repository="snapenv", services=around) == SNAPSHOT


def test_an_image_that_no_engine_can_tell_of_says_so() -> None:
    around = replace(services(), engine=NoEngine())

    source = resolve_source(f"team/env:{TAG}", repository="snapenv", services=around)

    assert isinstance(source, RegistryImage)
    assert source.engine_error is not None


def test_a_folder_is_found_by_its_path_or_its_name(tmp_path: Path) -> None:
    assert resolve_snapshot(Path("mine")) == SnapshotFolder(Path("mine"))
    assert resolve_snapshot(Path(TAG)) == SNAPSHOT
    with pytest.raises(NotFoundError) as caught:
        resolve_snapshot(tmp_path / "mein")
    assert f"Did you mean {tmp_path}/mine?" in caught.value.hint


HEX = "5" * 64
PINNED = f"{TAG}@sha256:{HEX}"


@pytest.mark.parametrize("what", ["id", "snapshot", "digest"])
@pytest.mark.parametrize("name", [PINNED, f"snapenv:{PINNED}"])
def test_a_digest_names_an_image_that_lost_its_tag(what: str, name: str) -> None:
    digest, kept = f"sha256:{HEX}", "snapenv:replaced-1"
    image = replace(
        OURS,
        id=digest if what == "id" else OURS.id,
        labels={SNAPSHOT_LABEL: digest if what == "snapshot" else "sha256:2", TAG_LABEL: TAG},
    )
    engine = EngineWithBase()
    engine.images |= {f"snapenv:{TAG}": OURS, kept: image}
    engine.images |= {f"snapenv@{digest}": image} if what == "digest" else {}

    found = resolve_source(name, repository="snapenv", services=services(engine))

    assert found == LocalImage(ImageRef.parse(f"snapenv:{PINNED}"), image)


@pytest.mark.parametrize("engine", [EngineWithBase(), NoEngine()])
@pytest.mark.parametrize("repository", ["snapenv", "localhost:5000/team/env"])
def test_a_digest_names_a_snapshot_among_the_folders(
    engine: EngineWithBase, repository: str
) -> None:
    digest = sample_snapshot().digest

    found = resolve_source(f"{TAG}@{digest}", repository=repository, services=services(engine))

    assert found == SNAPSHOT


def test_a_digest_that_is_not_here_may_lie_in_the_registry() -> None:
    found = resolve_source(PINNED, repository="example.com/team/env", services=holding())

    assert found == RegistryImage(ImageRef.parse(f"example.com/team/env:{PINNED}"))


def test_a_kept_tag_is_not_offered_as_a_name() -> None:
    with pytest.raises(NotFoundError) as caught:
        resolve_source(
            "snapenv:replaced", repository="snapenv", services=holding("snapenv:replaced-1")
        )

    assert "replaced-1" not in caught.value.hint
