from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.lock.find_wheels import Found, find_wheels
from snapenv.lock.prove import installed_digest
from snapenv.ports import Completed
from tests.fakes import FakeTarget, FakeTask
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_files,
    sample_pylock,
    wheel_name,
)
from tests.workflows.services import FakeWheels, services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.python import Distribution
    from snapenv.model.snapshot import Prove

UV = sample_distribution("uv", "0.9.3")
RECORD = "a.py,sha256=LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564,3\n"


def pin(name: str) -> Distribution:
    """Return a pin whose files are those of ``RECORD``."""
    sha256 = installed_digest(RECORD, name=name, python="3.11")
    return sample_distribution(name, files=replace(sample_files(), sha256=str(sha256)))


NUMPY, BUILT_HERE = pin("numpy"), sample_distribution("other")
RECORDS = {wheel_name(NUMPY): RECORD, wheel_name(BUILT_HERE): RECORD}


def machine(*offered: Distribution) -> FakeTarget:
    """Return a machine on which uv 0.9.3 knows these; a pin and uv itself are asked together."""
    return FakeTarget(
        answers={
            "uv": Completed(exit_code=0, stdout="uv 0.9.3\n", stderr=""),
            "requirements.in": Completed(exit_code=0, stdout=sample_pylock(offered), stderr=""),
        }
    )


def find(
    here: FakeTarget,
    wheels: FakeWheels,
    cache: Path | None,
    *,
    how: Prove = "record",
    anew: bool = False,
) -> Found:
    environment = sample_environment(torch=None, distributions=(NUMPY, BUILT_HERE))
    around = replace(services(here=here, wheels=wheels), cache=cache)
    facts = sample_facts(environment=environment)
    return find_wheels(facts, around, how=how, anew=anew, task=FakeTask())


def questions(here: FakeTarget) -> int:
    return sum("requirements.in" in call.files for call in here.calls)


def test_a_wheel_whose_record_lists_the_installed_files_is_proved_and_any_other_is_absent() -> None:
    found = find(machine(NUMPY, BUILT_HERE, UV), FakeWheels(RECORDS), None)

    pins = {name: (pin.wheel.filename, pin.proof) for name, pin in found.pinned.items()}
    assert pins == {"numpy": (wheel_name(NUMPY), "record")}
    assert found.absent == {"other"}
    assert found.uv.filename == wheel_name(UV)


def test_what_the_index_has_said_today_is_not_asked_again(tmp_path: Path) -> None:
    here, wheels = machine(NUMPY, BUILT_HERE, UV), FakeWheels(RECORDS)
    first = find(here, wheels, tmp_path)
    asked = questions(here), len(wheels.asked)

    assert find(here, wheels, tmp_path) == first
    assert (questions(here), len(wheels.asked)) == asked

    find(here, wheels, tmp_path, anew=True)
    assert questions(here) > asked[0]


def test_after_a_day_the_index_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, wheels, began = machine(NUMPY, BUILT_HERE, UV), FakeWheels(RECORDS), time.time()
    find(here, wheels, tmp_path)
    asked = questions(here)

    monkeypatch.setattr(time, "time", lambda: began + 25 * 60 * 60)
    find(here, wheels, tmp_path)

    assert questions(here) == 2 * asked


def test_without_a_proof_the_tags_decide_and_uv_stays_offline(tmp_path: Path) -> None:
    here, wheels = machine(NUMPY, BUILT_HERE, UV), FakeWheels()

    found = find(here, wheels, tmp_path, how="off")

    proofs = {name: pin.proof for name, pin in found.pinned.items()}
    assert proofs == {"numpy": "none", "other": "none"}
    assert not wheels.asked
    assert all("--offline" in call.argv for call in here.calls if "compile" in call.argv)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["key", "made"]


def test_what_was_proved_before_holds_offline_too(tmp_path: Path) -> None:
    wheels = FakeWheels(RECORDS)
    find(machine(NUMPY, BUILT_HERE, UV), wheels, tmp_path)

    found = find(FakeTarget(), wheels, tmp_path, how="off")

    assert {name: pin.proof for name, pin in found.pinned.items()} == {"numpy": "record"}
    assert found.absent == {"other"}


def test_a_uv_that_the_index_does_not_have_is_named() -> None:
    with pytest.raises(LockError, match=r"the index does not have uv 0\.9\.3"):
        find(machine(NUMPY, BUILT_HERE), FakeWheels(RECORDS), None)
