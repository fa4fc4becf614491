"""Whom a run is counted for: files of a project, and keys of pseudonyms."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.model.usage import Declared, DeclaredOptions
from snapenv.steps.declaring import counted_user, declared_in
from tests.workflows.services import services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Services


@pytest.fixture
def given(tmp_path: Path) -> Services:
    return replace(services(), state=tmp_path / "state")


def write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def test_the_nearest_file_of_a_project_counts(tmp_path: Path) -> None:
    write(tmp_path, "[tool.snapenv.usage]\nproject = 'outer'")
    write(tmp_path / "inner", "[tool.snapenv.usage]\npurpose = 'test'")
    (tmp_path / "inner" / "src").mkdir()

    assert declared_in(tmp_path / "inner" / "src", DeclaredOptions()) == Declared(purpose="test")
    assert declared_in(tmp_path, DeclaredOptions(model="m")) == Declared(project="outer", model="m")


def test_a_file_of_others_is_not_read_for_what_is_above_it(tmp_path: Path) -> None:
    write(tmp_path, "[tool.snapenv.usage]\nproject = 'outer'")
    write(tmp_path / "inner", "this is no TOML, and not ours")

    assert declared_in(tmp_path / "inner", DeclaredOptions()) == Declared()


def test_a_user_is_counted_by_the_login_name(tmp_path: Path, given: Services) -> None:
    assert counted_user("ann", tmp_path, given) == "ann"
    assert not (tmp_path / "state").exists()


def test_a_pseudonym_has_a_key_of_the_machine_that_only_its_user_reads(
    tmp_path: Path, given: Services
) -> None:
    write(tmp_path, "[tool.snapenv.usage]\npseudonym = true")

    first, again = (counted_user("ann", tmp_path, given) for _ in range(2))

    key = tmp_path / "state" / "usage.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 64
    assert first == again == hmac.new(key.read_bytes(), b"ann", hashlib.sha256).hexdigest()[:12]
    assert counted_user("bob", tmp_path, given) != first


def test_machines_that_share_a_key_give_the_same_pseudonym(tmp_path: Path, given: Services) -> None:
    write(tmp_path, "[tool.snapenv.usage]\npseudonym = 'keys/team'")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "team").write_text("secret\n")

    name = counted_user("ann", tmp_path, given)

    assert name == hmac.new(b"secret", b"ann", hashlib.sha256).hexdigest()[:12]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_without_the_key_nobody_is_counted_by_name(
    tmp_path: Path, given: Services, content: str | None
) -> None:
    write(tmp_path, "[tool.snapenv.usage]\npseudonym = 'team.key'")
    if content is not None:
        (tmp_path / "team.key").write_text(content)

    with pytest.raises(UsageError, match=r"team\.key"):
        counted_user("ann", tmp_path, given)
