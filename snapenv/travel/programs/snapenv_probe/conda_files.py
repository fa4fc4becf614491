"""The files of conda's packages as they are now, compared with the records in ``conda-meta``.

Of a file that holds the prefix the record tells two hashes, in the package and as installed: one
that is as installed counts by the first, so that the digest hangs on no folder. A script that
conda makes of an entry point counts only if it was edited, as everywhere. A file that pip wrote
over is pip's, unless it holds again what conda installed.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH114, PTH119

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Iterable, Mapping, NamedTuple

from snapenv_probe import conda, entry_scripts, import_path, origins, placeholders, record_file
from snapenv_probe.file_status import MODE

if TYPE_CHECKING:
    from snapenv_probe.conda import File, Package
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.file_tree import Statuses
    from snapenv_probe.hashing import Hashed
    from snapenv_probe.record_file import Entry

_NOTHING = hashlib.sha256(b"").hexdigest()  # what conda-build says of a link that leads nowhere


class Prefix(NamedTuple):
    """The packages of a prefix, with what is there of their files."""

    packages: list[Package]
    damaged: list[str]
    files: dict[str, str]  # to be hashed, by their paths from the prefix
    relinked: frozenset[str]  # links now, absolute, that no package has so


def find(statuses: Statuses) -> Prefix | None:
    """Look for the files of all packages; None where this is no prefix of conda."""
    root = import_path.conda()
    if root is None:
        return None
    packages, damaged = conda.packages()
    files, relinked = {}, set()
    for each in (each for package in packages for each in package.files):
        file = f"{root}/{each.path}"
        status = statuses.get(file)
        if status is None or record_file.is_compiled(file):
            continue
        if stat.S_ISLNK(status[MODE]) and _is_relinked(each, file, root):
            relinked.add(file)
        else:
            files[each.path] = file
    return Prefix(packages, damaged, files, frozenset(relinked))


def _is_relinked(listed: File, file: str, root: str) -> bool:
    """Return whether a link is another than the package has; it is known by what it leads to."""
    if listed.kind != conda.LINK:  # conda itself makes links to its cache where it has to
        return import_path.is_below(os.path.realpath(file), root)
    digest = hashlib.sha256(os.fsencode(os.readlink(file))).hexdigest()
    if listed.in_prefix in (None, digest, _NOTHING) or not os.path.isfile(file):
        return False
    content = entry_scripts.read(file) or b""
    return hashlib.sha256(content).hexdigest() not in (listed.sha256, listed.in_prefix)


def facts(
    prefix: Prefix, visible: Iterable[Distribution], hashed: Mapping[str, Hashed]
) -> dict[str, object]:
    """Describe a prefix as snapenv's ``CondaEnvironment``."""
    others = {
        entry.file: entry
        for package in visible
        if origins.of(package)["origin"] != "conda"
        for entry in package.entries or ()
    }
    variables, damaged = conda.variables()
    constants, scripts = conda.activation()
    sums = _Sums(prefix, others, hashed, _points(visible))
    return {
        "packages": [conda.facts(each, sums.of(each)) for each in prefix.packages],
        "variables": variables,
        "activation": constants,
        "scripts": scripts,
        "damaged": [*prefix.damaged, *damaged],
    }


def _points(visible: Iterable[Distribution]) -> dict[str, tuple[str, str]]:
    """Return module and attribute of each script that conda makes, by name."""
    return {
        name: point for package in visible for name, point in entry_scripts.points(package).items()
    }


class _Sums:
    """Sums up the files of packages."""

    def __init__(
        self,
        prefix: Prefix,
        others: Mapping[str, Entry],
        hashed: Mapping[str, Hashed],
        points: Mapping[str, tuple[str, str]],
    ) -> None:
        self._prefix, self._others, self._hashed, self._points = prefix, others, hashed, points
        self._root = import_path.prefix()

    def of(self, package: Package) -> dict[str, object]:
        """Return the files of one as snapenv's ``Files``."""
        sums: dict[str, str] = {}
        edited, missing, translated = [], [], []
        size_bytes = 0
        for each in package.files:
            file, name = f"{self._root}/{each.path}", conda.from_site(each.path)
            hashed = self._hashed.get(self._prefix.files.get(each.path, ""))
            if record_file.is_compiled(file) or self._is_of_another(each, file, hashed):
                continue
            same = self._as_installed(each, file, hashed)
            if same is None and hashed is None:
                missing.append(name)
            elif same is None and hashed is not None:
                sums[name], has_folders = _travels(name, file, hashed)
                size_bytes += hashed.size_bytes
                edited.append(name)
                translated += [name] if has_folders else []
            elif same:
                sums[name] = same
                is_sized = each.kind == conda.FILE and not each.mode
                size_bytes += hashed.size_bytes if hashed and is_sized else 0
        return {
            "count": len(sums),
            "size_bytes": size_bytes,
            "sha256": record_file.digest(sums),
            "edited": sorted(edited),
            "missing": sorted(missing),
            "placeholders": sorted(translated),
        }

    def _as_installed(self, listed: File, file: str, hashed: Hashed | None) -> str | None:
        """Return the hash by which a file counts that is as conda installed it; None if it is not.

        It is empty for what does not count.
        """
        if listed.path in self._prefix.files and listed.kind == conda.LINK and os.path.islink(file):
            return _of_link(file)  # also one to a folder, or to nowhere
        if hashed is None:
            return None
        if listed.kind == conda.ENTRY_POINT:
            return "" if self._is_made(listed, file, hashed) else None
        if listed.in_prefix is None and listed.sha256 is None:  # an old conda kept no hashes
            return hashed.sha256
        return listed.sha256 or hashed.sha256 if hashed.sha256 == listed.in_prefix else None

    def _is_of_another(self, listed: File, file: str, hashed: Hashed | None) -> bool:
        """Return whether a file is another installer's; it is conda's if conda wrote it last."""
        entry = self._others.get(file)
        if entry is None:
            return False
        is_conda = hashed is not None and hashed.sha256 == listed.in_prefix
        return not is_conda or not record_file.is_edited(entry, self._hashed)

    def _is_made(self, listed: File, file: str, hashed: Hashed) -> bool:
        if listed.sha256 == hashed.sha256:
            return True
        point = self._points.get(os.path.basename(file))
        content = entry_scripts.read(file) or b""
        return point is not None and entry_scripts.is_generated(content, *point)


def _of_link(file: str) -> str:
    """Hash a link as what it is; a file of those bytes would count as one that was edited."""
    return hashlib.sha256(b"link:" + os.fsencode(os.readlink(file))).hexdigest()


def _travels(name: str, file: str, hashed: Hashed) -> tuple[str, bool]:
    """Return the hash of an edited file as it travels, and whether the prefix was taken out."""
    is_script, is_known = entry_scripts.is_in_bin(file), placeholders.is_known(name)
    content = entry_scripts.read(file) if is_script or is_known else None
    if content is None:
        return hashed.sha256, False
    if is_script:
        content = entry_scripts.without_environment(content)
    if is_known:
        content = placeholders.take_out(content)
    return hashlib.sha256(content).hexdigest(), is_known and placeholders.MARK in content
