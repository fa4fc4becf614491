from __future__ import annotations

import pytest

from snapenv.model.uv import first_words

LONG = "word " * 200


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("error: Failed to fetch\n  cause: dns error", "Failed to fetch cause: dns error"),
        ("warning: experimental\nUsing Python 3\nerror: No space", "No space"),
        ("  x No solution found:\n  Because a", "x No solution found: Because a"),
        (f"error: The cause. {LONG}", f"The cause. {LONG}"[:300]),
        ("", ""),
    ],
)
def test_the_beginning_of_what_uv_says_is_kept_and_its_warnings_are_not(
    stderr: str, words: str
) -> None:
    assert first_words(stderr) == words
