"""RECORD is split without ``csv`` where nothing is quoted, and few paths are normalised."""

from __future__ import annotations

import csv
import io
import os

from hypothesis import example, given, settings
from hypothesis import strategies as st

from snapenv_probe import record_file
from tests.sampling import is_full

FOLDER = "/environment/site-packages"
PIECES = (
    "a",
    "b.py",
    ".",
    "..",
    "/",
    ",",
    "\n",
    "\r",
    "\r\n",
    '"',
    " ",
    "\x0b",
    "\u2028",
    "\udcff",
)
TEXTS = st.lists(st.sampled_from(PIECES)).map("".join) | st.text()


def expected(text: str) -> dict[str, tuple[str, str]]:
    """Read it as the specification says: as CSV, and each path normalised."""
    rows = csv.reader(io.StringIO(text.replace("\0", ""), newline=""))
    return {
        os.path.normpath(row[0]): (
            os.path.normpath(f"{FOLDER}/{row[0]}"),
            row[1] if len(row) > 1 else "",
        )
        for row in rows
        if row and not row[0].endswith("/") and not row[0].startswith("/")
    }


@settings(max_examples=10_000 if is_full() else 500)
@given(text=TEXTS)
@example(text="a//b,sha256=x,1\r./c\r\n..//d,,\n,e\n\n\x85f,g")
def test_any_record_is_read_as_csv_reads_it(text: str) -> None:
    entries = record_file.parse(text, FOLDER)

    read = {one.path: (one.file, one.hash) for one in entries if one.path[0] != "/"}
    inside = {path: one for path, one in read.items() if one[0].startswith("/environment")}
    wanted = {
        path: one for path, one in expected(text).items() if one[0].startswith("/environment")
    }
    assert inside == wanted
