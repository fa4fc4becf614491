from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.index.configuration import SourceText, Texts, parse_configuration
from snapenv.index.uv_isolation import uv_settings
from snapenv.kept import Kept
from snapenv.lock.ask import Uv
from snapenv.lock.find_wheels import Answer, OnIndex, find_wheels, key, question, read_answers
from snapenv.lock.prove import installed_digest
from snapenv.model.uv import UvSettings
from snapenv.ports import Completed
from tests.fakes import FakeTarget, FakeTask
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_files,
    sample_pylock,
    sample_wheel,
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
) -> OnIndex:
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
    with pytest.raises(LockError) as caught:
        find(machine(NUMPY, BUILT_HERE), FakeWheels(RECORDS), None)

    assert str(caught.value) == wording(
        "the index does not have uv 0.9.3, which is installed beside snapenv"
    )


CANARY = "hunter2-canary"
ANSWERS = {
    "numpy==2.4.6 abc": Answer(wheel=sample_wheel("numpy", "2.4.6"), proved=True, asked_at=1000.0),
    "ours==1 def": Answer(wheel=None, proved=True, asked_at=500.0),
}


def uv(**variables: str) -> Uv:
    return Uv(machine=FakeTarget(), program="uv", settings=UvSettings(variables=variables))


def test_what_was_kept_comes_back_without_what_has_grown_old(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "made")
    kept.keep_value("q", ANSWERS)

    assert read_answers(kept, "q", since=0) == ANSWERS
    assert list(read_answers(kept, "q", since=600)) == ["numpy==2.4.6 abc"]
    assert read_answers(kept, "another", since=0) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": {}}', b"\xff"])
def test_what_is_of_another_form_was_never_kept(tmp_path: Path, body: bytes) -> None:
    kept = Kept(tmp_path / "made")
    kept.keep("q", body)

    assert read_answers(kept, "q", since=0) == {}


def test_without_a_folder_nothing_is_kept() -> None:
    Kept(None).keep_value("q", ANSWERS)

    assert read_answers(Kept(None), "q", since=0) == {}


def test_another_python_or_platform_is_another_question(tmp_path: Path) -> None:
    facts, kept = sample_facts(), Kept(tmp_path / "made")
    older = replace(
        facts.environment, interpreter=replace(facts.environment.interpreter, version="3.10.1")
    )
    arm = replace(facts.hardware, system=replace(facts.hardware.system, machine="aarch64"))

    named = {
        question(facts, uv(), kept),
        question(replace(facts, environment=older), uv(), kept),
        question(replace(facts, hardware=arm), uv(), kept),
    }

    assert len(named) == 3
    assert question(facts, uv(), kept) in named


def test_no_credential_can_be_told_from_a_question(tmp_path: Path) -> None:
    told = uv(UV_DEFAULT_INDEX=f"https://user:{CANARY}@example.com/simple")

    named = [question(sample_facts(), told, Kept(tmp_path / folder)) for folder in ("a", "b")]

    assert named[0] != named[1]
    assert not any(CANARY in name for name in named)


def pip(text: str) -> Texts:
    return Texts(environment={}, pip=(SourceText(source="pip.conf", text=text),))


def uv_toml(text: str) -> Texts:
    return Texts(environment={}, uv=(SourceText(source="uv.toml", text=text),))


INDEX, OTHER = "https://example.com/simple", "https://other.example.com/simple"
CONFIGURATIONS = {
    "nothing": Texts(environment={}),
    **{
        f"{name} {url}": Texts(environment={name: url})
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX")
        for url in (INDEX, OTHER, INDEX.replace("//", "//me:word@"))
    },
    "two indexes": Texts(environment={"PIP_EXTRA_INDEX_URL": f"{INDEX} {OTHER}"}),
    "pip.conf": pip(f"[global]\nindex-url = {INDEX}/a"),
    "pip.conf, another": pip(f"[global]\nindex-url = {OTHER}/a"),
    "pip.conf, a host": pip("[global]\ntrusted-host = example.com"),
    "uv.toml": uv_toml(f'[[index]]\nurl = "{INDEX}"'),
    "uv.toml, another": uv_toml(f'[[index]]\nurl = "{OTHER}"'),
    "uv.toml, old": uv_toml(f'index-url = "{INDEX}"'),
    "uv.toml, pip": uv_toml(f'[pip]\nindex-url = "{INDEX}"'),
}


def test_every_change_of_the_configured_indexes_is_another_question(tmp_path: Path) -> None:
    kept, facts = Kept(tmp_path / "made"), sample_facts()

    def named(texts: Texts) -> str:
        found = parse_configuration(texts)
        settings = uv_settings(found, found.variables(keyring=False), call="ask")
        return question(facts, Uv(machine=FakeTarget(), program="uv", settings=settings), kept)

    names = {named(texts): name for name, texts in CONFIGURATIONS.items()}

    assert sorted(names.values()) == sorted(CONFIGURATIONS)
    assert [names[named(texts)] for texts in CONFIGURATIONS.values()] == [*CONFIGURATIONS]


def test_other_bytes_of_one_version_are_another_pin() -> None:
    one, other = sample_distribution(), sample_distribution(files=sample_files("other"))
    edited = sample_distribution(files=replace(sample_files("edited"), recorded=one.files.sha256))  # type: ignore[union-attr]

    assert key(one) != key(other)
    assert key(one) == key(edited)
