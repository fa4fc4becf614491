"""Train on several devices of a target at once, one process each, and read what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.causes import find_cause
from snapenv.errors import SmokeTrainError
from snapenv.model.fingerprint import Fingerprint, Ranks, RanksSpeed
from snapenv.travel.answer import is_cpu, last_line, progress_of, read_answer, run, visible
from snapenv.verify.smoke_train import ENVIRONMENT

if TYPE_CHECKING:
    from snapenv.ports import Target, Task

LIMIT_S = 60.0
"""How long all ranks may stand at the same place before whoever is behind counts as missing."""

_MARK = "snapenv-ranks: "
_FEWEST = 2


class MissingRanks(Struct, frozen=True, kw_only=True):
    """Ranks that did not come along, while the others waited."""

    ranks: tuple[int, ...]  # from 0; empty where all stood at the same place
    doing: str  # "step 5: backward"
    why: str


class Measured(Struct, frozen=True, kw_only=True):
    """What all ranks came to."""

    ranks: Ranks
    speed: RanksSpeed


class RanksAnswer(Struct, frozen=True, kw_only=True):
    """What came of it; both are None where there were fewer than two devices."""

    seen: int  # devices, as torch counts them
    measured: Measured | None = None
    missing: MissingRanks | None = None

    def added_to(self, fingerprint: Fingerprint) -> Fingerprint:
        """Return a fingerprint of one device with what several came to."""
        if self.measured is None:
            return fingerprint
        speed = fingerprint.speed and replace(fingerprint.speed, ranks=self.measured.speed)
        return replace(fingerprint, ranks=self.measured.ranks, speed=speed)


def count_ranks(device: str, *, gpus: int) -> int:
    """Return how many ranks a device such as ``0,1`` or ``all`` asks for; 0 for just one device.

    ``gpus`` are those that are there, as ``all`` does not say how many.
    """
    count = gpus if device == "all" else len(device.split(","))
    return count if count >= _FEWEST else 0


def train_ranks(
    target: Target, *, device: str, task: Task, limit_s: float = LIMIT_S
) -> RanksAnswer:
    """Add up, send and train on all of ``all``, ``0,1`` or, for tests, ``cpu,cpu``.

    It ends within ``limit_s`` of the last thing that any rank did, plus five minutes in which
    the ranks start.

    Raises:
        SmokeTrainError: There is no answer, not even of who is missing.
        InterpreterError: The target's interpreter cannot be executed.
        EngineError: The container ended before the program did.
    """
    # Which rank a process is, it is told otherwise.
    environment = {name: value for name, value in ENVIRONMENT.items() if "RANK" not in name}
    words = ("--devices", device if is_cpu(device) else "cuda", "--limit-s", str(limit_s))
    done = run(
        target,
        "snapenv_ranks",
        words,
        environment={**environment, **visible(device)},
        on_line=progress_of(_MARK, task),
    )
    if done.exit_code != 0:
        detail = last_line(done.stderr).rpartition(_MARK)[2]
        cause = find_cause(detail)
        raise SmokeTrainError(
            f"the smoke-train on several devices failed: {detail}",
            hint=cause.fix if cause else "Try it with one: --device 0.",
        )
    try:
        return read_answer(done.stdout, _MARK, RanksAnswer)
    except ValueError as error:
        raise SmokeTrainError(
            f"the answer of the smoke-train on several devices cannot be read: {error}",
            hint="Report this as a bug, with the output of the command.",
        ) from error
