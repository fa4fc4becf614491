"""That another program is known as another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from snapenv import program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    package = tmp_path / "snapenv"
    (package / "lock").mkdir(parents=True)
    for name in ("__init__.py", "lock/wheel.py", "catalogue.csv"):
        (package / name).write_text("x")
    monkeypatch.setattr(program, "_PACKAGE", package)
    return program.program_digest.__wrapped__


def test_the_same_program_has_the_same_digest(digest: Callable[[], str], tmp_path: Path) -> None:
    before = digest()
    (tmp_path / "snapenv" / "__pycache__").mkdir()
    (tmp_path / "snapenv" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"")

    assert digest() == before


@pytest.mark.parametrize("name", ["lock/wheel.py", "new.py", "../templates/Dockerfile.j2"])
def test_a_file_that_changed_makes_another(
    digest: Callable[[], str], tmp_path: Path, name: str
) -> None:
    before = digest()
    place = tmp_path / "snapenv" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("y")
    os.utime(place, ns=(1, 1))

    assert digest() != before
