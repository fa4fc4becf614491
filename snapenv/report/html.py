"""A report as one page that needs nothing else: no network, no script, no other file.

What the page says is data: every value is escaped, and the page's own policy lets nothing be
fetched or run. Source: https://www.w3.org/TR/CSP3/
"""

from __future__ import annotations

import errno
import os
import tempfile
from typing import TYPE_CHECKING

from snapenv.errors import WriteError
from snapenv.ownership.staging import replace_file
from snapenv.places import is_folder
from snapenv.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from snapenv.report.printable import render_page
from snapenv.report.view import make_page
from snapenv.secrets.refuse import refuse_leaking_files

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from snapenv.model.results import Report
    from snapenv.secrets.model import Secret

_FRAME = {
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": RIGHT,
    "top": TOP,
    "bottom": BOTTOM,
}


def check_place(path: Path | None) -> None:
    """See that a page can be written there, before the long work of which it is to tell.

    Raises:
        WriteError: It cannot.
    """
    if path is None:
        return
    try:
        if is_folder(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_report(path: Path, report: Report, secrets: Collection[Secret]) -> None:
    """Write the page, whole or not at all, in the place of one that is there.

    None of ``secrets`` may be in it.

    Raises:
        LeakError: It would hold a secret.
        WriteError: It cannot be written.
    """
    write_page(path, report_html(report), secrets)


def write_page(path: Path, page: bytes, secrets: Collection[Secret]) -> None:
    """Write a page as ``write_report`` does.

    Raises:
        LeakError, WriteError: As of ``write_report``.
    """
    refuse_leaking_files({str(path): page}, secrets)
    try:
        replace_file(path, page, mode=0o666)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"cannot write {path}: {error.strerror}", hint="Name another place with --report."
    )


def report_html(report: Report) -> bytes:
    """Return the page in UTF-8; the same report gives the same bytes."""
    return render_page("report.html.j2", v=make_page(report), frame=_FRAME)
