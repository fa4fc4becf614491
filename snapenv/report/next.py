"""The command that people type after an answer, where there is one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from snapenv.model.results import (
    ArchiveResult,
    BasesResult,
    BuildResult,
    CaptureResult,
    DiffResult,
    DoctorResult,
    ListResult,
    LogEntry,
    LogResult,
    OnboardResult,
    ProofResult,
    PullResult,
    PushResult,
    RenderResult,
    ShowResult,
    UpdateResult,
)

if TYPE_CHECKING:
    from snapenv.model.outcome import Outcome, Result


def next_command(outcome: Outcome[Result]) -> str | None:
    """Return a command line; None where nothing follows, or where the verdict says what does."""
    result = outcome.result
    if isinstance(result, RenderResult):  # a command of another program
        if any(file.content is not None for file in result.files):  # nothing was written
            return None
        folder = shlex.quote(result.folder)
        return result.start if folder == "." else f"cd {folder} && {result.start}"
    words = _words(outcome)
    return shlex.join(("snapenv", *words)) if words else None


def _words(outcome: Outcome[Result]) -> tuple[str, ...]:
    match outcome.result:
        case CaptureResult(path=path) | UpdateResult(path=str(path)):
            return ("build", path)
        case BuildResult(image=image, pushed=pushed):
            # Another machine restores what is in a registry; here the image is proved.
            return ("restore" if pushed else "verify", image)
        case ProofResult(image=str(place)) | ProofResult(path=str(place)) if outcome.ok:
            return ("shell", place)
        case ArchiveResult() | PushResult() | PullResult() as moved:
            return _after_transfer(moved, exported=outcome.command == "export")
        case ListResult(images=images):
            return ("show", images[0].name) if images else ("capture",)
        case ShowResult(name=name) | OnboardResult(ref=name):
            return ("restore", name)
        case BasesResult(snapshot=snapshot, bases=bases):
            start = ("build", snapshot) if snapshot else ("capture",)
            return (*start, "--base", bases[0].image)
        case DiffResult() | LogResult():
            return _after_comparing(outcome)
        case DoctorResult(ref=ref, needs=needs) if outcome.ok:
            engine = ("--engine", "venv") if needs and needs.venv else ()
            return ("restore", ref, *engine) if ref else ("capture",)
    return ()


def _after_comparing(outcome: Outcome[Result]) -> tuple[str, ...]:
    match outcome.result:
        case LogResult(entries=(LogEntry(place=str(newer)), LogEntry(place=str(older)), *_)):
            return ("diff", older, newer)
        case DiffResult(left=left, right=right) if not outcome.ok:
            stored = [side.place for side in (left, right) if side.kind != "environment"]
            return ("restore", stored[0]) if stored else ()
    return ()


def _after_transfer(
    moved: ArchiveResult | PushResult | PullResult, *, exported: bool
) -> tuple[str, ...]:
    """Return what follows: of a snapshot alone, what needs no engine."""
    match moved:
        case ArchiveResult(path=path) if exported:
            return ("import", path)
        case ArchiveResult(image=str(image)) | PullResult(kind="image", ref=image):
            return ("verify", image)
        case ArchiveResult(folder=folder) | PullResult(folder=folder):
            return ("restore", str(folder), "--engine", "venv")
        case PushResult(kind="image", ref=ref):
            return ("restore", ref)
        case PushResult(ref=ref):
            return ("restore", ref, "--engine", "venv")
