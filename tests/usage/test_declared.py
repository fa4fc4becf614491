from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.model.usage import Declared
from snapenv.usage.declared import UsageTable, declare, parse_table, pseudonym

FILE = """
[project]
name = "mine"

[tool.snapenv.usage]
project = "vision"
purpose = "ablation"
require = ["project", "model"]
pseudonym = "team.key"
"""


def test_the_table_is_read_beside_those_of_others() -> None:
    assert parse_table(FILE, "pyproject.toml") == UsageTable(
        project="vision", purpose="ablation", require=("project", "model"), pseudonym="team.key"
    )


@pytest.mark.parametrize(
    "text", ["", "[tool]\n", "[tool.snapenv]\n", "tool = 3", "tool.snapenv = 3"]
)
def test_a_file_without_the_table_declares_nothing(text: str) -> None:
    assert parse_table(text, "pyproject.toml") == UsageTable()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[tool.snapenv.usage]\nprojects = 'x'", "projects"),
        ("[tool.snapenv.usage]\nproject = 3", r"\$\.project"),
        ("[tool.snapenv.usage]\nrequire = ['user']", r"\$\.require"),
        ("[tool.snapenv]\nusage = 3", "int"),
        ("[tool", "is no TOML"),
        ("a = " + "[" * 100_000, "is no TOML"),
    ],
)
def test_a_file_that_is_damaged_is_named(text: str, named: str) -> None:
    with pytest.raises(UsageError, match=rf"^here/pyproject.toml.*{named}"):
        parse_table(text, "here/pyproject.toml")


def test_what_is_given_takes_the_place_of_the_table() -> None:
    given = Declared(project="other", model="yolov8n.pt")

    assert declare(given, UsageTable(project="vision", purpose="ablation")) == Declared(
        project="other", purpose="ablation", model="yolov8n.pt"
    )


@pytest.mark.parametrize("name", ["a", "Vision 2.0_x-y", "9", "a" * 63])
def test_these_are_names(name: str) -> None:
    assert declare(Declared(project=name), UsageTable()).project == name


@pytest.mark.parametrize(
    "name", ["=1+1", "-x", " x", "a,b", "a\nb", 'a"b', "a;drop table run", "é", "a" * 64, "@x"]
)
@pytest.mark.parametrize("field", ["project", "purpose", "model"])
def test_these_are_none(field: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"the {field} "):
        declare(Declared(**{field: name}), UsageTable())
    with pytest.raises(UsageError, match=f"the {field} "):
        declare(Declared(), replace(UsageTable(), **{field: name}))


def test_what_is_required_must_be_named() -> None:
    table = UsageTable(require=("model",))

    with pytest.raises(UsageError, match="no model") as caught:
        declare(Declared(project="x"), table)
    assert "--model" in caught.value.hint
    with pytest.raises(UsageError, match="no project"):
        declare(Declared(model="x"), table, require_project=True)
    assert declare(Declared(project="y", model="x"), table, require_project=True).project == "y"


@given(st.text(min_size=1), st.text(min_size=1), st.binary(min_size=1, max_size=64))
def test_a_pseudonym_is_the_same_for_the_same_person_and_key(
    one: str, other: str, key: bytes
) -> None:
    one, other = (name.encode(errors="ignore").decode() or "x" for name in (one, other))
    digest = hmac.new(key, one.encode(), hashlib.sha256).hexdigest()

    assert pseudonym(one, key) == digest[:12]
    assert (pseudonym(one, key) == pseudonym(other, key)) == (one == other)
    assert pseudonym(one, key) != pseudonym(one, key + b"x")
