from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.index.configuration import SourceText, Texts, parse_configuration
from snapenv.index.uv_isolation import uv_settings
from snapenv.kept import Kept
from snapenv.lock.answers import Answer, keep_answers, key, question, read_answers
from snapenv.lock.ask import Uv
from snapenv.model.uv import UvSettings
from tests.fakes import FakeTarget
from tests.samples import sample_distribution, sample_facts, sample_files, sample_wheel

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "hunter2-canary"
ANSWERS = {
    "numpy==2.4.6 abc": Answer(wheel=sample_wheel("numpy", "2.4.6"), proved=True, asked_at=1000.0),
    "ours==1 def": Answer(wheel=None, proved=True, asked_at=500.0),
}


def uv(**variables: str) -> Uv:
    return Uv(machine=FakeTarget(), program="uv", settings=UvSettings(variables=variables))


def test_what_was_kept_comes_back_without_what_has_grown_old(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "made")
    keep_answers(kept, "q", ANSWERS)

    assert read_answers(kept, "q", since=0) == ANSWERS
    assert list(read_answers(kept, "q", since=600)) == ["numpy==2.4.6 abc"]
    assert read_answers(kept, "another", since=0) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": {}}', b"\xff"])
def test_what_is_of_another_form_was_never_kept(tmp_path: Path, body: bytes) -> None:
    kept = Kept(tmp_path / "made")
    kept.keep("q", body)

    assert read_answers(kept, "q", since=0) == {}


def test_without_a_folder_nothing_is_kept() -> None:
    keep_answers(Kept(None), "q", ANSWERS)

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
