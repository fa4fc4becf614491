"""Train YOLOv8 for a few steps on a target, and read the losses."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.causes import find_cause
from snapenv.errors import SmokeTrainError
from snapenv.model.fingerprint import Fingerprint
from snapenv.nvidia import advice
from snapenv.travel.answer import (
    TRAINING_ENVIRONMENT,
    is_cpu,
    progress_of,
    read_answer,
    run,
    visible,
)

if TYPE_CHECKING:
    from snapenv.ports import Completed, Target, Task

_MARK = "snapenv-smoke-train: "  # before the answer on stdout, and each of our lines on stderr

ENVIRONMENT = {
    **TRAINING_ENVIRONMENT,
    # The same arithmetic everywhere. cuBLAS reads its own when the first handle is made.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}


class _Reason(Struct, frozen=True):
    """How an exit code of snapenv_train.failures is told; both may name {python} and {detail}."""

    message: str
    hint: str


_REASONS = {
    3: _Reason(
        "ultralytics is not installed in the environment of {python}",
        "Install ultralytics there, or leave the smoke-train out with --no-smoke.",
    ),
    4: _Reason(
        "torch is not installed in the environment of {python}",
        "Install torch there, or leave the smoke-train out with --no-smoke.",
    ),
    5: _Reason(
        "OpenCV cannot be imported by {python}: {detail}",
        "Run apt-get install libgl1 libglib2.0-0 there, or use opencv-python-headless "
        "instead of opencv-python.",
    ),
    6: _Reason(
        "a GPU was asked for and torch sees none: {detail}",
        f"Run nvidia-smi there; for a container, check that it was given the GPUs. {advice.OR_CPU}",
    ),
    7: _Reason(
        "the smoke-train was not the one that was asked for: {detail}",
        "Free the GPU's memory: ultralytics makes the batch smaller when it runs out.",
    ),
    8: _Reason(
        "the smoke-train does not converge: {detail}",
        "Check the GPU's health and whether files of torch or ultralytics were edited.",
    ),
    9: _Reason(
        "packages changed while the smoke-train ran: {detail}",
        "Stop whatever installs packages in this environment, and try again.",
    ),
}
_NO_GPU = 6  # the exit code
_LAST_LINES = 8
_SIGNAL_HINT = "See the kernel log of that machine: dmesg"
_CRASH_HINT = "Train for one epoch in this environment yourself: it does not train."


def smoke_train(target: Target, *, device: str, task: Task) -> Fingerprint:
    """Train for about ten seconds on ``cpu``, ``all`` or GPU numbers (their first), or ``auto``.

    Nothing is fetched and nothing stays behind.

    Raises:
        SmokeTrainError: The environment cannot train, or did not train what was asked for.
        InterpreterError: The target's interpreter cannot be executed.
        EngineError: The container ended before the program did.
    """
    word = "cpu" if is_cpu(device) else device if device == "auto" else "cuda"
    done = run(
        target,
        "snapenv_train",
        ("--device", word),
        environment={**ENVIRONMENT, **visible(device)},
        on_line=progress_of(_MARK, task),
    )
    if done.exit_code != 0:
        raise explain_failure(done, python=target.python)
    return parse_fingerprint(done.stdout)


def parse_fingerprint(stdout: str) -> Fingerprint:
    """Read the marked line of the program's answer.

    Raises:
        SmokeTrainError: There is not exactly one such line, or a field is missing or wrong.
    """
    try:
        return read_answer(stdout, _MARK, Fingerprint)
    except ValueError as error:
        raise SmokeTrainError(
            f"the smoke-train's answer cannot be read: {error}",
            hint="Report this as a bug, with the output of the command.",
        ) from error


def explain_failure(done: Completed, *, python: str) -> SmokeTrainError:
    """Say why a smoke-train ended without an answer."""
    detail = _last_line(done.stderr)
    known = _REASONS.get(done.exit_code)
    if known:
        cause = find_cause(detail) if done.exit_code == _NO_GPU else None
        return SmokeTrainError(
            known.message.format(python=python, detail=detail),
            hint=f"{cause.fix} {advice.OR_CPU}" if cause else known.hint,
        )
    number = -done.exit_code if done.exit_code < 0 else done.exit_code - 128  # shell's, engine's
    if number not in signal.valid_signals():
        cause = find_cause(detail)
        why = f", as {cause.reason}" if cause else ""
        return SmokeTrainError(
            f"the smoke-train failed{why}: {detail}", hint=cause.fix if cause else _CRASH_HINT
        )
    # What ends by a signal says at times before why: a thread that could not be started.
    cause = find_cause(_tail(done.stderr)) or find_cause(signal.strsignal(number) or "")
    name = signal.Signals(number).name
    why = f", as {cause.reason}" if cause else ""
    return SmokeTrainError(
        f"the smoke-train was killed by {name}{why}", hint=cause.fix if cause else _SIGNAL_HINT
    )


def _tail(stderr: str) -> str:
    """Return the last lines that the packages printed; ours are what was being done."""
    lines = [line for line in stderr.splitlines() if _MARK not in line]
    return "\n".join(lines[-_LAST_LINES:])


def _last_line(stderr: str) -> str:
    """Return our own last line where there is one, else the last that says anything.

    Ours may stand behind a progress bar of ultralytics.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    ours = [line.rpartition(_MARK)[2] for line in lines if _MARK in line]
    return (ours or lines or ["no output"])[-1]
