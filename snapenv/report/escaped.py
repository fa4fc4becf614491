"""Fill the template of a page: every value is escaped, and none hides anything."""

from __future__ import annotations

from snapenv.report.printable import printable


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
