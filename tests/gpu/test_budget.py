"""No part takes what the whole has not, and none begins that could not end."""

from __future__ import annotations

import pytest

from tests.gpu.budget import WHOLE_S, Limits, allot
from tests.gpu.parts import PARTS

LIMITS = Limits(most_s=60, least_s=20)


@pytest.mark.parametrize(
    ("left_s", "limit_s"), [(480, 60), (65, 60), (64, 59), (25, 20), (24.9, None), (-3, None)]
)
def test_a_part_gets_its_own_limit_or_what_is_left(left_s: float, limit_s: float | None) -> None:
    assert allot(LIMITS, left_s) == limit_s


def test_a_run_is_over_within_its_time_when_every_part_hangs() -> None:
    left_s = WHOLE_S
    for _, limits in PARTS.values():
        left_s -= allot(limits, left_s) or 0

    assert 0 < left_s < 20
