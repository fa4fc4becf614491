"""What differs from what the wheels bring: edited, untracked and deleted files, and links."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from posixpath import dirname
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from snapenv.content import sha256_of
from snapenv.errors import LockError
from snapenv.lock.paths import place_in_environment
from snapenv.model.snapshot import APPLY_OVERLAY, OVERLAY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from snapenv.model.carried import CarriedFile, Content
    from snapenv.model.conda import CondaPackage
    from snapenv.model.python import Distribution, Environment, Files

_SCRIPT = Path(__file__).with_name("in_snapshot") / "apply_overlay.py"
_PLACEHOLDER = re.compile(rb"#!python(?: [^\n]*)?\r?\n")


class OverlayPlan(Struct, frozen=True, kw_only=True):
    """What must be put over the wheels; every name is ``site/PATH`` or ``prefix/PATH``.

    ``site`` is site-packages, ``prefix`` the environment's own folder.
    """

    files: tuple[str, ...] = ()  # to be collected, sorted
    links: Mapping[str, str]  # where each points, relative to its own folder
    folders: tuple[str, ...] = ()  # empty ones, sorted
    modes: Mapping[str, bool] = field(default_factory=dict)  # of installed files: may they be run
    deleted: tuple[str, ...] = ()  # sorted
    placeholders: frozenset[str] = frozenset()  # of ``files``: with some for the folder they are in
    sha256: Mapping[str, str]  # hex, as the probe saw it, of the files where that is known

    @property
    def names(self) -> tuple[str, ...]:
        """All that is put in place, changed or deleted, sorted."""
        changed = (*self.files, *self.links, *self.folders, *self.modes, *self.deleted)
        return tuple(sorted(changed))


def plan_overlay(
    environment: Environment,
    pinned: Collection[str],
    *,
    executable: Mapping[str, tuple[str, ...] | None] = MappingProxyType({}),
    cut_scripts: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    packages: Sequence[CondaPackage] = (),
) -> OverlayPlan:
    """Decide what the overlay holds; ``pinned`` names the distributions that an index gives back.

    ``executable`` are the files that the wheels of some of them let be run, where that is known.
    Where other files may be run now, the overlay sees to it. ``cut_scripts`` are those that the
    wheels of some hold with options in their first line, which another installer would bring.
    ``packages`` are those of conda, each of which comes back as its channel has it.

    A vendored wheel holds its files as they are. Only console scripts, which an installer
    makes from entry points, would come back other than they were: edited or deleted, they are
    part of the overlay too.

    Raises:
        LockError: A file lies outside of the environment, or no line of UTF-8 can hold its name.
    """
    minor = environment.interpreter.minor
    edited, missing = (
        _changed_places(environment, pinned, packages, what) for what in ("edited", "missing")
    )
    owners: tuple[Distribution | CondaPackage, ...] = (*environment.distributions, *packages)
    untracked = {
        place_in_environment("site-packages", file.path, minor): file
        for file in environment.untracked
    }
    links = {name: file.link for name, file in untracked.items() if file.link is not None}
    folders = {name for name, file in untracked.items() if file.folder}
    cut = {
        place_in_environment(name, path, minor)
        for name, paths in cut_scripts.items()
        for path in paths
    }
    files = edited | (cut - missing) | (untracked.keys() - links.keys() - folders)
    return OverlayPlan(
        files=tuple(sorted(files)),
        links=dict(sorted(links.items())),
        folders=tuple(sorted(folders)),
        modes={
            name: mode
            for package in environment.distributions
            for name, mode in _changed_modes(package, executable.get(package.name), minor)
            if name not in files | missing
        },
        deleted=tuple(sorted(missing - edited - untracked.keys())),
        placeholders=frozenset(
            (
                *(name for name, file in untracked.items() if file.placeholders),
                *(
                    place_in_environment(package.name, path, minor)
                    for package in owners
                    for path in (package.files.placeholders if package.files else ())
                ),
            )
        ),
        sha256={name: file.sha256 for name, file in sorted(untracked.items()) if file.sha256},
    )


def make_overlay(plan: OverlayPlan, files: Mapping[str, CarriedFile]) -> Mapping[str, Content]:
    """Return the overlay's files by their names in the snapshot; none where nothing differs.

    ``files`` are the collected ones by ``site/PATH`` and ``prefix/PATH``. The same files in any
    order give the same bytes.

    Raises:
        LockError: A file was not collected, or is not what the probe saw.
    """
    if not plan.names:
        return {}
    collected = {name: _collected(name, plan, files) for name in plan.files}
    entries = [
        *(
            {
                **_file_entry(name, file),
                **({"placeholders": True} if name in plan.placeholders else {}),
            }
            for name, file in collected.items()
        ),
        *({**_place(name), "link": link} for name, link in plan.links.items()),
        *({**_place(name), "folder": True} for name in plan.folders),
        *({**_place(name), "mode": "755" if mode else "644"} for name, mode in plan.modes.items()),
        *({**_place(name), "deleted": True} for name in plan.deleted),
    ]
    entries.sort(key=lambda entry: (entry["root"], entry["path"]))
    contents = {_sha256(file): file.content for file in collected.values()}
    index = json.dumps(entries, ensure_ascii=False, indent=1) + "\n"
    return {
        f"{OVERLAY}/index.json": index.encode(),
        APPLY_OVERLAY: _SCRIPT.read_bytes(),
        **{f"{OVERLAY}/{digest}": contents[digest] for digest in sorted(contents)},
    }


def _changed_places(
    environment: Environment,
    pinned: Collection[str],
    packages: Sequence[CondaPackage],
    what: Literal["edited", "missing"],
) -> set[str]:
    """Return where files were edited, or are missing, that would come back as they were."""
    minor = environment.interpreter.minor
    return {
        place_in_environment(package.name, path, minor)
        for package in packages
        for path in _listed(package.files, what)
    } | {
        place
        for package in environment.distributions
        if package.files and package.origin != "base"
        for path in _listed(package.files, what)
        if (place := place_in_environment(package.name, path, minor))
        and (
            package.name in pinned
            or place.startswith("prefix/bin/")
            or path in package.files.placeholders
        )
    }


def _changed_modes(
    package: Distribution, given: tuple[str, ...] | None, minor: str
) -> Iterator[tuple[str, bool]]:
    """Yield the files whose bit is not what the installed wheel gives them, and what it is."""
    own = package.files.executable if package.files else None
    if own is not None and given is not None:
        for path in sorted(set(own).symmetric_difference(given)):
            yield place_in_environment(package.name, path, minor), path in own


def _listed(files: Files, what: str) -> tuple[str, ...]:
    return files.edited if what == "edited" else files.missing


def _collected(name: str, plan: OverlayPlan, files: Mapping[str, CarriedFile]) -> CarriedFile:
    file = files.get(name)
    if file is None or plan.sha256.get(name, _sha256(file)) != _sha256(file):
        raise LockError(
            f"{name} changed while it was captured",
            hint="Let nothing work in the environment, and capture again.",
        )
    return file


def _file_entry(name: str, file: CarriedFile) -> dict[str, object]:
    entry = {**_place(name), "sha256": _sha256(file), "executable": file.executable}
    is_script = dirname(name) == "prefix/bin" and _PLACEHOLDER.match(file.text)
    return {**entry, "script": True} if is_script else entry


def _place(name: str) -> dict[str, object]:
    root, _, path = name.partition("/")
    return {"root": root, "path": path}


def _sha256(file: CarriedFile) -> str:
    return sha256_of(file.content).hexdigest()
