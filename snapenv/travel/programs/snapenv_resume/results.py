"""``results.csv``: a row for each epoch, the first line their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv_resume.files import replace

if TYPE_CHECKING:
    from pathlib import Path


def keep_rows(path: Path, epochs: int) -> None:
    """Keep each epoch's row once, the last one, and only those of the first ``epochs``.

    ultralytics appends a row before it writes the checkpoint. After a kill between the two, that
    epoch is trained again, and would have two rows. Some versions count epochs from 0, others from
    1: the rows are counted here.
    """
    if not path.is_file():
        return
    header, *rows = path.read_text("utf-8").splitlines(keepends=True)[:] or [""]
    by_epoch = {row.partition(",")[0].strip(): row for row in rows if row.endswith("\n")}
    text = header + "".join(list(by_epoch.values())[:epochs])
    replace(path, lambda temporary: temporary.write_text(text, "utf-8"))
