"""Find the price list that holds in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.places import expanded
from snapenv.steps.declaring import find_table
from snapenv.usage.prices import read_prices

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.usage.prices import PriceList


def find_prices(given: Path | None, folder: Path) -> PriceList | None:
    """Return the price list that is given, or that of the project's pyproject.toml; None for none.

    Raises:
        PriceListError: It is missing, or wrong.
        UsageError: The pyproject.toml is damaged.
    """
    if given is not None:
        return read_prices(expanded(given))
    table, place = find_table(folder)
    return read_prices(place / expanded(table.prices)) if table.prices else None
