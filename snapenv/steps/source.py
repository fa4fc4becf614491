"""What a REF names: a value, found out once, from which every command starts."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from snapenv.errors import EngineMissingError, NotFoundError
from snapenv.model.image import Image, ImageRef, Tag, is_kept_tag
from snapenv.model.snapshot import SNAPSHOT_LABEL, SNAPSHOTS, SUMS_FILE, TAG_LABEL
from snapenv.places import exists, expanded, is_file, is_folder
from snapenv.steps.interpreter import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.ports import Services

LIVE = "live"
_LIST = "See snapenv list, or name a repository: --repository example.com/team/env"
_KINDS = "Name a folder that snapenv capture wrote, an archive, a tag, or an image."
_SHOWN = 80  # characters of a name
_ZSTD = b"\x28\xb5\x2f\xfd"  # what a frame starts with: RFC 8878
_PYTHON = re.compile(r".*/bin/python[0-9.]*")


class SnapshotFolder(Struct, frozen=True):
    """A folder that is there; nothing has read it.

    One that was unpacked for a moment has the name of what it was unpacked from.
    """

    path: Path
    name: str | None = None
    whole: bool = True  # nothing of it was left out

    def __str__(self) -> str:
        """Return its name, or its path."""
        return self.name or str(self.path)


class Archive(Struct, frozen=True):
    """A file that is there, and should be an archive; nothing has read it."""

    path: Path

    def __str__(self) -> str:
        """Return its path."""
        return str(self.path)


class LocalImage(Struct, frozen=True):
    """An image that the engine has, by the name that was asked for."""

    ref: ImageRef
    image: Image

    def __str__(self) -> str:
        """Return its reference."""
        return str(self.ref)


class RegistryImage(Struct, frozen=True):
    """An image that the engine does not have, or cannot tell; no registry was asked."""

    ref: ImageRef
    engine_error: EngineMissingError | None = None

    def __str__(self) -> str:
        """Return its reference."""
        return str(self.ref)


class Environment(Struct, frozen=True):
    """An environment of this machine, by the path of its Python."""

    python: str

    def __str__(self) -> str:
        """Return the path of its Python."""
        return self.python


Source: TypeAlias = SnapshotFolder | Archive | LocalImage | RegistryImage


def resolve_source(text: str, *, repository: str, services: Services) -> Source:
    """Find out what REF names: a folder or file that exists, a bare tag, or an image.

    A bare tag is an image of ``repository``, else the one local image that has this tag, else the
    folder of this name among ``snapshots``. ``@sha256:…`` behind a name is the digest that its
    registry gave it, a local image's id, or that of the snapshot. What may lie in a registry is
    not asked for.

    Raises:
        NotFoundError: It is nowhere; the hint names what is called nearly so.
        EngineMissingError: It looks like a local image, and no engine answers.
    """
    path = expanded(text)
    if _exists(path):
        return Archive(path) if is_file(path) else SnapshotFolder(path)
    if text.startswith((".", "/", "~")):
        raise _not_found(f"no snapshot folder and no archive {_shown(text)}", _near_path(path))
    ref = parse_image(text, repository=repository)
    try:
        return _resolve_image(ref, text, services)
    except EngineMissingError as error:
        folder = _find_folder(ref, text)
        if folder and (ref.digest or not _may_lie_in_a_registry(ref, text)):
            return SnapshotFolder(folder)
        if _may_lie_in_a_registry(ref, text):
            return RegistryImage(ref, error)
        if ref.tag:
            hint = _did_you_mean(_near(text, _snapshots()), error.hint)
            raise EngineMissingError(error.message, hint=hint) from error
        raise _nowhere(ref, text, []) from error


def _resolve_image(ref: ImageRef, text: str, services: Services) -> Source:
    """Find what an engine that answers has by this name or tag, else a snapshot of this name."""
    image = services.engine.find(str(ref)) or (_find_pinned(ref, services) if ref.digest else None)
    if image:
        return LocalImage(ref, image)
    folder = _find_folder(ref, text)
    if folder and ref.digest:
        return SnapshotFolder(folder)
    if _may_lie_in_a_registry(ref, text):
        return RegistryImage(ref)
    names = [name for name, _ in services.engine.list_names(label=SNAPSHOT_LABEL)]
    same = [name for name in names if name.endswith(f":{text}")]
    image = services.engine.find(same[0]) if len(same) == 1 else None
    if image:
        return LocalImage(ImageRef.parse(same[0]), image)
    if folder:
        return SnapshotFolder(folder)
    raise _nowhere(ref, text, [name for name in names if not is_kept_tag(name.rpartition(":")[2])])


def _find_pinned(ref: ImageRef, services: Services) -> Image | None:
    """Return the local image of a tag whose id, or whose snapshot's digest, is that of the name."""
    for name, _ in services.engine.list_names(label=SNAPSHOT_LABEL):
        image = services.engine.find(name)
        if image is None or image.labels.get(TAG_LABEL) != ref.tag:
            continue
        if ref.digest in {image.id, image.labels[SNAPSHOT_LABEL]}:
            return image
    return None


def _find_folder(ref: ImageRef, text: str) -> Path | None:
    """Return the snapshot among ``snapshots`` of a name, or of a digest."""
    if ref.digest is None:
        return Path(SNAPSHOTS, text) if _is_snapshot(text) else None
    from snapenv.lock.store import read_digest  # a run need not wait for what reads locks

    folders = (Path(SNAPSHOTS, name) for name in _snapshots())
    return next((folder for folder in folders if read_digest(folder) == ref.digest), None)


def _nowhere(ref: ImageRef, text: str, names: Sequence[str]) -> NotFoundError:
    tags = (name.rpartition(":")[2] for name in names)
    near = _near_path(Path(text)) if "/" in text else _near(text, [*tags, *names, *_snapshots()])
    what = f"no snapshot folder, no archive and no local image {_shown(str(ref))}"
    return _not_found(what, near, _LIST)


def resolve_side(text: str, *, repository: str, services: Services) -> Source | Environment:
    """Find out what a side of a comparison is: an environment too, or ``live``, the active one.

    Raises:
        NotFoundError: It is nowhere; the hint names what is called nearly so.
        InterpreterError: The named Python is not there.
        EnvironmentMissingError: ``live`` is asked for and no environment is active.
        EngineMissingError: It looks like a local image, and no engine answers.
    """
    if text == LIVE:
        return Environment(find_interpreter(None, os.environ, own_prefix=sys.prefix))
    if not _is_packed(text) and _is_environment(text):
        return Environment(find_interpreter(text, os.environ, own_prefix=sys.prefix))
    return resolve_source(text, repository=repository, services=services)


def resolve_snapshot(
    named: Path, *, repository: str | None = None
) -> SnapshotFolder | Archive | RegistryImage:
    """Find a snapshot's folder by its path or by its name among ``snapshots``, or its archive.

    With a ``repository``, it may also lie alone in a registry, which is not asked.

    Raises:
        NotFoundError: There is none; the hint names what is called nearly so.
    """
    if _exists(named):
        return Archive(named) if is_file(named) else SnapshotFolder(named)
    if _is_snapshot(str(named)):
        return SnapshotFolder(Path(SNAPSHOTS, named))
    if repository is not None:
        with contextlib.suppress(NotFoundError):
            ref = parse_image(str(named), repository=repository)
            if (ref.tag or ref.digest) and _may_lie_in_a_registry(ref, str(named)):
                return RegistryImage(ref)
    what, otherwise = (
        f"no snapshot folder {_shown(str(named))}",
        "Name one that snapenv capture wrote.",
    )
    raise _not_found(what, _near_path(named), otherwise)


def parse_image(text: str, *, repository: str) -> ImageRef:
    """Read a bare tag of ``repository``, with a digest or without, or a reference of an image.

    Raises:
        NotFoundError: It is neither.
    """
    with contextlib.suppress(ValueError):
        Tag.parse(text.partition("@")[0])
        return ImageRef.parse(f"{repository}:{text}")
    try:
        return ImageRef.parse(text)
    except ValueError as error:
        what = f"no snapshot folder and no archive {_shown(text)}, and {error}"
        raise _not_found(what, _near(text, _snapshots())) from error


def no_local_image(ref: ImageRef, *, otherwise: str = _LIST) -> NotFoundError:
    """Return the error that an image is not on this machine."""
    return _not_found(f"no local image {ref}", (), otherwise)


def _may_lie_in_a_registry(ref: ImageRef, text: str) -> bool:
    """Tell a name with a registry or a team from a path below a folder that is here."""
    is_path = ref.tag is None and ref.registry is None and _exists(Path(text).parent)
    return "/" in ref.repository and not is_path


def _is_packed(text: str) -> bool:
    """Return whether it is a file packed as archives are, and so no interpreter."""
    try:
        with expanded(text).open("rb") as file:
            return file.read(len(_ZSTD)) == _ZSTD
    except OSError:
        return False


def _is_environment(text: str) -> bool:
    """Return whether it is an interpreter, there or not, or a folder with one."""
    path = expanded(text)
    if is_folder(path):
        return is_file(path / "bin" / "python") and not exists(path / SUMS_FILE)
    return is_file(path) or _PYTHON.fullmatch(text) is not None


def _exists(path: Path) -> bool:
    return is_folder(path) or is_file(path)


def _is_snapshot(name: str) -> bool:
    return Path(name).name == name and _exists(Path(SNAPSHOTS, name, SUMS_FILE))


def _snapshots() -> list[str]:
    """Return the snapshots of the folder in which a capture puts them."""
    return [name for name in _names(Path(SNAPSHOTS)) if _is_snapshot(name)]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _not_found(what: str, near: Iterable[str], otherwise: str = _KINDS) -> NotFoundError:
    """Return the error that there is ``what``; the hint names what is called nearly so."""
    return NotFoundError(f"there is {what}", hint=_did_you_mean(near, otherwise))


def _near_path(path: Path) -> list[str]:
    """Return what lies in the same folder and is called nearly so, and the snapshots that are."""
    name = _shown(path.name)
    beside = (str(path.parent / similar) for similar in _near(name, _names(path.parent)))
    return [*beside, *_near(name, _snapshots())]


def _near(text: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(_shown(text), dict.fromkeys(names), n=3)


def _did_you_mean(near: Iterable[str], otherwise: str) -> str:
    names = " or ".join(near)
    return f"Did you mean {names}? {otherwise}" if names else otherwise


def _shown(text: str) -> str:
    """Shorten a name so that the sentence which shows it has an end."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
