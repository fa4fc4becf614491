"""The run that continues the training of an earlier one. Pure: values in, a launch out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.launch.choose import scratch_folder
from snapenv.model.launch import CREATED_LABEL, RUN_LABEL, InVenv
from snapenv.model.snapshot import IMAGE_PYTHON

if TYPE_CHECKING:
    from snapenv.model.launch import Launch, Mount


class Changes(Struct, frozen=True, kw_only=True):
    """What a user may change of a run that is continued; None leaves it."""

    memory_bytes: int | None = None
    shm_bytes: int | None = None
    data: tuple[Path, ...] = ()  # where the folders of data are now, in the order of then


def program_path(launch: Launch) -> str:
    """Return where the program that continues trainings lies inside."""
    return f"{scratch_folder(launch)}/snapenv_resume.pyz"


def program_words(launch: Launch, *words: str) -> tuple[str, ...]:
    """Return the command line of the program that continues trainings."""
    place = launch.place
    python = f"{place.folder}/bin/python" if isinstance(place, InVenv) else IMAGE_PYTHON
    return (python, "-B", program_path(launch), *words)


def continue_launch(launch: Launch, changes: Changes, *, training: str, program: bytes) -> Launch:
    """Return what continues the training in a folder as it was started, but for changes.

    Raises:
        UsageError: The data of then cannot be told from what is named now.
    """
    mounts, moved = _moved_data(launch, changes.data)
    return replace(
        launch,
        argv=program_words(launch, training, *moved),
        files={**launch.files, program_path(launch): program},
        mounts=mounts,
        memory_bytes=changes.memory_bytes or launch.memory_bytes,
        shm_bytes=changes.shm_bytes or launch.shm_bytes,
        tty=False,
        stdin=False,
    )


def same_launch(earlier: Launch, *, run: str, created: str) -> Launch:
    """Return the launch of another run of the same; in a venv its files name the run."""
    old, place = scratch_folder(earlier), f"/{earlier.run}/"
    new = old.replace(place, f"/{run}/")
    return replace(
        earlier,
        run=run,
        labels={**earlier.labels, RUN_LABEL: run, CREATED_LABEL: created},
        files={_moved(path, old, new): content for path, content in earlier.files.items()},
        variables={
            name: value and _moved(value, old, new) for name, value in earlier.variables.items()
        },
    )


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if path == old or path.startswith(f"{old}/") else path


def _moved_data(
    launch: Launch, data: tuple[Path, ...]
) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """Return the mounts with the data where they are now, and words that say what has moved."""
    if not data:
        return launch.mounts, ()
    then = [mount for mount in launch.mounts if mount.read_only and mount.source == mount.target]
    if len(then) != len(data):
        raise UsageError(
            f"the run had {len(then)} --data, and {len(data)} are named now",
            hint="Name each of them, in the same order; or leave --data out.",
        )
    now = {old.source: str(new) for old, new in zip(then, data, strict=True)}
    mounts = tuple(
        replace(mount, source=now[mount.source], target=now[mount.source])
        if mount in then
        else mount
        for mount in launch.mounts
    )
    return mounts, tuple(word for pair in now.items() for word in ("--moved", *pair))
