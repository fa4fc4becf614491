"""A snapshot that an earlier capture made, given again where all that it hangs on is the same.

That is every letter of what the probe answered, what was asked for, this program, the credentials
that were looked for, and the indexes that this machine is configured for, whose answers hold for a
day. Nothing of that is read or decided anew then, and what does it is not imported.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.lock.write import sums_file, write_files
from snapenv.model.outcome import Outcome
from snapenv.model.results import CaptureResult
from snapenv.model.snapshot import SNAPSHOTS, SUMS_FILE
from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.program import code_digest, program_digest
from snapenv.report.summary import summary_lines, summary_warnings
from snapenv.threads import do_at_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.carried import Content
    from snapenv.ports import Services, Target
    from snapenv.steps.capture_request import Capture

_LARGE_BYTES = 1 << 20
_READERS = 4  # threads that hash


class Told(Struct, frozen=True, kw_only=True):
    """What a capture tells of a lock, wherever its snapshot and its environment are.

    ``path`` and ``python`` of the result are empty.
    """

    result: CaptureResult
    lines: tuple[str, ...]  # of what is locked
    of_base: tuple[str, ...]  # warnings
    notes: tuple[str, ...]  # more of them


class LockedBefore(Struct, frozen=True, kw_only=True):
    """A snapshot as it is kept, without the first line of SHA256SUMS, which is new each time.

    Files that are ``large``, such as rebuilt wheels, are kept each by itself, as they are.
    """

    files: dict[str, bytes]
    large: tuple[str, ...] = ()
    told: Told
    until_s: float  # since 1970; then an index may say something else


def name_lock(request: Capture, answer: str, services: Services) -> str:
    """Name a lock by all that it hangs on; no credential can be told from the name."""
    settings = services.wheels.uv_settings("ask")
    asked_for = replace(request, output=None, rehash=False)
    return services.made().namer()(
        "locked",
        program_digest(),
        answer,
        msgspec.json.encode(asked_for),
        repr([(secret.value, secret.what) for secret in services.secrets()]),
        repr(sorted(settings.variables.items())),
        settings.config,
        code_digest(Path(services.uv())),
    )


def find_lock(name: str, services: Services) -> LockedBefore | None:
    """Return what is kept under a name, if it still holds."""
    made = services.made()
    kept = made.find_value(name, LockedBefore)
    if kept is None or time.time() >= kept.until_s:
        return None
    found = do_at_once(lambda file: made.find(_name_of_file(name, file)), kept.large, most=_READERS)
    large = {file: content for file, content in zip(kept.large, found, strict=True) if content}
    if len(large) != len(kept.large):
        return None
    return replace(kept, files={**kept.files, **large})


def keep_lock(
    name: str,
    files: Mapping[str, Content],
    told: Told,
    services: Services,
    *,
    until_s: float | None,
) -> None:
    """Keep a snapshot, but one with files that are too large for memory; None is never again."""
    whole = {name: content for name, content in files.items() if isinstance(content, bytes)}
    if until_s is None or len(whole) != len(files):
        return
    whole[SUMS_FILE] = whole[SUMS_FILE].partition(b"\n")[2]
    made = services.made()
    large = {file: whole.pop(file) for file in files if len(whole[file]) > _LARGE_BYTES}
    for file, content in large.items():
        made.keep(_name_of_file(name, file), content)
    kept = LockedBefore(files=whole, large=tuple(large), told=told, until_s=until_s)
    made.keep_value(name, kept)


def _name_of_file(name: str, file: str) -> str:
    return sha256(f"{name} {file}".encode()).hexdigest()


def write_again(
    kept: LockedBefore, request: Capture, target: Target, services: Services
) -> Outcome[CaptureResult]:
    """Write a snapshot anew, whole or not at all; the caller holds ``request.output``, if given.

    Raises:
        PlaceBusyError: Another command writes its folder.
        PlaceTakenError: The folder exists already.
        WriteError: It cannot be written.
    """
    if request.output:
        return _write(kept, request, request.output, target)
    folder = Path(SNAPSHOTS, kept.told.result.tag)
    refuse_unwritable(folder)
    with claim_path(services.kept("locks"), folder):
        return _write(kept, request, folder, target)


def _write(
    kept: LockedBefore, request: Capture, folder: Path, target: Target
) -> Outcome[CaptureResult]:
    sums = sums_file(now(), kept.files[SUMS_FILE])
    write_files({**kept.files, SUMS_FILE: sums}, folder)
    return tell(kept.told, folder, place(request, target))


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def tell(told: Told, folder: Path, python: str) -> Outcome[CaptureResult]:
    """Return the answer of a capture into a folder, of the Python at a place."""
    result = replace(told.result, path=str(folder), python=python)
    return Outcome(
        command="capture",
        result=result,
        lines=(
            *summary_lines(result),
            *told.lines,
            f"{result.tag} is locked in {result.path}",
            f"digest {result.digest}",
        ),
        warnings=(*told.of_base, *summary_warnings(result), *told.notes),
    )


def place(request: Capture, target: Target) -> str:
    """Name the interpreter that was looked at; it is told, and not written down."""
    if request.container:
        return f"{target.python} in container {request.container}"
    return f"{target.python} on {request.ssh}" if request.ssh else target.python
