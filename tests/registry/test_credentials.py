from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from snapenv.registry.credentials import missing_helpers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration, with one helper on PATH."""
    helper = tmp_path / "bin" / "docker-credential-here"
    helper.parent.mkdir()
    helper.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(helper.parent))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def test_helpers_that_are_named_and_not_there_are_missing(config: Path) -> None:
    helpers = {"a.example.com": "here", "b.example.com": "gone", "c.example.com": "gone"}
    config.write_text(json.dumps({"credsStore": "desktop", "credHelpers": helpers}))

    assert missing_helpers() == ("docker-credential-desktop", "docker-credential-gone")


@pytest.mark.parametrize("text", ["{}", "{", "[]", '{"credHelpers": 7}', '{"credsStore": 7}'])
def test_a_configuration_that_names_none_has_none_missing(config: Path, text: str) -> None:
    config.write_text(text)

    assert missing_helpers() == ()


def test_without_a_configuration_none_is_missing(config: Path) -> None:
    assert not config.exists()
    assert missing_helpers() == ()
