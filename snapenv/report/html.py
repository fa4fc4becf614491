"""A report as one page that needs nothing else: no network, no script, no other file.

What the page says is data: every value is escaped, and the page's own policy lets nothing be
fetched or run. Source: https://www.w3.org/TR/CSP3/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from snapenv.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from snapenv.report.printable import printable
from snapenv.report.view import make_page

if TYPE_CHECKING:
    from jinja2 import Environment

    from snapenv.model.report import Report

_PACKAGE = Path(__file__).parents[1]
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
    template = _environment().get_template("report.html.j2")
    return template.render(v=make_page(report), frame=_FRAME).encode()


def _environment() -> Environment:
    """Make an environment that escapes, for HTML and for the eye, all that it prints.

    A wheel has its templates inside the package; a checkout has them beside it.
    """
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([_PACKAGE / "templates", _PACKAGE.parent / "templates"]),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _harmless(value: object) -> object:
    """Give text that hides nothing; what the template itself has made stays."""
    return value if hasattr(value, "__html__") else printable(str(value))
