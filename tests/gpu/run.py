"""Run every part within its time and the whole's, and keep a record of what each had."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from snapenv import __version__
from tests.gpu.budget import WHOLE_S, allot
from tests.gpu.parts import PARTS, Context
from tests.gpu.record import Part, Record, clean, write_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.gpu.record import Outcome

_ROOT = Path(__file__).parents[2]
_LOOK_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run is to do."""

    output: Path  # the folder of the record
    name: str  # of the record
    python: Path  # of the environment
    environment: Path | None = None  # packages that it lacks, carried
    another: Path | None = None  # another ultralytics, carried
    rehearse: bool = False  # on the CPU, whatever is there
    budget_s: float = WHOLE_S
    parts: Sequence[str] = tuple(PARTS)
    repeats: int = 20
    planted: int = 5
    only: tuple[str, ...] = ()


def run(asked: Asked) -> Record:
    """Run the parts, and write the record after each; a part that fails ends nothing."""
    began = time.monotonic()
    record = Record(
        name=asked.name,
        at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        rehearsal=asked.rehearse,
        snapenv=__version__,
    )
    with tempfile.TemporaryDirectory(prefix="snapenv-gpu-") as folder:
        for name in asked.parts:
            left_s = asked.budget_s - (time.monotonic() - began)
            record = _with_part(record, name, asked, Path(folder), left_s)
            seconds = round(time.monotonic() - began, 1)
            record = msgspec.structs.replace(record, seconds=seconds)
            write_record(record, asked.output)
            _say(record.parts[-1])
    return record


def _with_part(record: Record, name: str, asked: Asked, folder: Path, left_s: float) -> Record:
    _, limits = PARTS[name]
    limit_s = allot(limits, left_s)
    if limit_s is None:
        return _added(record, {}, Part(name=name, outcome="skipped", why="skipped: time"))
    if name not in {"baseline", "machine"} and record.baseline is None:
        return _added(record, {}, Part(name=name, outcome="skipped", why="there is no baseline"))
    context = _context(record, asked, folder)
    began = time.monotonic()
    lines, code, is_late = _in_process(name, context, folder, limit_s)
    told = join_told(lines)
    outcome, why = told.pop("ended", None) or _unended(code, is_late=is_late, limit_s=limit_s)
    part = Part(
        name=name,
        outcome=outcome,
        why=clean(why),
        seconds=round(time.monotonic() - began, 1),
    )
    try:
        return _added(record, told, part)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        odd = Part(name=name, outcome="failed", why=clean(f"what it told is odd: {error}"))
        return _added(record, {}, msgspec.structs.replace(odd, seconds=part.seconds))


def _added(record: Record, told: Mapping[str, Any], part: Part) -> Record:
    """Return a record with what a part told; a record of a CPU is a rehearsal.

    Raises:
        msgspec.ValidationError: It is not of the record's form.
    """
    document = {**msgspec.to_builtins(record), **clean(told)}
    document["planted"] = [*msgspec.to_builtins(record.planted), *clean(told.get("planted", []))]
    document["parts"] = [*document["parts"], msgspec.to_builtins(part)]
    added = msgspec.convert(document, Record)
    on_cpu = added.device == "cpu"
    return msgspec.structs.replace(added, rehearsal=added.rehearsal or on_cpu)


def _context(record: Record, asked: Asked, folder: Path) -> Context:
    device = "cpu" if asked.rehearse else "auto"
    if record.baseline:
        device = "cpu" if record.device == "cpu" else "0"
    return Context(
        python=str(_interpreter(asked, folder)),
        folder=str(folder),
        device=device,
        gpus=len(record.machine.gpus) if record.machine else 0,
        repeats=asked.repeats,
        planted=asked.planted,
        only=asked.only,
        another=str(asked.another or ""),
        baseline=record.baseline,
    )


def _interpreter(asked: Asked, folder: Path) -> Path:
    """Return the environment's Python; with packages that are carried, a script that adds them.

    So nothing is put into an environment that is measured.
    """
    if asked.environment is None:
        return asked.python
    script = folder / "environment" / "bin" / "python"
    if not script.exists():
        script.parent.mkdir(parents=True)
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{asked.environment}${{PYTHONPATH:+:$PYTHONPATH}}" '
            f'exec "{asked.python}" "$@"\n'
        )
        script.chmod(0o755)
    return script


def _in_process(
    name: str, context: Context, folder: Path, limit_s: float
) -> tuple[list[str], int | None, bool]:
    """Run a part in a session of its own; return its lines, exit code, and whether it was ended.

    What it has started ends with it: snapenv's guardian sees to those that have own sessions.
    """
    told, given = folder / f"{name}.told", folder / f"{name}.json"
    told.touch()
    document = {**asdict(context), "baseline": msgspec.to_builtins(context.baseline)}
    given.write_text(json.dumps(document))
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.gpu", "part", name, str(given), str(told)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        until = time.monotonic() + limit_s
        try:
            while process.poll() is None and time.monotonic() < until:
                time.sleep(_LOOK_S)
            is_late = process.poll() is None
        finally:
            _end(process)
    return told.read_text(errors="replace").splitlines(), process.returncode, is_late


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def join_told(lines: Sequence[str]) -> dict[str, Any]:
    """Join what was told: a list is added to, anything else is put in the place of what was."""
    told: dict[str, Any] = {}
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:  # cut off in the middle of a line
            continue
        for name, value in values.items():
            if isinstance(value, list) and name != "ended":
                told[name] = [*told.get(name, []), *value]
            else:
                told[name] = value
    return told


def _unended(code: int | None, *, is_late: bool, limit_s: float) -> tuple[Outcome, str]:
    if is_late:
        return "cut off", f"it took more than {limit_s:.0f} s"
    return "failed", f"its process ended with {code} and told nothing"


def _say(part: Part) -> None:
    why = f": {part.why}" if part.why else ""
    print(f"{part.name:20} {part.outcome:14} {part.seconds:6.1f} s{why}", flush=True)


def give_name(asked: Asked, record: Record) -> Record:
    """Return a record named by what trained, where no name was given: ``nvidia-h200-torch2.11``."""
    if asked.name != "unnamed" or record.baseline is None:
        return record
    conditions = record.baseline.conditions
    words = f"{conditions.device} torch{conditions.torch.partition('+')[0]}"
    name = "-".join("".join(c if c.isalnum() or c in ".-" else " " for c in words.lower()).split())
    (asked.output / f"{record.name}.json").unlink(missing_ok=True)
    named = msgspec.structs.replace(record, name=name)
    write_record(named, asked.output)
    return named
