"""Amounts of money: whole millionths of a currency's unit, and cents that still sum up."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MICROS = 1_000_000
"""Millionths in one unit of a currency."""

_MICROS_OF_A_CENT = MICROS // 100
_LARGEST = Decimal(10) ** 12


def parse_amount(text: str) -> int:
    """Read an amount such as ``45`` or ``45.50`` as millionths.

    Raises:
        ValueError: It is no amount, is negative, or has more than six decimals.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount such as 45 or 45.50") from None
    if not amount.is_finite() or not 0 <= amount < _LARGEST:
        raise ValueError(f"{text} is not an amount from 0 to a million million")
    micros = amount * MICROS
    if micros != int(micros):
        raise ValueError(f"{text} has more than six decimals")
    return int(micros)


def spread(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide a whole number by weights into whole numbers that sum up to it exactly.

    Each share is rounded down, and those with the largest remainders get what is left, the first
    one first. All weights are of one sign, or their sum at least is not zero.

    Raises:
        ValueError: The weights sum up to zero, and the number is not zero.
    """
    whole = sum(weights)
    if not whole:
        if total:
            raise ValueError("there is nothing to spread it over")
        return (0,) * len(weights)
    shares = [divmod(total * weight, whole) for weight in weights]
    return _with_remainders(total, shares, largest_first=whole > 0)


def to_cents(micros: Sequence[int]) -> tuple[int, ...]:
    """Round amounts to cents that sum up to the rounded sum of the amounts."""
    shares = [divmod(amount, _MICROS_OF_A_CENT) for amount in micros]
    return _with_remainders(round(sum(micros) / _MICROS_OF_A_CENT), shares)


def _with_remainders(
    total: int, shares: Sequence[tuple[int, int]], *, largest_first: bool = True
) -> tuple[int, ...]:
    """Add one to the shares with the largest remainders, until they sum up to the total."""
    missing = total - sum(share for share, _ in shares)
    order = sorted(range(len(shares)), key=lambda at: shares[at][1], reverse=largest_first)
    more = set(order[:missing])
    return tuple(share + (at in more) for at, (share, _) in enumerate(shares))


def decimal_text(micros: int) -> str:
    """Write an amount for programs, with two to six decimals: ``12.50``, ``0.000125``."""
    sign = "-" if micros < 0 else ""
    whole, part = divmod(abs(micros), MICROS)
    decimals = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"
