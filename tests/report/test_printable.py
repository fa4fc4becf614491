from __future__ import annotations

import pytest

from snapenv.report.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer → 2", "größer → 2"),
        ("größer\x1b[2J", r"größer\x1b[2J"),
        ("one\ntwo\r", r"one\ntwo\r"),
        ("held\u202egnp", r"held\u202egnp"),
        ("\udc80", r"\udc80"),
        ("C:\\temp", "C:\\temp"),
    ],
)
def test_only_what_hides_or_steers_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
