"""The real index that this machine is configured for."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import distribution
from typing import TYPE_CHECKING

import pytest
import tomlkit

from snapenv.index.wheels import IndexWheels
from snapenv.model.wheels import IndexWheel
from tests.fakes import FakeTask
from tests.real_index import installed, locked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["click", "markupsafe"])
def test_the_record_of_the_index_lists_the_files_that_are_installed(
    name: str, tmp_path: Path
) -> None:
    wheel = offered(name)
    wheels = IndexWheels(tmp_path)

    record = wheels.record(wheel).text

    hashes = [line.split(",") for line in record.splitlines() if ".dist-info" not in line]
    assert len(hashes) > 2
    for path, digest, _ in hashes:
        content = distribution(name).locate_file(path).read_bytes()  # type: ignore[attr-defined]
        assert digest == f"sha256={urlsafe(hashlib.sha256(content).digest())}"


def test_a_wheel_of_the_index_is_fetched_by_its_hash(tmp_path: Path) -> None:
    wheel = offered("click")

    IndexWheels(None).fetch(wheel, tmp_path / wheel.filename, FakeTask())

    content = (tmp_path / wheel.filename).read_bytes()
    assert hashlib.sha256(content).hexdigest() == wheel.sha256


def offered(name: str) -> IndexWheel:
    (package,) = tomlkit.parse(locked(name).decode()).unwrap()["packages"]
    (wheel,) = package["wheels"]
    return IndexWheel(
        name=name,
        version=installed(name).version,
        url=wheel["url"],
        sha256=wheel["hashes"]["sha256"],
        size_bytes=wheel.get("size"),
    )


def urlsafe(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
