"""Run a program where an environment is, and find what it answers.

An answer is one line of JSON that starts with a mark, since an image's entrypoint may print a
banner before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from snapenv.json_text import read_json
from snapenv.travel.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

    from snapenv.model.carried import Content
    from snapenv.ports import Completed, Target, Task
    from snapenv.travel.pack import Program

T = TypeVar("T")

TRAINING_ENVIRONMENT = {
    # No network, no package that changes itself, no window.
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLOv5_AUTOINSTALL": "false",
    "WANDB_MODE": "disabled",
    "COMET_MODE": "disabled",
    "MPLBACKEND": "Agg",
    # One process, whatever a launcher of distributed training left behind.
    "RANK": "-1",
    "LOCAL_RANK": "-1",
    "WORLD_SIZE": "1",
    "LOGNAME": "snapenv",  # a container's user may have no name, and torch asks for it
}
"""For programs that use ultralytics."""


class AnswerError(ValueError):
    """What a program printed is no answer; the message says why, such as where JSON is wrong."""


def run(  # noqa: PLR0913 - what ports.Target takes
    target: Target,
    program: Program,
    arguments: Sequence[str] = (),
    *,
    packed: bytes | None = None,
    flags: Sequence[str] = (),
    files: Mapping[str, Content] | None = None,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    stdout: BinaryIO | None = None,
) -> Completed:
    """Send a program, ``packed`` already or not, run it with the target's Python, and wait.

    ``flags`` are the interpreter's. The rest is as ``ports.Target.run`` has it.

    Raises:
        InterpreterError: The target's interpreter cannot be executed.
        EngineError: The container ended before the program did.
    """
    archive = f"{program}.pyz"
    sent: dict[str, Content] = {archive: packed or pack(program), **(files or {})}
    return target.run(
        (target.python, *flags, "-B", archive, *arguments),
        files=sent,
        environment=environment,
        on_line=on_line,
        stdout=stdout,
    )


def is_cpu(device: str) -> bool:
    """Return whether a device is the processor: ``cpu``, or ``cpu,cpu`` for two ranks on it."""
    return set(device.split(",")) == {"cpu"}


def visible(device: str) -> dict[str, str]:
    """Return the variable that shows CUDA the GPUs which were named, and no other."""
    named = not (is_cpu(device) or device in {"auto", "all"})
    return {"CUDA_VISIBLE_DEVICES": device} if named else {}


def progress_of(mark: str, task: Task) -> Callable[[str], None]:
    """Return what hears a program's stderr, and tells a task what follows the mark in a line.

    The mark may stand behind a progress bar of another package.
    """

    def hear(line: str) -> None:
        _, is_marked, text = line.rpartition(mark)
        if is_marked:
            task.note(text)

    return hear


def find_answers(stdout: str, mark: str) -> list[str]:
    """Return what follows the mark in each line that starts with it."""
    return [line[len(mark) :] for line in stdout.split("\n") if line.startswith(mark)]


def read_answer(stdout: str, mark: str, kind: type[T]) -> T:
    """Read the one answer in an output.

    Raises:
        AnswerError: There is none or more than one, or it is of another form.
    """
    answers = find_answers(stdout, mark)
    if len(answers) != 1:
        raise AnswerError(f"{len(answers)} answers instead of one")
    try:
        return read_json(answers[0], kind)
    except ValueError as error:
        raise AnswerError(_located(error)) from error


def last_line(stderr: str) -> str:
    """Return the last line of what a program printed, which says why it failed."""
    return (stderr.strip() or "it printed nothing").splitlines()[-1]


def _located(error: Exception) -> str:
    """Name the place first: ``environment.torch.version: Expected `str`, got `int```."""
    what, _, path = str(error).partition(" - at `$.")
    return f"{path.rstrip('`')}: {what}" if path else what
