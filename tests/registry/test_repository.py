from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.model.image import ImageRef
from snapenv.registry.repository import (
    Basic,
    Bearer,
    Repository,
    find_authority,
    find_repository,
    parse_challenge,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "repository"),
    [
        (
            "ubuntu",
            Repository(host="docker.io", address="registry-1.docker.io", path="library/ubuntu"),
        ),
        (
            "team/env:a",
            Repository(host="docker.io", address="registry-1.docker.io", path="team/env"),
        ),
        (
            "docker.io/team/env",
            Repository(host="docker.io", address="registry-1.docker.io", path="team/env"),
        ),
        (
            "example.com:5000/a/b/c",
            Repository(host="example.com:5000", address="example.com:5000", path="a/b/c"),
        ),
    ],
)
def test_a_repository_is_asked_for_where_docker_asks(text: str, repository: Repository) -> None:
    assert find_repository(ImageRef.parse(text)) == repository


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("localhost:5000", True),
        ("localhost", True),
        ("127.0.0.1:5000", True),
        ("127.1.2.3", True),
        ("example.com", False),
        ("localhost.example.com", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_only_this_machine_may_speak_http(address: str, is_loopback: bool) -> None:  # noqa: FBT001
    assert Repository(host=address, address=address, path="x").is_loopback is is_loopback


def test_a_registry_s_own_authority_is_where_docker_looks(tmp_path: Path) -> None:
    (tmp_path / "example.com:5000").mkdir()
    (tmp_path / "example.com:5000" / "ca.crt").touch()

    assert find_authority("example.com:5000", tmp_path) == f"{tmp_path}/example.com:5000/ca.crt"
    assert find_authority("example.com", tmp_path) is None


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", None),
        ("Negotiate", None),
        ("Basic", Basic()),
        ('Basic realm="a, b"', Basic()),
        ('basic realm="a"', Basic()),
        ('Bearer realm="https://a/t"', Bearer(realm="https://a/t")),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
            Bearer(realm="https://a/t", service="s", scope="repository:x:pull,push"),
        ),
        ('Basic realm="x", Bearer realm="https://a/t"', Bearer(realm="https://a/t")),
        ('Bearer service="s"', None),
    ],
)
def test_a_challenge_is_read(header: str, wanted: Bearer | Basic | None) -> None:
    assert parse_challenge(header) == wanted
