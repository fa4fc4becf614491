from __future__ import annotations

import pytest
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

from snapenv.templating import template_environment


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
