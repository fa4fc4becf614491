"""What is installed: each distribution with its version, origin and files.

Reads the same files as ``importlib.metadata``, but less of each, and goes on where one is damaged.
Source: https://packaging.python.org/en/latest/specifications/section-distribution-metadata/
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import hashlib
import os
import re
from collections import ChainMap
from typing import TYPE_CHECKING

from snapenv_probe import (
    editable,
    entry_scripts,
    import_path,
    origins,
    placeholders,
    record_file,
    unrecorded,
)
from snapenv_probe.distribution import Distribution, read_text

if TYPE_CHECKING:
    from snapenv_probe.distribution import Sources
    from snapenv_probe.hashing import Hashed

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_MADE = "\nGenerator: snapenv\n"
_WORD = re.compile(r"[!-~]+")


def find(path: list[str]) -> list[Distribution]:
    """List the distributions in the order of the import path, also those that others shadow."""
    everything = [found for folder in path for found in _in_folder(folder)]
    completed: list[Distribution] = unrecorded.complete(everything)
    return completed


def visible(everything: list[Distribution]) -> list[Distribution]:
    """Keep the first of each name, which is the one that is imported; sorted by name.

    Those that are installed editable get their sources.
    """
    first = {found.name: found for found in reversed(everything)}
    return [_sorted_out(first[name]) for name in sorted(first)]


def is_of_package(found: Distribution) -> bool:
    """Return whether a package of conda, which sums up its files, holds a distribution."""
    return import_path.conda() is not None and origins.of(found)["origin"] == "conda"


def _sorted_out(found: Distribution) -> Distribution:
    is_editable = origins.of(found)["origin"] == "editable"
    sources = editable.of(found) if is_editable else None
    counted = _counted(found, sources)
    scripts = {entry for entry in counted if _is_script(entry)}
    return found._replace(
        sources=sources,
        digested=tuple(entry for entry in counted if entry not in scripts),
        scripts=tuple(entry for entry in counted if entry in scripts),
    )


def _counted(found: Distribution, sources: Sources | None) -> list[record_file.Entry]:
    """Of an editable installation, its sources count and what leads to them does not.

    Nor does a WHEEL that snapenv made for what had none.
    """
    named = [entry for entry in found.entries or () if record_file.is_counted(entry, found.info)]
    own = [inner for entry in named for inner in editable.followed(entry)]
    if _MADE in (found.read("WHEEL") or ""):
        own = [entry for entry in own if entry.path != f"{found.info}/WHEEL"]
    if sources is None:
        return own
    kept = [entry for entry in own if entry.file not in sources.wiring]
    places = {entry.path for entry in kept}
    return kept + [entry for entry in sources.entries if entry.path not in places]


def facts(found: Distribution, hashed: dict[str, Hashed]) -> dict[str, object]:
    """Describe one as snapenv's ``Distribution``."""
    installer = _WORD.match(found.read("INSTALLER") or "")
    wheel = found.read("WHEEL")
    is_summed_up = is_of_package(found)
    return {
        "name": found.name,
        "version": found.version,
        "installer": installer.group() if installer else None,
        "tags": sorted(set(re.findall(r"^Tag: *([!-~]+)", wheel or "", re.MULTILINE))),
        "compiled": wheel is None and unrecorded.has_machine_code(found.entries or ()),
        "files": None if is_summed_up else _files(found, hashed),
        **origins.of(found),
    }


def _files(found: Distribution, hashed: dict[str, Hashed]) -> dict[str, object] | None:
    """Sum up its files; None where nothing says which they are."""
    if found.entries is None and found.sources is None:
        return None
    scripts = entry_scripts.find(found)
    translated = _translated(found, hashed)
    bin_folder = os.path.join(import_path.root_of(found.folder), "bin")
    removed = [one for one in found.scripts if not os.path.lexists(one.file)]
    files: dict[str, object] = record_file.files(
        [
            *found.digested,
            *(one.entry for one in scripts),
            *(one for one in removed if os.path.dirname(one.file) == bin_folder),
        ],
        ChainMap({one.entry.file: one.hashed() for one in scripts}, translated, hashed)
        if scripts or translated
        else hashed,
        scripts={
            **{one.entry.path: one.is_edited for one in scripts},
            **{one.path: True for one in found.digested if one.file in translated},
        },
        made=entry_scripts.made(found),
    )
    named = [one.path for one in found.digested if one.file in translated]
    return {**files, "placeholders": sorted(map(record_file.named, named))}


def _translated(found: Distribution, hashed: dict[str, Hashed]) -> dict[str, Hashed]:
    """Hash the edited files that name the environment as they travel, by where they lie."""
    translated = {}
    for entry in found.digested:
        if entry.file in hashed and placeholders.is_known(entry.path):
            content = entry_scripts.read(entry.file) or b""
            travels = placeholders.take_out(content)
            if travels != content and record_file.is_other(entry, content):
                sha256 = hashlib.sha256(travels).hexdigest()
                translated[entry.file] = hashed[entry.file]._replace(sha256=sha256)
    return translated


def _is_script(entry: record_file.Entry) -> bool:
    return record_file.is_script(entry) and not entry_scripts.is_program(entry.file)


def _in_folder(folder: str) -> list[Distribution]:
    """List those of one folder by name; of two of one name, as a broken upgrade leaves, the first.

    Conda leaves pip's where it installs over it, and then the one of conda counts.
    A name that starts with ``~`` is what pip leaves of a removal that failed.
    """
    if folder.endswith(".egg"):
        infos = ["EGG-INFO"]
    else:
        inside = import_path.names(folder)
        infos = [name for name in inside if name.endswith((".dist-info", ".egg-info"))]
    found = (_distribution(folder, info) for info in infos if not info.startswith("~"))
    first: dict[str, Distribution] = {}
    for one in filter(None, found):
        if one.name not in first or (import_path.conda() and origins.is_of_conda(one)):
            first[one.name] = one
    return list(first.values())


def _distribution(folder: str, info: str) -> Distribution | None:
    base = os.path.join(folder, info)  # a folder, or of Debian's .egg-info the only file
    named = (os.path.join(base, "METADATA"), os.path.join(base, "PKG-INFO"), base)
    text = next(filter(None, map(read_text, named)), "")
    headers = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    name, version = _header(headers, "Name"), _header(headers, "Version")
    if not name or not version or not _NAME.fullmatch(name):
        return None
    listed = read_text(os.path.join(base, "RECORD"))
    entries = None if listed is None else record_file.parse(listed, folder)
    return Distribution(re.sub(r"[-_.]+", "-", name).lower(), version, folder, info, entries)


def _header(headers: str, name: str) -> str | None:
    found = re.search(rf"^{name}:[ \t]*([!-~]+)[ \t\r]*$", headers, re.MULTILINE | re.IGNORECASE)
    return found.group(1) if found else None
