"""A report of usage as one page that needs nothing else, for a phone, a desk and A4.

Every value is escaped, and the page's own policy lets nothing be fetched or run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.report.escaped import render_page
from snapenv.report.usage_charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from snapenv.report.usage_view import make_usage_page

if TYPE_CHECKING:
    from snapenv.model.usage_report import UsageReportResult

_FRAME = {
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": RIGHT,
    "top": TOP,
    "bottom": BOTTOM,
}


def usage_html(result: UsageReportResult) -> bytes:
    """Return the page in UTF-8; the same report gives the same bytes."""
    return render_page("usage.html.j2", v=make_usage_page(result), frame=_FRAME)
