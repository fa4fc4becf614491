"""What the environment reaches outside of itself: by its import path, and by links to folders.

What a person keeps there travels, as files that nobody owns. A folder or archive of the import
path lies in ``site-packages/snapenv-path`` afterwards, and ``snapenv-path.pth`` leads to it; what
a link leads to lies where the link is.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH112, PTH113, PTH117, PTH118, PTH119, PTH120

from __future__ import annotations

import filecmp
import os
import stat
import sysconfig
from typing import TYPE_CHECKING, Iterator, NamedTuple, Sequence

from snapenv_probe import (
    editable,
    file_tree,
    foreign_folders,
    import_path,
    modules,
    pth,
    record_file,
    surroundings,
)
from snapenv_probe.file_status import MODE

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.file_tree import Tree
    from snapenv_probe.record_file import Entry
    from snapenv_probe.surroundings import Anchor

FOLDER = "snapenv-path"  # in site-packages
PTH = FOLDER + ".pth"
_INFOS = (".dist-info", ".egg-info")
SITE = "site"  # as an entry of the import path


class Reach(NamedTuple):
    """What is reached."""

    files: list[Entry]  # by their path from site-packages, and where they lie now
    texts: dict[str, str | None]  # of .pth files by name as they travel; None is for not at all
    path: list[str]  # the import path as it will be: "site", "site/snapenv-path/x", "prefix/x"
    told: list[str]  # what cannot travel, in words
    notes: list[str]  # what does not travel and may be needed, in words
    not_carried: list[str]  # what was to be carried and cannot be, in words
    links: set[str]  # to folders outside: what they lead to is in ``files`` or ``told``
    leads_out: bool  # whether anything else than the environment's own files was looked at


class _Walk:
    """Adds to a reach, place by place."""

    def __init__(self, everything: list[Distribution], visible: list[Distribution]) -> None:
        self.folders = {package.folder for package in everything}
        self.roots = editable.roots(visible)
        self.owned = {entry.file for package in everything for entry in package.entries or ()}
        self.owned.update(
            entry.file
            for package in visible
            if package.sources
            for entry in package.sources.entries
        )
        self.causes = _causes()
        self.files: list[Entry] = []
        self.told: list[str] = []
        eggs = {folder for folder in self.folders if folder.endswith(".egg")}
        self.moved: dict[str, str | None] = dict.fromkeys(self.roots | eggs)
        self.path: list[str] = []
        self.links: set[str] = set()
        self.anchors: list[Anchor] = []
        self.inside: set[str] = set()
        self._tops: dict[str, str] = {}  # names by place
        ours = os.path.join(site_folder(), FOLDER)
        self._names = {f"{FOLDER}/{name}" for name in import_path.names(ours)}

    def add(self, place: str) -> None:
        """Take one entry of the import path."""
        inside = _inside(place)
        if import_path.is_site(place):
            self.path.append(SITE)
        elif inside:
            self.inside.add(inside)
            self.path += [inside] if self._counts(place) else []
        elif not is_of_python(place) and not self._is_editable(place):
            self.moved[place] = None
            try:
                self.moved[place] = self._bring(place)
            except modules.CannotTravel as why:
                self.told.append(
                    f"{record_file.shown(self._cause(place))}: {_not_carried(place, why)}"
                )
                self.path.append(f"outside/{os.path.basename(place)}")

    def _counts(self, place: str) -> bool:
        """Return whether an entry inside comes back: not an egg, nor an empty folder."""
        has_own = not os.path.isdir(place) or modules.has_module(place)
        return place not in self.folders and has_own

    def _is_editable(self, place: str) -> bool:
        return place in self.roots and place not in self.causes.get("PYTHONPATH", ())

    def _bring(self, place: str) -> str | None:
        """Let a place travel, and return where it will be; None where it offers nothing.

        Raises:
            CannotTravel: It is another system's, or holds too much.
        """
        archive, why = import_path.archive(place), foreign_folders.why_not(place)
        if why and self._cause(place).endswith(".pth"):
            raise modules.CannotTravel(why)
        entries = [record_file.Entry("", archive, "")] if archive else self._offered(place)
        if why and entries:
            raise modules.CannotTravel(why)
        return self._place(archive or place, entries, place) if entries else None

    def _offered(self, place: str) -> list[Entry]:
        entries: list[Entry] = modules.offered(place, self.owned)
        return entries

    def _place(self, top: str, entries: list[Entry], place: str) -> str:
        if top not in self._tops:
            wanted = f"{FOLDER}/{os.path.basename(top) or 'root'}"
            self._tops[top] = led = wanted if _is_there(wanted, entries) else self._name(wanted)
            paths = (f"{led}/{entry.path}".rstrip("/") for entry in entries)
            self.files += [entry._replace(path=path) for path, entry in zip(paths, entries)]
            if os.path.isdir(top):
                name = record_file.shown(top)
                self.anchors.append(surroundings.Anchor(top, led, name))
        below = os.path.relpath(place, top)
        led = os.path.normpath(os.path.join(self._tops[top], below))
        self.path.append(f"{SITE}/{led}")
        return led

    def _name(self, wanted: str) -> str:
        """Choose a name that nothing has yet."""
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted}-{number}"
        self._names.add(name)
        return name

    def _cause(self, place: str) -> str:
        return next((name for name, places in self.causes.items() if place in places), "sys.path")

    def follow(self, link: str, path: str) -> None:
        """Take a link to a folder outside, at a path from site-packages; dist-info may be one."""
        self.links.add(link)
        target = os.path.realpath(link)
        try:
            self.files += self._linked(link, path, target)
            above = os.path.dirname(path) or "."
            name = record_file.shown(target)
            if not link.endswith(_INFOS):
                self.anchors.append(surroundings.Anchor(os.path.dirname(target), above, name))
        except modules.CannotTravel as why:
            self.told.append(f"{record_file.shown(path)}: {_not_carried(target, why)}")

    def _linked(self, link: str, path: str, target: str) -> list[Entry]:
        """List what a link leads to and nobody owns.

        Raises:
            CannotTravel: It is another system's, holds too much, or no modules.
        """
        foreign = foreign_folders.why_not(target)
        if foreign:
            raise modules.CannotTravel(foreign)
        entries = modules.checked(editable.below(path, link))
        if not link.endswith(_INFOS) and not modules.has_module(link):
            raise modules.CannotTravel("no folder of modules")
        return [entry for entry in entries if entry.file not in self.owned]


def _not_carried(place: str, why: object) -> str:
    return f"{record_file.shown(place)} ({why})"


def find(
    tree: Tree,
    everything: list[Distribution],
    visible: list[Distribution],
    carry: Sequence[str] = (),
) -> Reach:
    """Look at the whole import path, and at all links.

    ``carry`` are the paths beside sources that are to travel, too.
    """
    walk = _Walk(everything, visible)
    for place in import_path.places():
        walk.add(place)
    for link, path in _linked_folders(tree, walk):
        walk.follow(link, path)
    anchors = [*_anchors(visible), *walk.anchors]
    sources = {os.path.realpath(place) for place in _outside(walk, visible)} if anchors else set()
    carried = surroundings.carry(carry, anchors, sources)
    sources.update(os.path.realpath(entry.file) for entry in carried.files)
    return Reach(
        walk.files + carried.files,
        _texts(walk),
        list(dict.fromkeys([*walk.path, SITE])),
        walk.told,
        [*_relative(), *surroundings.left(anchors, sources)],
        carried.told,
        walk.links,
        bool(walk.files or walk.told or walk.moved or anchors or carry),
    )


def _anchors(visible: list[Distribution]) -> Iterator[Anchor]:
    """Yield the folders that the sources of editable and linked distributions lie in."""
    for package in visible:
        links = {
            os.path.dirname(os.path.realpath(entry.file))
            for entry in package.entries or ()
            if editable.is_linked_folder(entry)
        }
        entries = package.sources.entries if package.sources else ()
        tops = {
            os.path.realpath(entry.file[: -len(entry.path) - 1])
            for entry in entries
            if entry.file.endswith(f"/{entry.path}")
        }
        for folder in sorted(links | tops):
            yield surroundings.Anchor(folder, ".", package.name)


def _outside(walk: _Walk, visible: list[Distribution]) -> Iterator[str]:
    """Yield the files outside that travel."""
    yield from (entry.file for entry in walk.files)
    for package in visible:
        yield from (entry.file for entry in (package.sources.entries if package.sources else ()))
        for entry in package.entries or ():
            if editable.is_linked_folder(entry):
                yield from (inner.file for inner in editable.followed(entry))


def _relative() -> Iterator[str]:
    """Name what PYTHONPATH has that is another place wherever a program starts."""
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if folder and not os.path.isabs(folder):
            shown = record_file.shown(folder)
            yield f"PYTHONPATH names {shown}, which hangs on where a program starts: left out"


def site_folder() -> str:
    """Return the site-packages that a restored file of ``site`` would lie in."""
    own = import_path.own_folders()
    return own[0] if own else os.path.realpath(sysconfig.get_path("purelib"))


def is_of_python(place: str) -> bool:
    """Return whether a place is Python's own library, an operating system's or an image's."""
    library = [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    dynload = [os.path.join(folder, "lib-dynload") for folder in library]
    return (
        place in (*library, *dynload)
        or (import_path.is_site(place) and import_path.is_of_system(place))
        or bool(import_path.is_of_image(place))
    )


def _is_there(path: str, entries: list[Entry]) -> bool:
    """Return whether these very files have travelled before, to a path below site-packages."""
    top = os.path.join(site_folder(), path)
    names = {entry.path for entry in entries if entry.path}
    kept = {entry.path for entry in editable.below("", top)}
    return kept == names and all(
        os.path.isfile(os.path.join(top, entry.path).rstrip("/"))
        and filecmp.cmp(entry.file, os.path.join(top, entry.path).rstrip("/"), shallow=False)
        for entry in entries
    )


def _inside(place: str) -> str | None:
    """Name a place of the environment itself, whose files travel anyway."""
    for folder in import_path.own_folders():
        if place == folder:
            return SITE
        if import_path.is_below(os.path.realpath(place), folder):
            return f"{SITE}/{os.path.relpath(os.path.realpath(place), os.path.realpath(folder))}"
    root = file_tree.root()
    if root and not is_of_python(place) and file_tree.is_around(place, root):
        return f"prefix/{os.path.relpath(place, root)}"
    return None


def _causes() -> dict[str, list[str]]:
    """Return the places that each ``.pth`` of the environment, and PYTHONPATH, lead to."""
    listed = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    causes = {"PYTHONPATH": [os.path.realpath(folder) for folder in listed if folder]}
    for file in _path_files():
        causes[os.path.basename(file)] = [*pth.places(file)]
    return causes


def _path_files() -> Iterator[str]:
    for folder in import_path.own_folders():
        for name in import_path.names(folder):
            if name.endswith(".pth"):
                yield os.path.join(folder, name)


def _linked_folders(tree: Tree, walk: _Walk) -> Iterator[tuple[str, str]]:
    """Yield each link to a folder outside, with its path from site-packages.

    One that RECORD names is followed with its distribution.
    """
    for folder, files in tree.folders.items():
        for file in _links(files):
            is_named = file in walk.owned and not file.endswith(_INFOS)
            if not is_named and _leads_out(file, folder):
                yield file, file[len(folder) + 1 :]
    for file in _links(tree.around):
        if file not in walk.owned and _leads_out(file, import_path.prefix()):
            yield file, file_tree.from_site(file)


def _links(files: file_tree.Statuses) -> list[str]:
    return [file for file, status in files.items() if stat.S_ISLNK(status[MODE])]


def _leads_out(link: str, folder: str) -> bool:
    return os.path.isdir(link) and not import_path.is_below(os.path.realpath(link), folder)


def _texts(walk: _Walk) -> dict[str, str | None]:
    """Return the ``.pth`` files that must change: those that led out, and the one that is ours."""
    texts: dict[str, str | None] = {}
    for file in _path_files():
        if file not in walk.owned and not pth.places(file).isdisjoint(walk.moved):
            texts.setdefault(os.path.basename(file), pth.without(file, walk.moved))
    moved = (path for path in walk.moved.values() if path)
    lines = _lines([path for path in moved if f"{SITE}/{path}" not in walk.inside], walk.path)
    if lines:
        ours = os.path.join(site_folder(), PTH)
        before = texts.get(PTH, pth.without(ours, walk.moved)) or ""
        texts[PTH] = before + "".join(f"{line}\n" for line in lines)
    return texts


def _lines(moved: list[str], path: list[str]) -> list[str]:
    """Write the lines of a ``.pth``; what stood before site-packages is put to the front."""
    first = path.index(SITE) if SITE in path else len(path)
    front = [folder for folder in moved if f"{SITE}/{folder}" in path[:first]]
    lines = [
        f"import sys; sys.path.insert({number}, sitedir + {'/' + folder!r})"
        for number, folder in enumerate(front)
    ]
    return lines + [_appended(folder) for folder in moved if folder not in front]


def _appended(path: str) -> str:
    """Write the line for a place; of one within an archive ``site`` would say that it is not."""
    is_within = path.count("/") > 1
    return f"import sys; sys.path.append(sitedir + {'/' + path!r})" if is_within else path
