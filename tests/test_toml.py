"""That every value comes back, and is written as tomlkit would write it."""

from __future__ import annotations

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from snapenv.toml import parse_any_toml, write_toml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
VALUES = st.one_of(TEXTS, NUMBERS)
KEYS = TEXTS.filter(bool)
TABLES = st.dictionaries(KEYS, st.one_of(VALUES, st.lists(VALUES), st.dictionaries(KEYS, VALUES)))


@given(
    table=st.dictionaries(KEYS, st.one_of(VALUES, st.lists(VALUES), st.dictionaries(KEYS, VALUES)))
)
def test_every_value_comes_back(table: dict[str, object]) -> None:
    assert parse_any_toml(write_toml(table)) == table


@given(key=KEYS, text=TEXTS)
def test_texts_are_written_as_tomlkit_writes_them(key: str, text: str) -> None:
    expected = f"{tomlkit.key(key).as_string()} = {tomlkit.string(text).as_string()}\n"

    assert write_toml({key: text}) == expected


@given(number=NUMBERS)
def test_numbers_are_written_as_tomlkit_writes_them(number: float) -> None:
    assert write_toml({"a": number}) == f"a = {tomlkit.item(number).as_string()}\n"


@given(time=st.one_of(st.datetimes(), st.dates(), st.times()))
def test_times_of_other_programs_come_back(time: object) -> None:
    assert parse_any_toml(write_toml({"a": time})) == {"a": time}
