from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.docker_login import LoginError, find_login, missing_helpers

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


def helper(config: Path, script: str) -> None:
    """Let docker's configuration name one helper, for every registry."""
    program = config.parent / "bin" / "docker-credential-here"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    config.write_text(json.dumps({"credsStore": "here"}))


def test_a_helper_gives_the_login(config: Path) -> None:
    answer = json.dumps({"ServerURL": "example.com", "Username": "me", "Secret": "canary"})
    helper(config, f"read host; test $host = example.com && echo '{answer}'")

    found = find_login("example.com")

    assert found is not None
    assert (found["Username"], found["Password"]) == ("me", "canary")


def test_a_helper_that_has_none_gives_none(config: Path) -> None:
    helper(config, "echo 'credentials not found in native keychain'; exit 1")

    assert find_login("example.com") is None


def test_a_helper_that_never_answers_is_named_within_its_time(config: Path) -> None:
    helper(config, "exec /bin/sleep 60")

    with pytest.raises(LoginError) as caught:
        find_login("example.com", limit_s=0.2)

    assert str(caught.value) == wording(
        "docker-credential-here gives no login for example.com: no answer within 0.2 s"
    )
    assert caught.value.message == wording(
        "docker-credential-here gives no login for example.com: no answer within 0.2 s"
    )
    assert caught.value.hint == wording(
        "Check that this works: echo example.com | docker-credential-here get; or take it out of credsStore and credHelpers in ~/.docker/config.json, then: docker login"
    )


@pytest.mark.parametrize("script", ["echo canary; exit 1", "echo '{canary'", "echo '[]'", "exit 7"])
def test_what_a_helper_says_that_fails_is_never_shown(config: Path, script: str) -> None:
    helper(config, script)

    with pytest.raises(LoginError) as caught:
        find_login("example.com")

    assert str(caught.value) == wording(
        "docker's own configuration gives no login for example.com: it, or its credential helper, does not work"
    )
    assert "canary" not in caught.value.message + caught.value.hint
