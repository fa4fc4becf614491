from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.money import decimal_text, parse_amount, spread, to_cents

AMOUNTS = st.lists(st.integers(-(10**12), 10**15), max_size=40)


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_shares_sum_up_to_the_whole_and_none_is_off_by_one(total: int, weights: list[int]) -> None:
    if not sum(weights):
        weights[0] = 1

    shares = spread(total, weights)

    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - total * weight) < sum(weights)


def test_the_largest_remainder_gets_what_is_left() -> None:
    assert spread(10, (1, 1, 1)) == (4, 3, 3)
    assert spread(100, (333, 333, 334)) == (33, 33, 34)
    assert spread(-10, (-1, -1, -1)) == spread(-10, (1, 1, 1))
    assert spread(0, (0, 0)) == (0, 0)
    with pytest.raises(ValueError, match="nothing to spread"):
        spread(1, (0, 0))


@given(AMOUNTS)
def test_cents_of_lines_sum_up_to_the_cents_of_their_sum(micros: list[int]) -> None:
    cents = to_cents(micros)

    assert sum(cents) == round(sum(micros) / 10_000)
    assert all(
        abs(cent * 10_000 - amount) < 10_000 for cent, amount in zip(cents, micros, strict=True)
    )


def test_lines_that_are_rounded_one_by_one_would_miss_their_sum() -> None:
    thirds = (3_333_333, 3_333_333, 3_333_334)

    assert to_cents(thirds) == (333, 333, 334)
    assert sum(round(one / 10_000) for one in thirds) == 999


@pytest.mark.parametrize(
    ("text", "micros"), [("45", 45_000_000), ("45.50", 45_500_000), ("0.000001", 1), ("0", 0)]
)
def test_an_amount_is_read_exactly(text: str, micros: int) -> None:
    assert parse_amount(text) == micros


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e13", "0.0000001", "1,5", "45 €"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount|decimals"):
        parse_amount(text)


@given(st.integers(-(10**15), 10**15))
def test_an_amount_for_programs_is_read_back_as_it_was(micros: int) -> None:
    text = decimal_text(micros)

    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    assert sign * parse_amount(digits) == micros


def test_an_amount_for_programs_has_two_to_six_decimals() -> None:
    assert decimal_text(12_500_000) == "12.50"
    assert decimal_text(-125) == "-0.000125"
