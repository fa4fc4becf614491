from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.errors import PriceListError
from snapenv.steps.price_list import find_prices

if TYPE_CHECKING:
    from pathlib import Path

TABLE = '[tool.snapenv.usage]\nprices = "lists/prices.toml"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder within a project whose pyproject.toml names a price list in euros."""
    (tmp_path / "pyproject.toml").write_text(TABLE)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "prices.toml").write_text('currency = "EUR"\n')
    (tmp_path / "train").mkdir()
    return tmp_path / "train"


def test_the_list_of_the_project_is_found_from_the_folder_of_its_file(project: Path) -> None:
    prices = find_prices(None, project)

    assert prices is not None
    assert (prices.currency, prices.path) == (
        "EUR",
        str(project.parent / "lists" / "prices.toml"),
    )


def test_a_list_that_is_given_takes_its_place(project: Path) -> None:
    given = project / "other.toml"
    given.write_text('currency = "USD"\n')

    prices = find_prices(given, project)

    assert prices is not None
    assert prices.currency == "USD"


def test_without_either_there_are_no_prices(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.snapenv.usage]\n")

    assert find_prices(None, tmp_path) is None


def test_a_list_that_the_project_names_and_is_missing_is_an_error(project: Path) -> None:
    (project.parent / "lists" / "prices.toml").unlink()

    with pytest.raises(PriceListError, match="prices.toml cannot be read"):
        find_prices(None, project)
