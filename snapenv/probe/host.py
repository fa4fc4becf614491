"""Look at the machine itself: its hardware, and how its GPUs get into containers.

It is the third mode of the probe, and takes a tenth of the time of a look at an environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import ProbeError
from snapenv.kept import Kept
from snapenv.model.hardware import Hardware
from snapenv.model.host import GpuPlumbing, GpuState
from snapenv.travel.answer import AnswerError, last_line, read_answer, run
from snapenv.travel.pack import pack_compiled

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Completed, Target

MARK = "snapenv-host: "


class Machine(Struct, frozen=True, kw_only=True):
    """One look at a machine."""

    hardware: Hardware
    plumbing: GpuPlumbing
    gpu_states: tuple[GpuState, ...] = ()


def probe_host(target: Target, *, root: str = "/", hashes: Path | None = None) -> Machine:
    """Look at the machine that a target is on; ``root`` is where its files of devices lie.

    ``hashes`` is the folder of ``look`` for this program as a target of this machine compiles it.

    Raises:
        InterpreterError: The target's program is not there.
        ProbeError: The probe failed on the target, or its answer cannot be read.
    """
    compiled = pack_compiled("snapenv_probe", target, Kept(hashes)) if hashes else None
    done = run(target, "snapenv_probe", ("--host", root), packed=compiled, flags=("-I", "-S"))
    return _parse(done, target.python)


def _parse(done: Completed, python: str) -> Machine:
    if done.exit_code or not done.stdout:
        raise ProbeError(
            f"the probe of this machine exited with {done.exit_code} on {python}: "
            f"{last_line(done.stderr)}",
            hint=f"See that {python} -c 'import json, ctypes' works.",
        )
    try:
        return read_answer(done.stdout, MARK, Machine)
    except AnswerError as error:
        raise ProbeError(
            f"the answer of the probe of this machine cannot be read: {error}",
            hint="This is a bug in snapenv; please report it with this message.",
        ) from error
