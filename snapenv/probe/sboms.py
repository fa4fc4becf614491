"""Ask an environment for the bills of materials that its wheels carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import ProbeError
from snapenv.model.wheel_sbom import WheelSbom
from snapenv.travel.answer import AnswerError, last_line, read_answer, run

if TYPE_CHECKING:
    from snapenv.ports import Target

_MARK = "snapenv-sboms: "


def find_sboms(target: Target) -> tuple[WheelSbom, ...]:
    """Return them sorted by distribution and path; what they hold is up to whoever built a wheel.

    Raises:
        ProbeError: They cannot be read.
        InterpreterError, EngineError: The environment's Python does not run.
    """
    done = run(target, "snapenv_probe", ("--sboms",))
    if done.exit_code != 0:
        raise _failed(last_line(done.stderr))
    try:
        return read_answer(done.stdout, _MARK, tuple[WheelSbom, ...])
    except AnswerError as error:
        raise _failed(str(error)) from error


def _failed(why: str) -> ProbeError:
    return ProbeError(
        f"the SBOMs that packages carry cannot be read: {why}",
        hint="See that *.dist-info/sboms in site-packages can be read there.",
    )
