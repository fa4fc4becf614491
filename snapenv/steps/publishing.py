"""Tell the monitoring of a machine which run has which GPU, in files that it reads.

What cannot be written is not told: a run goes on all the same.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.ownership.staging import replace_file
from snapenv.places import open_plain
from snapenv.usage.textfile import textfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.launch import RunRecord
    from snapenv.model.sampling import GpuReading
    from snapenv.model.usage import EpochRow, RunGpu, UsageRun

_MOST_BYTES = 1 << 20
_MODE = 0o644  # others read them, who run as users of their own


def publish(
    record: RunRecord,
    run: UsageRun,
    rows: Sequence[RunGpu],
    readings: Sequence[GpuReading],
    last: EpochRow | None,
) -> None:
    """Write the file of a run, and its id into those of its GPUs, where its record names folders.

    ``last`` is its last finished epoch.
    """
    if record.textfile:
        text = textfile(run, rows, readings, last)
        _write(_textfile(record.textfile, run), text)
    if record.job_mapping:
        used = {gpu.uuid for gpu in run.gpus}
        for reading in readings:
            if reading.gpu in used:
                _write_jobs(Path(record.job_mapping, reading.number), {run.run}, ())


def retract(record: RunRecord, run: UsageRun) -> None:
    """Take away what was told of a run."""
    if record.textfile:
        with contextlib.suppress(OSError):
            _textfile(record.textfile, run).unlink()
    if record.job_mapping:
        for path in _files(Path(record.job_mapping)):
            _write_jobs(path, (), {run.run})


def _textfile(folder: str, run: UsageRun) -> Path:
    return Path(folder, f"snapenv-{run.run}.prom")


def _files(folder: Path) -> Sequence[Path]:
    """Return the files of a folder for dcgm-exporter: each is called as its GPU, ``0`` or ``0.7``.

    Source: https://github.com/NVIDIA/dcgm-exporter#how-to-include-hpc-jobs-in-metric-labels
    """
    try:
        return [path for path in folder.iterdir() if path.name[:1].isdecimal()]
    except OSError:
        return ()


def _write_jobs(path: Path, more: Iterable[str], less: Iterable[str]) -> None:
    """Change the jobs of a GPU, one a line; those of others stay, and a file without any goes."""
    with contextlib.suppress(OSError):
        before = _jobs(path)
        jobs = [job for job in dict.fromkeys((*before, *more)) if job not in less]
        if jobs and jobs != before:
            _write(path, "".join(f"{job}\n" for job in jobs))
        elif not jobs and before:
            path.unlink()


def _jobs(path: Path) -> list[str]:
    """Read the jobs of a GPU; a link of anybody, or a pipe, has none.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        with open_plain(path, follow=False) as file:
            return file.read(_MOST_BYTES).decode(errors="replace").split()
    except FileNotFoundError:
        return []


def _write(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        replace_file(path, text.encode(), mode=_MODE, masked=False)
