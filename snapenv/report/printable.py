"""Text that came from someone else, made harmless to read."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Write out what would end a line, steer a terminal or turn the direction of reading.

    Such a character becomes its Python escape: ``\x1b``, ``\n``, ``\u202e``. All others stay.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def render_page(template: str, **values: object) -> bytes:
    """Return a page in UTF-8; the same values give the same bytes."""
    from snapenv.templating import template_environment  # Jinja takes longer than all before it

    escaping = template_environment().overlay(
        autoescape=True, finalize=_harmless, trim_blocks=True, lstrip_blocks=True
    )
    return escaping.get_template(template).render(**values).encode()


def _harmless(value: object) -> object:
    """Return text that hides nothing; what the template itself has made stays."""
    return value if hasattr(value, "__html__") else printable(str(value))
