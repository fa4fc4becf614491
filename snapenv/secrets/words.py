"""Command lines that are written down: their words without what is secret in them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from snapenv.secrets.known_secrets import of_text, of_variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_STARS = "****"


def without_secrets(
    words: Sequence[str], variables: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Put stars in the place of secrets: in URLs, after names that call them so, of ``variables``.

    What no name calls a secret stays; the machine's own files are not read for it.
    """
    secrets = sorted({*_of_words(words), *_of_variables(variables or {})}, key=len, reverse=True)
    return tuple(_masked(word, secrets) for word in words)


def _of_words(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        yield from (value for value, _ in of_text(word.lstrip("-")))
    for name, value in pairwise(words):
        if name.startswith("-") and "=" not in name:
            yield from (secret for secret, _ in of_text(f"{name.lstrip('-')}={value}"))


def _of_variables(variables: Mapping[str, str]) -> Iterator[str]:
    return (value for value, _ in of_variables(variables) if value)


def _masked(word: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        word = word.replace(secret, _STARS)
    return word
