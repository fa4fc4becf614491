"""A machine that is told nothing of indexes, until a test tells it something."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.engines.index_server import IndexServer, build_wheel, serve_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OURS = ("PIP_", "UV_", "XDG_")
_NAMED = ("NETRC", "VIRTUAL_ENV", "CONDA_PREFIX", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home folder of a user who has no configuration, and asks no proxy."""
    for name in os.environ:
        if name.startswith(_OURS) or name in _NAMED or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return folder


@pytest.fixture
def server() -> Iterator[IndexServer]:
    """Yield an index that has one wheel, of a distribution named demo."""
    with serve_index(build_wheel("demo")) as running:
        yield running


@pytest.fixture
def other() -> Iterator[IndexServer]:
    """Yield a second index, on another port, that has no wheels yet."""
    with serve_index() as running:
        yield running
