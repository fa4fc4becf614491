from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording

from snapenv.sizes import exact_size, first_of, size


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (758_000_000, "758.0 MB"),
        (2_906_000_000, "2.9 GB"),
        (2.5e10, "25.0 GB"),
    ],
)
def test_a_size_has_the_largest_unit_that_leaves_one(size_bytes: float, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(8 << 30, "8g"), (1536 << 20, "1536m"), (3 << 10, "3k"), (1025, "1025")],
)
def test_an_exact_size_has_the_largest_unit_that_divides_it(size_bytes: int, text: str) -> None:
    assert exact_size(size_bytes) == text


def test_names_beyond_the_first_are_counted() -> None:
    assert first_of(("a", "b", "c", "d"), 2) == wording("a, b and 2 more")
    assert first_of(("a", "b"), 2) == "a, b"
