from __future__ import annotations

import pytest

from tests.command import Command


@pytest.mark.parametrize(
    ("words", "named"),
    [(("--name", "Bad/Name"), "Bad/Name"), (("--bind", "300.1.1.1"), "300.1.1.1")],
)
def test_a_name_or_an_address_that_is_none_is_refused(words: tuple[str, ...], named: str) -> None:
    assert named in Command().error("usage", "up", "tag", *words)
