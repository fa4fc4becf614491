"""A report as one page that needs nothing else: no network, no script, no other file.

What the page says is data: every value is escaped, and the page's own policy lets nothing be
fetched or run. Source: https://www.w3.org/TR/CSP3/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from snapenv.report.printable import printable
from snapenv.report.view import make_page
from snapenv.templating import template_environment

if TYPE_CHECKING:
    from snapenv.model.report import Report

_FRAME = {
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": RIGHT,
    "top": TOP,
    "bottom": BOTTOM,
}


def report_html(report: Report) -> bytes:
    """Give the page in UTF-8; the same report gives the same bytes."""
    escaping = template_environment().overlay(
        autoescape=True, finalize=_harmless, trim_blocks=True, lstrip_blocks=True
    )
    template = escaping.get_template("report.html.j2")
    return template.render(v=make_page(report), frame=_FRAME).encode()


def _harmless(value: object) -> object:
    """Give text that hides nothing; what the template itself has made stays."""
    return value if hasattr(value, "__html__") else printable(str(value))
