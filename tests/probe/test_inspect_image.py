"""When what was seen of an image is given again, and when its files are read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.lock.store import write_snapshot
from snapenv.model.image import Image
from snapenv.probe.inspect_image import inspect_image
from snapenv.workflows.build import Build, build
from snapenv.workflows.restore import Restore, restore
from tests.samples import (
    TAG,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_hardware,
    sample_snapshot,
)
from tests.workflows.services import REGISTRY, REPOSITORY, EngineWithBase, services, target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.ports import Services
    from tests.fakes import FakeTarget

IMAGE = Image(
    id="sha256:one",
    diff_ids=("sha256:0", "sha256:1"),
    labels={},
    variables={},
    machine="amd64",
    size_bytes=9,
)
OTHER = sample_environment(distributions=[sample_distribution("numpy", "1.0")])
READ, ASKED = ["environment"], ["host"]


@pytest.fixture
def there(tmp_path: Path) -> Services:
    """An outside that keeps what it knows."""
    return replace(services(), cache=tmp_path / "cache")


def programs(fake: FakeTarget) -> list[str]:
    """Return what the probe looked at on a target."""
    return ["host" if "--host" in call.argv else "environment" for call in fake.calls]


def kept(there: Services) -> Path:
    folder = there.made().folder
    assert folder
    (file,) = folder.iterdir()
    return file


def test_what_was_seen_of_an_image_is_given_again_without_reading_a_file(there: Services) -> None:
    first, second = target(sample_facts()), target(sample_facts(environment=OTHER))

    seen = inspect_image(IMAGE, first, there)
    again = inspect_image(IMAGE, second, there)

    assert (programs(first), programs(second)) == (READ, ASKED)
    assert (seen.again, again.again) == (False, True)
    assert (again.facts, again.day) == (seen.facts, seen.day)


def test_the_hardware_is_that_of_now(there: Services) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)
    without = sample_hardware(driver=None)

    again = inspect_image(IMAGE, target(sample_facts(hardware=without)), there)

    assert again.facts == sample_facts(hardware=without)


def test_every_file_is_read_again_on_demand_and_that_is_kept(there: Services) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)
    changed = target(sample_facts(environment=OTHER))

    anew = inspect_image(IMAGE, changed, there, rehash=True)
    again = inspect_image(IMAGE, target(sample_facts()), there)

    assert programs(changed) == READ
    assert anew.facts.environment == again.facts.environment == OTHER


@pytest.mark.parametrize(
    "other",
    [replace(IMAGE, id="sha256:two"), replace(IMAGE, diff_ids=("sha256:0", "sha256:2"))],
    ids=["id", "layers"],
)
def test_another_image_is_read(there: Services, other: Image) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)
    inside = target(sample_facts())

    inspect_image(other, inside, there)

    assert programs(inside) == READ


def test_another_interpreter_of_the_image_is_read(there: Services) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)
    inside = dataclasses.replace(target(sample_facts()), python="/usr/bin/python3")

    inspect_image(IMAGE, inside, there)

    assert programs(inside) == READ


def test_what_is_kept_hangs_on_the_very_program(
    there: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)
    inside = target(sample_facts())
    monkeypatch.setattr("snapenv.probe.inspect_image.program_digest", lambda: "another")

    inspect_image(IMAGE, inside, there)

    assert programs(inside) == READ


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: content.replace(b"numpy", b"nympy")],
    ids=["cut", "changed"],
)
def test_what_is_damaged_is_passed_over_and_replaced(
    there: Services, damage: Callable[[bytes], bytes]
) -> None:
    seen = inspect_image(IMAGE, target(sample_facts()), there)
    file, inside = kept(there), target(sample_facts())
    content = file.read_bytes()
    assert b"numpy" in content
    file.write_bytes(damage(content))

    anew = inspect_image(IMAGE, inside, there)

    assert programs(inside) == READ
    assert anew.facts == seen.facts
    assert file.read_bytes() == content


@pytest.mark.parametrize("body", [b"", b"{}", b'{"facts": 1, "day": 2}', b"\xff\n\xff"])
def test_what_is_of_another_form_is_passed_over(there: Services, body: bytes) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)
    there.made().keep(kept(there).name, body)
    inside = target(sample_facts())

    inspect_image(IMAGE, inside, there)

    assert programs(inside) == READ


def test_a_folder_in_its_place_is_in_nobodys_way(there: Services) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)
    file = kept(there)
    file.unlink()
    file.mkdir()

    assert not inspect_image(IMAGE, target(sample_facts()), there).again


def test_a_cache_that_cannot_be_written_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    there = replace(services(), cache=tmp_path / "cache")

    looks = [inspect_image(IMAGE, target(sample_facts()), there) for _ in range(2)]

    assert [one.again for one in looks] == [False, False]


def test_only_the_user_may_read_what_is_kept(there: Services) -> None:
    inspect_image(IMAGE, target(sample_facts()), there)

    assert kept(there).parent.stat().st_mode & 0o777 == 0o700
    assert kept(there).stat().st_mode & 0o777 == 0o600


def test_without_a_cache_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = target(sample_facts())

    looks = [inspect_image(IMAGE, inside, services()) for _ in range(2)]

    assert [one.again for one in looks] == [False, False]
    assert programs(inside) == READ * 2
    assert list(tmp_path.iterdir()) == []


def built(there: Services, folder: Path) -> None:
    write_snapshot(sample_snapshot(), folder)
    build(folder, Build(repository=REPOSITORY, mirror=REGISTRY), there)


def test_what_a_build_has_seen_is_what_the_first_restore_uses(tmp_path: Path) -> None:
    engine = EngineWithBase(inside=target(sample_facts()))
    there = replace(services(engine), cache=tmp_path / "cache")
    built(there, tmp_path / "snapshot")
    engine.inside.calls.clear()

    outcome = restore(Restore(ref=TAG, repository=REPOSITORY, device="cpu"), there)

    assert outcome.ok
    assert programs(engine.inside) == ASKED
    assert any("--rehash reads them again" in line for line in outcome.lines)


def test_a_restore_reads_every_file_on_demand(tmp_path: Path) -> None:
    engine = EngineWithBase(inside=target(sample_facts()))
    there = replace(services(engine), cache=tmp_path / "cache")
    built(there, tmp_path / "snapshot")
    engine.inside.calls.clear()

    outcome = restore(Restore(ref=TAG, repository=REPOSITORY, device="cpu", rehash=True), there)

    assert programs(engine.inside) == READ
    assert not any("--rehash" in line for line in outcome.lines)


def test_a_build_reads_every_file_whatever_is_kept(tmp_path: Path) -> None:
    engine = EngineWithBase(inside=target(sample_facts()))
    there = replace(services(engine), cache=tmp_path / "cache")
    built(there, tmp_path / "snapshot")
    engine.inside.calls.clear()

    build(tmp_path / "snapshot", Build(repository=REPOSITORY, mirror=REGISTRY), there)

    assert programs(engine.inside) == READ
