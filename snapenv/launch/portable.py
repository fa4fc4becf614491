"""Decide how a program runs on a machine that is not known: a Launch to render files from."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from snapenv.errors import UsageError
from snapenv.launch.choose import (
    LOCKED_IN,
    STACK,
    LaunchOptions,
    declared_labels,
    refuse_small_memory,
    refuse_target,
    shm_bytes,
    thread_variables,
    with_cpus,
)
from snapenv.model.launch import InImage, Launch, Mount, User
from snapenv.model.rendering import PROJECT

if TYPE_CHECKING:
    from snapenv.model.image import ImageRef
    from snapenv.model.needs_label import NeedsLabel

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NO_TEXT = re.compile(r"[\ud800-\udfff]")  # what Python makes of bytes that are no UTF-8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+", re.ASCII)  # as docker has it
_HOME = "/home/snapenv"  # of the image, for whoever runs


class PortableRequest(LaunchOptions, frozen=True, kw_only=True):
    """What a user may ask of a program on another machine, whose paths these are."""

    folder: str | None = None  # the project: at its own path
    runs: str | None = None  # for results; None is below the project
    data: tuple[str, ...] = ()  # read-only, each at its own path


def portable_launch(request: PortableRequest, *, image: ImageRef, label: NeedsLabel) -> Launch:
    """Decide what can be decided without the machine.

    Raises:
        UsageError: A path is not absolute or would hide the environment, sizes do not fit, or
            something cannot be written into a text file.
    """
    _refuse_what_no_text_holds(request)
    refuse_small_memory(request.memory_bytes, request.shm_bytes)
    argv, _ = with_cpus(request.argv, request.cpus)
    return Launch(
        run="",
        place=InImage(id=str(image.digest), name=str(image)),
        argv=argv,
        mounts=_mounts(request),
        folder=_absolute("--workdir", request.folder) if request.folder else PROJECT,
        user=_user(request.user),
        variables={**LOCKED_IN, **thread_variables(request.cpus), **request.variables},
        gpus=_gpus(request.device, label),
        cpus=request.cpus,
        memory_bytes=request.memory_bytes,
        shm_bytes=None if request.host_ipc else shm_bytes(request.shm_bytes, request.memory_bytes),
        limits=(STACK,),
        ports=request.ports,
        grace_s=request.grace_s,
        labels=declared_labels(request),
    )


def _refuse_what_no_text_holds(request: PortableRequest) -> None:
    for name in request.variables:
        if not _VARIABLE.fullmatch(name):
            raise UsageError(
                f"--env {_shown(name)} is not a variable name",
                hint="Use letters, digits and _, with no digit first.",
            )
    mounts = (path for mount in request.mounts for path in (mount.source, mount.target))
    paths = (request.folder or "", request.runs or "", *request.data, *mounts)
    for path in paths:
        if _NO_TEXT.search(path) or _CONTROL.search(path):
            raise UsageError(
                f"the path {_shown(path)} has control characters, or is not UTF-8",
                hint="Name another path: these cannot be written into the files.",
            )
    labels = declared_labels(request).values()
    for text in (*request.argv, *request.variables.values(), *labels):
        if _NO_TEXT.search(text):
            raise UsageError(
                f"{_shown(text)} is not UTF-8, and the files are",
                hint="Name it in UTF-8, or put it into a file that the command reads.",
            )


def _shown(text: str) -> str:
    """Return text as it can be printed: as bytes are, what is not ASCII by its number."""
    return repr(text.encode(errors="surrogateescape"))[1:]


def _gpus(device: str, label: NeedsLabel) -> str | None:
    if device == "auto":
        return "all" if label.cuda else None
    return None if device == "cpu" else device


def _user(numbers: tuple[int, int] | None) -> User | None:
    if numbers is None:
        return None
    uid, gid = numbers
    return User(uid=uid, gid=gid, name="root" if uid == 0 else f"user{uid}", home=_HOME)


def _mounts(request: PortableRequest) -> tuple[Mount, ...]:
    project = PurePosixPath(request.folder or PROJECT)
    data = (_same("--data", path, read_only=True) for path in request.data)
    runs = [_same("--runs", request.runs)] if request.runs else []
    outside = (each for each in runs if project not in PurePosixPath(each.target).parents)
    mounts = {each.target: each for each in (*data, *outside, *request.mounts)}
    for mount in mounts.values():
        if mount.kind == "volume" and not _VOLUME.fullmatch(mount.source):
            raise UsageError(
                f"--mount {mount.source}: {mount.source!r} is not a volume name",
                hint="Use letters, digits, _, . and -, with a letter or digit first.",
            )
        refuse_target(mount.target, mount.source)
    if request.folder:
        refuse_target(request.folder, request.folder)
    return tuple(mounts.values())


def _same(option: str, path: str, *, read_only: bool = False) -> Mount:
    place = _absolute(option, path)
    return Mount(source=place, target=place, read_only=read_only)


def _absolute(option: str, path: str) -> str:
    """Return a path of another machine.

    Raises:
        UsageError: It leans on a folder of this machine.
    """
    place = PurePosixPath(path)
    if not place.is_absolute() or ".." in place.parts:
        raise UsageError(
            f"{option} {path} is not an absolute path, and the files are for another machine",
            hint=f"Name it as that machine has it: {option} /data/{place.name or 'project'}",
        )
    return str(place)
