"""The page about a proof: what stands in it, and where it is written."""

from __future__ import annotations

import errno
import os
import tempfile
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from snapenv.content import replace_file
from snapenv.errors import WriteError
from snapenv.model.report import Report, Row
from snapenv.secrets.model import Location
from snapenv.secrets.refuse import refuse_leaks
from snapenv.secrets.search import find_leaks
from snapenv.verify.differences import differences, sections

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.facts import Facts
    from snapenv.model.hardware import Hardware
    from snapenv.model.outcome import Outcome
    from snapenv.model.results.proof import ProofResult
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services
    from snapenv.steps.prove import Proved


def proof_report(
    snapshot: Snapshot,
    proved: Proved,
    outcome: Outcome[ProofResult],
    *,
    restored_in: str,
    now: datetime,
) -> Report:
    """Put together what a proof has found; ``restored_in`` is where it was brought back."""
    facts = snapshot.lock.facts
    return Report(
        title=snapshot.lock.tag,
        verdict=proved.verdict,
        tier=proved.tier,
        snapshot=snapshot.digest,
        image=outcome.result.image,
        image_digest=outcome.result.digest,
        captured_at=snapshot.captured_at,
        restored_at=now.astimezone(timezone.utc).isoformat(timespec="seconds"),
        restored_in=restored_in,
        expected=proved.baseline,
        actual=proved.fingerprint,
        limits=proved.limits,
        checks=outcome.checks,
        warnings=outcome.warnings,
        differences=tuple(
            one for one in sections(differences(facts, proved.facts)) if one.differences
        ),
        machines=tuple(_machines(facts, proved.facts)),
        energy=proved.energy,
    )


def check_place(path: Path | None) -> None:
    """See that a page can be written there, before the long work of which it is to tell.

    Raises:
        WriteError: It cannot.
    """
    if path is None:
        return
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_report(path: Path, report: Report, services: Services) -> None:
    """Write the page, whole or not at all, in the place of one that is there.

    Raises:
        LeakError: It would hold a secret.
        WriteError: It cannot be written.
    """
    from snapenv.report.html import report_html  # Jinja takes longer than all before it

    page = report_html(report)
    refuse_leaks(find_leaks(Location(name=str(path)), [page], services.secrets()), allowed=())
    try:
        replace_file(path, page, mode=0o666)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"cannot write {path}: {error.strerror}", hint="Name another place with --report."
    )


def _machines(captured: Facts, current: Facts) -> Iterator[Row]:
    expected, actual = dict(_machine(captured.hardware)), dict(_machine(current.hardware))
    for label in dict.fromkeys((*expected, *actual)):
        yield Row(label=label, expected=expected.get(label), actual=actual.get(label))


def _machine(hardware: Hardware) -> Iterator[tuple[str, str]]:
    """Give what people ask of a machine first, by its name."""
    system, driver = hardware.system, hardware.driver
    for number, gpu in hardware.numbered_gpus:
        memory = f", {gpu.memory_mib / 1024:.0f} GiB" if gpu.memory_mib else ""
        yield f"GPU {number}", gpu.name + memory
    for fault in hardware.gpu_faults:
        yield f"GPU {fault.number}", f"does not answer: {fault.error}"
    if driver:
        cuda = f", CUDA {driver.cuda[0]}.{driver.cuda[1]}" if driver.cuda else ""
        yield "driver", driver.version + cuda
    if hardware.driver_fault:
        yield "driver", f"does not answer: {hardware.driver_fault.error}"
    yield "processor", f"{system.cpu_count} x {system.cpu or system.machine}"
    yield "system", system.os
    if system.shm_bytes:
        yield "shared memory", f"{system.shm_bytes / 2**20:.0f} MiB"
