"""Texts without what differs from run to run, to be compared as a whole."""

from __future__ import annotations

import re

_FORMS = (
    (re.compile(r"/\S*?/pytest-\d+/(popen-gw\d+/)?[^/\s]+"), "TMP"),
    (re.compile(r"\b(localhost|127\.0\.0\.1|0\.0\.0\.0):\d{5}\b"), r"\1:PORT"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "NAME"),
)


def steady(text: object, **parts: object) -> str:
    """Return a text with words in place of a test's folder, ports, digests and made-up names.

    What is given by name is replaced first, as it is or quoted, by its name.
    """
    steady = str(text)
    for name, part in parts.items():
        for shown in filter(None, (repr(part), str(part))):
            steady = steady.replace(shown, name.upper())
    for form, word in _FORMS:
        steady = form.sub(word, steady)
    return steady
