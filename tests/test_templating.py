from __future__ import annotations

import json
import shlex

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

from snapenv.templating import json_value, shell_words, template_environment, yaml_value


def test_a_name_that_is_not_given_is_an_error_and_no_empty_text() -> None:
    template = template_environment().from_string("FROM {{ bas }}")

    with pytest.raises(UndefinedError, match="'bas' is undefined"):
        template.render(base="example.com/base")


@pytest.mark.parametrize(
    "text", ["{{ v.__class__.__mro__ }}", "{{ v.append(1) }}", "{{ ''.__class__.__base__ }}"]
)
def test_a_template_reaches_nothing_outside_and_changes_nothing(text: str) -> None:
    with pytest.raises(SecurityError):
        template_environment().from_string(text).render(v=[])


def test_what_a_value_holds_is_never_read_as_a_template() -> None:
    template = template_environment().from_string("{{ v }}\n")

    assert template.render(v="{{ 1 + 1 }} {% raw %} <&>") == "{{ 1 + 1 }} {% raw %} <&>\n"


TEXT = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    (
        "yes",
        "null",
        "1e3",
        "0x10",
        "~",
        "a: b",
        "- a",
        "a #b",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "😀",
    )
)


@given(TEXT | st.lists(TEXT) | st.booleans() | st.none() | st.integers())
def test_a_value_in_yaml_and_in_json_is_read_as_it_was(value: object) -> None:
    assert yaml.safe_load(yaml_value(value)) == value
    assert yaml.safe_load(f"[{yaml_value(value)}, b]") == [value, "b"]
    assert json.loads(json_value(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("/workspace/runs", "/workspace/runs"),
        ("example.com/team/env:tag@sha256:5e", "example.com/team/env:tag@sha256:5e"),
        ("8g", '"8g"'),
        ("a: b", '"a: b"'),
        (None, "null"),
        (("a", "-b"), '[a, "-b"]'),
    ],
)
def test_text_that_stands_for_itself_is_not_quoted(value: object, text: str) -> None:
    assert yaml_value(value) == text


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
def test_words_arrive_at_a_shell_as_they_were(words: list[str]) -> None:
    assert shlex.split(shell_words(words)) == words
