"""A real part for a test, or a word why there is none."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.engines.place import Place, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

Part = TypeVar("Part")


def provide(make: Callable[[Place], Part]) -> Part:
    """Make a part; where it cannot be had the test is skipped, and fails under CI."""
    place = Place.default()
    try:
        with place.lock():
            return make(place)
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have this real part: {error}")
        pytest.skip(str(error))


@contextlib.contextmanager
def provide_running(part: AbstractContextManager[Part]) -> Iterator[Part]:
    """Provide a part that runs until the block ends."""
    with contextlib.ExitStack() as running:
        yield provide(lambda _: running.enter_context(part))
