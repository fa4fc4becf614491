"""The venv engine: an environment from a lock alone, by uv, without a daemon and without root."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapenv.errors import InstallError, PlaceTakenError, WriteError
from snapenv.model.snapshot import APPLY_OVERLAY, OVERLAY, PYLOCK_FILE, VENDOR
from snapenv.ports import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from snapenv.ports import Completed, Task

_NO_SPACE = "No space left on device"


@dataclass(frozen=True, slots=True)
class UvVenvs:
    """Makes venvs with the uv at ``uv``; ``local`` gives the target of a Python here."""

    uv: str
    local: Callable[[str], Target]

    def create(self, files: Mapping[str, bytes], *, python: str, into: Path, task: Task) -> Target:
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
            self._run(target, (self.uv, "venv", "--quiet", "--python", python, str(into)), task)
            task.note("installing the packages")
            sync = ("pip", "sync", "--require-hashes", "--allow-empty-requirements")
            install = (self.uv, *sync, "--python", target.python, PYLOCK_FILE)
            self._run(target, install, task, _below(files, PYLOCK_FILE, VENDOR))
            if APPLY_OVERLAY in files:
                apply = (target.python, "-B", APPLY_OVERLAY)
                self._run(target, apply, task, _below(files, OVERLAY))
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise
        return target

    def _run(
        self,
        target: Target,
        words: Sequence[str],
        task: Task,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        done = target.run(
            words,
            files=files,
            environment={"NO_COLOR": "1"},
            on_line=lambda line: task.note(line.strip()[:60]),
        )
        if done.exit_code != 0:
            raise _failed(done)


def _below(files: Mapping[str, bytes], *names: str) -> Mapping[str, bytes]:
    return {name: content for name, content in files.items() if name.split("/")[0] in names}


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
        f"the lock could not be installed: {said[-300:]}",
        hint="See that the hosts of pylock.toml answer from here.",
    )
