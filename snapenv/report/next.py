"""The command that people type after an answer, where there is one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snapenv.model.outcome import Outcome, Result
    from snapenv.model.results import (
        ArchiveResult,
        BasesResult,
        BuildResult,
        CaptureResult,
        DiffResult,
        DoctorResult,
        ListResult,
        ShowResult,
    )


def next_command(outcome: Outcome[Result]) -> str | None:
    """Return a command line; None where nothing follows, or where the verdict says what does."""
    follow = _NEXT.get(outcome.command)
    words = follow(outcome) if follow else None
    return shlex.join(("snapenv", *words)) if words else None


def _after_capture(outcome: Outcome[Result]) -> tuple[str, ...]:
    return "build", cast("CaptureResult", outcome.result).path


def _after_build(outcome: Outcome[Result]) -> tuple[str, ...]:
    """Return what another machine types for an image in a registry, else the proof of it here."""
    result = cast("BuildResult", outcome.result)
    return "restore" if result.pushed else "verify", result.image


def _after_doctor(outcome: Outcome[Result]) -> tuple[str, ...] | None:
    result = cast("DoctorResult", outcome.result)
    if not outcome.ok:
        return None
    engine = ("--engine", "venv") if result.needs and result.needs.venv else ()
    return ("restore", result.ref, *engine) if result.ref else ("capture",)


def _after_diff(outcome: Outcome[Result]) -> tuple[str, ...] | None:
    result = cast("DiffResult", outcome.result)
    stored = [side.place for side in (result.left, result.right) if side.kind != "environment"]
    return ("restore", stored[0]) if stored and not outcome.ok else None


def _after_bases(outcome: Outcome[Result]) -> tuple[str, ...]:
    result = cast("BasesResult", outcome.result)
    start = ("build", result.snapshot) if result.snapshot else ("capture",)
    return (*start, "--base", result.bases[0].image)


def _after_export(outcome: Outcome[Result]) -> tuple[str, ...]:
    return "import", cast("ArchiveResult", outcome.result).path


def _after_import(outcome: Outcome[Result]) -> tuple[str, ...]:
    return "verify", cast("ArchiveResult", outcome.result).image


def _after_list(outcome: Outcome[Result]) -> tuple[str, ...]:
    images = cast("ListResult", outcome.result).images
    return ("show", images[0].name) if images else ("capture",)


def _after_show(outcome: Outcome[Result]) -> tuple[str, ...]:
    return "restore", cast("ShowResult", outcome.result).name


_NEXT: Mapping[str, Callable[[Outcome[Result]], tuple[str, ...] | None]] = {
    "capture": _after_capture,
    "build": _after_build,
    "doctor": _after_doctor,
    "diff": _after_diff,
    "bases": _after_bases,
    "export": _after_export,
    "import": _after_import,
    "list": _after_list,
    "show": _after_show,
}
