from __future__ import annotations

import pytest

from snapenv.engine.failures import engine_failure, one_line, registry_failure, start_failure
from snapenv.errors import (
    EngineError,
    InterpreterError,
    NotFoundError,
    RegistryError,
    SnapenvError,
    WriteError,
)
from snapenv.model.image import ImageRef

REF = ImageRef.parse("registry.example.com/team/env:a")


@pytest.mark.parametrize(
    ("text", "kind", "message", "hint"),
    [
        (
            "manifest for registry.example.com/team/env:a not found: manifest unknown",
            NotFoundError,
            "registry.example.com has no registry.example.com/team/env:a",
            "name and tag",
        ),
        (
            'Get "https://registry.example.com/v2/": dial tcp: lookup x: no such host',
            RegistryError,
            "registry.example.com does not answer",
            "can be reached",
        ),
        (
            "received unexpected HTTP status: 503 Service Unavailable",
            RegistryError,
            "registry.example.com does not answer",
            "can be reached",
        ),
        (
            "net/http: TLS handshake timeout",
            RegistryError,
            "registry.example.com does not answer",
            "can be reached",
        ),
        (
            "denied: requested access to the resource is denied",
            RegistryError,
            "registry.example.com refuses",
            "docker login registry.example.com",
        ),
        (
            "unauthorized: authentication required",
            RegistryError,
            "registry.example.com refuses",
            "docker login registry.example.com",
        ),
        (
            "failed to register layer: write /x: no space left on device",
            WriteError,
            "disk of the Docker engine is full",
            "docker system prune",
        ),
        ("something new", EngineError, "something new", "log"),
    ],
)
def test_what_a_registry_says_becomes_an_error_with_a_next_step(
    text: str, kind: type[SnapenvError], message: str, hint: str
) -> None:
    error = registry_failure(text, REF)

    assert type(error) is kind
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        (
            'could not select device driver "" with capabilities: [[gpu]]',
            EngineError,
            "nvidia-container-toolkit",
        ),
        (
            "failed to discover GPU vendor from CDI: no known GPU vendor found",
            EngineError,
            "nvidia-container-toolkit",
        ),
        (
            "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.8",
            EngineError,
            "Update the driver",
        ),
        (
            'exec: "/x/python": stat /x/python: no such file or directory: unknown',
            InterpreterError,
            "--python",
        ),
        ("something new", EngineError, "log"),
    ],
)
def test_why_a_container_did_not_start_becomes_an_error_with_a_next_step(
    text: str, kind: type[SnapenvError], hint: str
) -> None:
    error = start_failure(text, "/x/python", "image a")

    assert type(error) is kind
    assert hint in error.hint


def test_a_full_disk_is_told_in_any_case_of_letters() -> None:
    assert isinstance(engine_failure("write: No space left on device"), WriteError)


def test_a_long_text_is_cut_to_one_line() -> None:
    assert one_line("a\n b\tc" + "d" * 300, length=8) == "a b cdd…"
