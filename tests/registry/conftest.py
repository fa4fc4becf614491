from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.faulty import FaultyRegistry, serve_faulty

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def faulty(registry: str) -> Iterator[FaultyRegistry]:
    """A proxy in front of the registry without a password."""
    with serve_faulty(registry) as running:
        yield running
