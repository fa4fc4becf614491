"""What is rendered for other systems, and from what: ``snapenv render``."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.image import ImageRef
from snapenv.model.launch import Launch
from snapenv.model.needs_label import NeedsLabel

PROJECT = "/workspace"
"""Where the project lies inside, unless the user names a folder of the other machine."""


class TargetOptions(Struct, frozen=True, kw_only=True):
    """What a user may ask of one target alone; each target has its own."""


class Workload(Struct, frozen=True, kw_only=True):
    """What every target is rendered from; all of it is parsed.

    ``launch`` is for a machine that is not known: its run has no id, its user is None unless one
    is named, its variables take none away, and its mounts are those that the user named. The
    project is not among them: each target has it from somewhere else, and mounts it at
    ``launch.folder``. No command is an empty ``argv``.
    """

    image: ImageRef  # with its tag and its digest
    snapshot: str | None  # the digest of the snapshot in it
    launch: Launch
    label: NeedsLabel
    program: str  # "snapenv 0.1.0", which renders
    runs: str  # the folder of results, inside
    project_folder: str | None = None  # of the other machine; None leaves it to the target


class RenderedFile(Struct, frozen=True, kw_only=True):
    """One text file; ``name`` is its path below the output folder, with ``/`` between."""

    name: str
    content: str
    executable: bool = False


class Rendered(Struct, frozen=True, kw_only=True):
    """The files of one target, and the command that people type next, in the output folder."""

    files: tuple[RenderedFile, ...]
    start: str
    notes: tuple[str, ...] = ()  # what to look out for
