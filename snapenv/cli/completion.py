"""What a shell is offered for a REF: never an error, and never a long wait."""

from __future__ import annotations

import contextlib
import itertools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapenv.cli.app import list_tags
from snapenv.places import is_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from click.shell_completion import CompletionItem

_ENGINE_S = 1.0
_SNAPSHOTS = Path("snapshots")
_SUMS = "SHA256SUMS"
_ZSTD = b"\x28\xb5\x2f\xfd"  # what an archive starts with
_MOST = 1000  # entries of a folder that are looked at


class RefType(click.ParamType[str]):
    """A tag, an image reference, a snapshot folder or an archive, as it was typed."""

    name = "REF"

    def __init__(self, *others: str, engine: bool = True) -> None:
        self._others = others
        self._engine = engine

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer names of snapshots, archives and tags; of what looks like a path, files."""
        del ctx, param
        names: set[str] = set()
        if not incomplete.startswith((".", "/", "~")) and "/" not in incomplete:
            names.update(self._others, _snapshots(), _stored())
            names.update(_tags() if self._engine else ())
        return _items(names, incomplete) or _items([incomplete], incomplete, kind="file")


class SnapshotType(click.Path):
    """A snapshot folder."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer names of snapshots, else folders."""
        return _items(_snapshots(), incomplete) or super().shell_complete(ctx, param, incomplete)


def _items(names: Iterable[str], incomplete: str, *, kind: str = "plain") -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(name, type=kind) for name in sorted(names) if name.startswith(incomplete)
    ]


def _snapshots() -> set[str]:
    """Return the names of the snapshots that a capture has put in their usual place."""
    return {path.name for path in _entries(_SNAPSHOTS) if is_file(path / _SUMS)}


def _stored() -> set[str]:
    """Return the snapshot folders and the archives of this folder."""
    return {path.name for path in _entries(Path()) if is_file(path / _SUMS) or _is_packed(path)}


def _entries(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from itertools.islice(folder.iterdir(), _MOST)


def _is_packed(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if is_file(path):
            with path.open("rb") as file:
                return file.read(len(_ZSTD)) == _ZSTD
    return False


def _tags() -> tuple[str, ...]:
    """Ask the engine on this machine, and go on without it where that takes too long."""
    tags: list[str] = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            tags.extend(list_tags(_ENGINE_S))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ENGINE_S)
    return tuple(tags)
