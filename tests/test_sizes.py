from __future__ import annotations

import pytest

from snapenv.sizes import size


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
