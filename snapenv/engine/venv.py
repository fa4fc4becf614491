"""The venv engine: an environment from a lock alone, by uv, without a daemon and without root."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapenv.errors import InstallError, PlaceTakenError, WriteError
from snapenv.ports import Target

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Completed, Task

_NO_SPACE = "No space left on device"


@dataclass(frozen=True, slots=True)
class UvVenvs:
    """Makes venvs with the uv at ``uv``; ``local`` gives the target of a Python here."""

    uv: str
    local: Callable[[str], Target]

    def create(self, pylock: bytes, *, python: str, into: Path, task: Task) -> Target:
        """Make a venv as ``ports.Venvs`` says."""
        into = into.absolute()
        if _is_taken(into):
            raise PlaceTakenError(
                f"{into} exists and is no empty folder",
                hint="Give another folder with --into, or remove this one.",
            )
        target = self.local(str(into / "bin" / "python"))
        try:
            task.note(f"Python {python}")
            self._run(target, "venv", "--quiet", "--python", python, str(into), task=task)
            task.note("installing the packages")
            self._run(
                target,
                *("pip", "sync", "--require-hashes", "--allow-empty-requirements"),
                *("--python", target.python, "pylock.toml"),
                pylock=pylock,
                task=task,
            )
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise
        return target

    def _run(self, target: Target, *words: str, task: Task, pylock: bytes = b"") -> None:
        done = target.run(
            (self.uv, *words),
            files={"pylock.toml": pylock},
            environment={"NO_COLOR": "1"},
            on_line=lambda line: task.note(line.strip()[:60]),
        )
        if done.exit_code != 0:
            raise _failed(done)


def _is_taken(place: Path) -> bool:
    try:
        return any(place.iterdir())
    except NotADirectoryError:
        return True
    except OSError:
        return False  # what is wrong with this place uv will say


def _failed(done: Completed) -> InstallError | WriteError:
    said = " ".join(done.stderr.split())
    if _NO_SPACE in said:
        return WriteError(
            "the disk is full: uv could not write the packages",
            hint="Free some space; nothing was left behind.",
        )
    if "No interpreter found" in said:
        return InstallError(
            said.removeprefix("error: "),
            hint="Install that Python, or restore with --engine docker.",
        )
    return InstallError(
        f"uv could not install the lock: {said[-300:]}",
        hint="See that the hosts of pylock.toml answer from here.",
    )
