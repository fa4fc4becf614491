"""What a REF names, and how its snapshot is read out of an image."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import EngineMissingError, NotFoundError, SnapshotDamagedError
from snapenv.lock.store import parse_snapshot
from snapenv.model.image import ImageRef, Tag
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL, SUMS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.image import Image
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside

SNAPSHOTS = "snapshots"  # where a capture without --output puts its folder
_LIST = "See snapenv list, or name a repository: --repository example.com/team/env"
_SHOWN = 80  # characters of a name


def parse_ref(text: str, *, repository: str) -> ImageRef | Path:
    """Tell what REF names: a folder or file that exists, a bare tag of ``repository``, an image.

    Raises:
        NotFoundError: It looks like a path and is none, or is no image reference.
    """
    path = Path(text).expanduser()
    if _is_there(path):
        return path
    if text.startswith((".", "/", "~")):
        raise NotFoundError(
            f"there is no snapshot folder and no archive {shown(text)}",
            hint=_hint_beside(
                path, "Name a folder that snapenv capture wrote, an archive, a tag, or an image."
            ),
        )
    try:
        return ImageRef(repository=repository, tag=str(Tag.parse(text)))
    except ValueError:
        pass
    try:
        return ImageRef.parse(text)
    except ValueError as error:
        raise NotFoundError(
            f"there is no snapshot folder and no archive {shown(text)}, and {error}",
            hint=_hint(
                text,
                _snapshots(),
                "Name a snapshot folder, an archive, a tag of the convention, or an image.",
            ),
        ) from error


def resolve_ref(text: str, *, repository: str, outside: Outside) -> ImageRef | Path:
    """Tell what REF names, as ``parse_ref`` does, and see that it is somewhere.

    A bare tag is an image of ``repository``, else the one image here that has this tag, else the
    folder of this name among ``snapshots``. What may lie in a registry is not asked for.

    Raises:
        NotFoundError: It is nowhere; the hint names what is called nearly so.
        EngineMissingError: It looks like an image of this machine, and no engine answers.
    """
    ref = parse_ref(text, repository=repository)
    if isinstance(ref, Path):
        return ref
    names = list[str]()
    try:
        if outside.engine.find(str(ref)) or _may_lie_in_a_registry(ref, text):
            return ref
        names = [name for name, _ in outside.engine.list_names(label=SNAPSHOT_LABEL)]
    except EngineMissingError as error:
        if _may_lie_in_a_registry(ref, text):
            return ref
        if ref.tag and not _is_snapshot(text):
            hint = _hint(text, _snapshots(), error.hint)
            raise EngineMissingError(error.message, hint=hint) from error
    same = [name for name in names if name.endswith(f":{text}")]
    if len(same) == 1:
        return ImageRef.parse(same[0])
    if _is_snapshot(text):
        return Path(SNAPSHOTS, text)
    tags = [name.rpartition(":")[2] for name in names]
    raise NotFoundError(
        f"there is no snapshot folder, no archive and no local image {shown(str(ref))}",
        hint=_hint_beside(Path(text), _LIST)
        if "/" in text
        else _hint(text, [*same, *tags, *names, *_snapshots()], _LIST),
    )


def find_folder(named: Path) -> Path:
    """Give a snapshot folder that is named by its path, or by its name among ``snapshots``.

    Raises:
        NotFoundError: There is none; the hint names what is called nearly so.
    """
    text = str(named)
    if _is_there(named):
        return named
    if _is_snapshot(text):
        return Path(SNAPSHOTS, text)
    raise NotFoundError(
        f"there is no snapshot folder {shown(text)}",
        hint=_hint_beside(named, "Name a folder that snapenv capture wrote."),
    )


def _may_lie_in_a_registry(ref: ImageRef, text: str) -> bool:
    """Tell a name with a registry or a team from a path below a folder that is here."""
    is_path = ref.tag is None and ref.registry is None and _is_there(Path(text).parent)
    return "/" in ref.repository and not is_path


def shown(text: str) -> str:
    """Give a name as it is shown in a sentence, which has an end."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_there(path: Path) -> bool:
    try:
        return path.is_dir() or path.is_file()
    except OSError:  # no name of a file, such as one that is too long
        return False


def _is_snapshot(name: str) -> bool:
    return Path(name).name == name and _is_there(Path(SNAPSHOTS, name, SUMS_FILE))


def _snapshots() -> list[str]:
    """Give the snapshots of the folder in which a capture puts them."""
    return [name for name in _names(Path(SNAPSHOTS)) if _is_snapshot(name)]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _hint(text: str, names: Iterable[str], otherwise: str) -> str:
    """Name what is called nearly so, if anything is."""
    near = difflib.get_close_matches(shown(text), dict.fromkeys(names), n=3)
    return _did_you_mean(near, otherwise)


def _hint_beside(path: Path, otherwise: str) -> str:
    """Name what lies in the same folder and is called nearly so, and the snapshots that are."""
    name = shown(path.name)
    beside = difflib.get_close_matches(name, _names(path.parent), n=3)
    snapshots = difflib.get_close_matches(name, _snapshots(), n=3)
    return _did_you_mean([*(str(path.parent / one) for one in beside), *snapshots], otherwise)


def _did_you_mean(near: Sequence[str], otherwise: str) -> str:
    return f"Did you mean {' or '.join(near)}? {otherwise}" if near else otherwise


def fetch_image(ref: ImageRef, outside: Outside) -> Image:
    """Give the image that is here already, else the registry's.

    Raises:
        NotFoundError: The registry has no such name.
        RegistryError: The registry does not answer, refuses, or the transfer broke.
    """
    here = outside.engine.find(str(ref))
    if here:
        return here
    with outside.progress.task(f"Pulling {ref}") as task:
        return outside.engine.pull(ref, task)


def read_image(image: Image, ref: ImageRef, outside: Outside) -> Snapshot:
    """Read and check the snapshot that an image holds.

    Raises:
        NotFoundError: It holds none.
        SnapshotDamagedError: It is damaged, or not the one that the image's label names.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    try:
        contents = outside.engine.read_folder(image, IMAGE_SNAPSHOT)
    except NotFoundError as error:
        raise NotFoundError(
            f"{ref} holds no snapshot: it was not built by snapenv",
            hint="Name an image that snapenv build made.",
        ) from error
    snapshot = parse_snapshot(contents, where=f"{ref}:{IMAGE_SNAPSHOT}", in_image=True)
    if image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
        raise SnapshotDamagedError(
            f"{ref} says it holds snapshot {image.labels.get(SNAPSHOT_LABEL)}, "
            f"and holds {snapshot.digest}",
            hint="Build it again from the snapshot folder.",
        )
    return snapshot
