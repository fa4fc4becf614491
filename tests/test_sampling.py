"""How the tests are sampled."""

from __future__ import annotations

import pytest

from tests.sampling import is_full, sample


@pytest.mark.skipif(is_full(), reason="a full run leaves nothing out")
def test_a_sample_has_the_ends_and_is_the_same_each_time() -> None:
    drawn = sample(range(1000), 10, seed="x")

    assert drawn == sorted({*drawn, 0, 999})
    assert len(drawn) == 10
    assert drawn == sample(range(1000), 10, seed="x") != sample(range(1000), 10, seed="y")


def test_of_few_nothing_is_left_out() -> None:
    assert sample("abc", 3, seed="x") == ["a", "b", "c"]


@pytest.mark.full
def test_what_is_marked_full_runs_only_in_full() -> None:
    assert is_full()
