"""Look at the machine itself: its hardware, and how its GPUs get into containers.

It is the third mode of the probe, and takes a tenth of the time of a look at an environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from snapenv.errors import ProbeError
from snapenv.model.hardware import Hardware
from snapenv.model.host import GpuPlumbing, GpuState
from snapenv.probe.program import pack_probe

if TYPE_CHECKING:
    from snapenv.ports import Completed, Target

MARK = "snapenv-host: "
_PROGRAM = "host.pyz"


class Machine(Struct, frozen=True, kw_only=True):
    """One look at a machine."""

    hardware: Hardware
    plumbing: GpuPlumbing
    gpu_states: tuple[GpuState, ...] = ()


def probe_host(target: Target, *, root: str = "/") -> Machine:
    """Look at the machine that a target is on; ``root`` is where its files of devices lie.

    Raises:
        InterpreterError: The target's program is not there.
        ProbeError: The probe failed over there, or its answer cannot be read.
    """
    words = (target.python, "-I", "-S", "-B", _PROGRAM, "--host", root)
    return _parse(target.run(words, files={_PROGRAM: pack_probe()}), target.python)


def probe_plumbing(target: Target, *, root: str = "/") -> GpuPlumbing:
    """Look at how the GPUs of a target's machine get into containers.

    Raises:
        InterpreterError: The target's program is not there.
        ProbeError: The probe failed over there, or its answer cannot be read.
    """
    return probe_host(target, root=root).plumbing


def _parse(done: Completed, python: str) -> Machine:
    answers = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.exit_code or len(answers) != 1:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise ProbeError(
            f"the look at this machine exited with {done.exit_code} on {python}: {last}",
            hint=f"See that {python} -c 'import json, ctypes' works.",
        )
    try:
        return msgspec.json.decode(answers[0].removeprefix(MARK), type=Machine)
    except msgspec.MsgspecError as error:
        raise ProbeError(
            f"the look at this machine cannot be read: {error}",
            hint="This is a bug in snapenv; please report it with this message.",
        ) from error
