"""A snapshot that an earlier capture made, given again where all that it hangs on is the same.

That is every letter of what the probe answered, what was asked for, this program, the credentials
that were looked for, and the indexes that this machine is configured for, whose answers hold for a
day. Nothing of that is read or decided anew then, and what does it is not imported.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.kept import KeptFiles
from snapenv.lock.write import sums_file, write_files
from snapenv.model.outcome import Outcome
from snapenv.model.results import CaptureResult
from snapenv.model.snapshot import SNAPSHOTS, SUMS_FILE
from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.program import code_digest, program_digest
from snapenv.report.summary import summary_lines, summary_warnings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.carried import Content
    from snapenv.ports import Services, Target
    from snapenv.steps.capture_request import Capture

_LARGE_BYTES = 1 << 20


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

    Files that are ``large``, such as rebuilt wheels, are kept each by itself, by their SHA-256:
    the new snapshot shares their bytes with them where the file system can. Texts that a person
    may open in an editor are none of them.
    """

    files: dict[str, bytes]
    large: dict[str, str]
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


def find_lock(name: str, services: Services) -> tuple[Told, Mapping[str, Content]] | None:
    """Return what is kept under a name, if it still holds: what was told, and the files."""
    kept = services.made().find_value(name, LockedBefore)
    if kept is None or time.time() >= kept.until_s:
        return None
    found = _kept_files(services).look_up_all(tuple(kept.large.values()), services.made())
    if found is None:
        return None
    return kept.told, {**kept.files, **dict(zip(kept.large, found, strict=True))}


def keep_lock(
    name: str,
    files: Mapping[str, Content],
    told: Told,
    services: Services,
    *,
    until_s: float | None,
) -> None:
    """Keep a snapshot; where ``until_s`` is None it holds never again.

    One with files that are too large for memory, and not kept already, is not kept.
    """
    sums = files[SUMS_FILE]
    if until_s is None or not isinstance(sums, bytes):
        return
    small = {
        file: content
        for file, content in files.items()
        if isinstance(content, bytes) and (len(content) <= _LARGE_BYTES or "/" not in file)
    }
    small[SUMS_FILE] = sums.partition(b"\n")[2]
    digests = {
        file: digest
        for digest, _, file in (
            line.partition("  ") for line in small[SUMS_FILE].decode().splitlines()
        )
    }
    large = {file: digests[file] for file in files if file not in small}
    kept_files = _kept_files(services)
    for file, digest in large.items():
        content = files[file]
        if isinstance(content, bytes):
            kept_files.keep(digest, content)
        elif kept_files.look_up(digest) is None:
            return
    kept = LockedBefore(files=small, large=large, told=told, until_s=until_s)
    services.made().keep_value(name, kept)


def _kept_files(services: Services) -> KeptFiles:
    return KeptFiles(services.kept("wheels"))


def write_again(
    told: Told,
    files: Mapping[str, Content],
    request: Capture,
    target: Target,
    services: Services,
) -> Outcome[CaptureResult]:
    """Write a snapshot anew, whole or not at all; the caller holds ``request.output``, if given.

    Raises:
        PlaceBusyError: Another command writes its folder.
        PlaceTakenError: The folder exists already.
        WriteError: It cannot be written.
    """
    sums = files[SUMS_FILE]
    assert isinstance(sums, bytes)  # noqa: S101 - as it was kept
    dated = {**files, SUMS_FILE: sums_file(now(), sums)}
    folder = request.output or Path(SNAPSHOTS, told.result.tag)
    with contextlib.ExitStack() as held:
        if not request.output:
            refuse_unwritable(folder)
            held.enter_context(claim_path(services.kept("locks"), folder))
        write_files(dated, folder, scratch=_kept_files(services).folder)
    return tell(told, folder, place(request, target))


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
