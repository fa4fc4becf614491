from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.engine.address import Address, find_address
from snapenv.engine.docker import DockerEngine, has_buildkit
from snapenv.errors import EngineMissingError

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = "far"
HOST = "tcp://192.0.2.1:2375"
PING = {"Api-Version": "1.41", "Ostype": "linux"}


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker configuration with one context, and no DOCKER_HOST."""
    key = hashlib.sha256(CONTEXT.encode()).hexdigest()
    meta = tmp_path / "contexts" / "meta" / key / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoints = {"docker": {"Host": HOST, "SkipTLSVerify": False}}
    meta.write_text(json.dumps({"Name": CONTEXT, "Metadata": {}, "Endpoints": endpoints}))
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST")
    return tmp_path


def test_the_variable_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", HOST)

    assert find_address() == Address(url=HOST)


def test_without_anything_it_is_the_usual_socket(contexts: Path) -> None:
    assert contexts.exists()
    assert find_address() == Address(url="unix:///var/run/docker.sock")


def test_the_active_context_names_the_engine(contexts: Path) -> None:
    (contexts / "config.json").write_text(json.dumps({"currentContext": CONTEXT}))

    assert find_address().url == HOST


def test_the_variable_is_stronger_than_the_active_context(
    contexts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (contexts / "config.json").write_text(json.dumps({"currentContext": CONTEXT}))
    monkeypatch.setenv("DOCKER_HOST", "unix:///other.sock")

    assert find_address().url == "unix:///other.sock"


def test_a_context_may_be_named_by_a_variable(
    contexts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contexts.exists()
    monkeypatch.setenv("DOCKER_CONTEXT", CONTEXT)

    assert find_address().url == HOST


def test_a_context_that_is_not_there_is_named(
    contexts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contexts.exists()
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")

    with pytest.raises(EngineMissingError) as caught:
        find_address()

    assert str(caught.value) == wording("there is no docker context gone")


def test_nothing_is_connected_before_the_first_question() -> None:
    engine = DockerEngine()

    with pytest.raises(EngineMissingError) as caught:
        engine.check()

    assert str(caught.value) == wording(
        "no Docker engine answers at unix:///nonexistent/docker.sock: there is no such socket"
    )


def test_without_an_engine_each_question_says_so() -> None:
    with pytest.raises(EngineMissingError) as caught:
        DockerEngine().find("anything")

    assert "Start Docker" in caught.value.hint
    assert "--engine venv" in caught.value.hint


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (PING, True),
        (PING | {"Builder-Version": "2"}, True),
        (PING | {"Builder-Version": "1"}, False),
        (PING | {"Api-Version": "1.38"}, False),
        (PING | {"Ostype": "windows"}, False),
        ({}, False),
    ],
)
def test_the_answer_to_a_ping_tells_of_buildkit(headers: dict[str, str], *, answer: bool) -> None:
    assert has_buildkit(headers) is answer


@pytest.mark.docker
def test_an_engine_is_named_with_its_version_and_address() -> None:
    name = DockerEngine().check()

    assert name.startswith("Docker ")
    assert name.endswith(f" at {os.environ['DOCKER_HOST']}")
