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
    everything = [package for folder in path for package in _in_folder(folder)]
    completed: list[Distribution] = unrecorded.complete(everything)
    return completed


def visible(everything: list[Distribution]) -> list[Distribution]:
    """Keep the first of each name, which is the one that is imported; sorted by name.

    Those that are installed editable get their sources.
    """
    first = {package.name: package for package in reversed(everything)}
    return [_sorted_out(first[name]) for name in sorted(first)]


def is_of_package(package: Distribution) -> bool:
    """Return whether a package of conda, which sums up its files, holds a distribution."""
    return import_path.conda() is not None and origins.of(package)["origin"] == "conda"


def _sorted_out(package: Distribution) -> Distribution:
    is_editable = origins.of(package)["origin"] == "editable"
    sources = editable.of(package) if is_editable else None
    counted = _counted(package, sources)
    scripts = {entry for entry in counted if _is_script(entry)}
    return package._replace(
        sources=sources,
        digested=tuple(entry for entry in counted if entry not in scripts),
        scripts=tuple(entry for entry in counted if entry in scripts),
    )


def _counted(package: Distribution, sources: Sources | None) -> list[record_file.Entry]:
    """Of an editable installation, its sources count and what leads to them does not.

    Nor does a WHEEL that snapenv made for what had none.
    """
    named = [
        entry for entry in package.entries or () if record_file.is_counted(entry, package.info)
    ]
    own = [inner for entry in named for inner in editable.followed(entry)]
    if _MADE in (package.read("WHEEL") or ""):
        own = [entry for entry in own if entry.path != f"{package.info}/WHEEL"]
    if sources is None:
        return own
    kept = [entry for entry in own if entry.file not in sources.wiring]
    places = {entry.path for entry in kept}
    return kept + [entry for entry in sources.entries if entry.path not in places]


def facts(package: Distribution, hashed: dict[str, Hashed]) -> dict[str, object]:
    """Describe one as snapenv's ``Distribution``."""
    installer = _WORD.match(package.read("INSTALLER") or "")
    wheel = package.read("WHEEL")
    is_summed_up = is_of_package(package)
    return {
        "name": package.name,
        "version": package.version,
        "installer": installer.group() if installer else None,
        "tags": sorted(set(re.findall(r"^Tag: *([!-~]+)", wheel or "", re.MULTILINE))),
        "compiled": wheel is None and unrecorded.has_machine_code(package.entries or ()),
        "files": None if is_summed_up else _files(package, hashed),
        **origins.of(package),
    }


def _files(package: Distribution, hashed: dict[str, Hashed]) -> dict[str, object] | None:
    """Sum up its files; None where nothing says which they are."""
    if package.entries is None and package.sources is None:
        return None
    scripts = entry_scripts.find(package)
    translated = _translated(package, hashed)
    bin_folder = os.path.join(import_path.root_of(package.folder), "bin")
    removed = [script for script in package.scripts if not os.path.lexists(script.file)]
    files: dict[str, object] = record_file.files(
        [
            *package.digested,
            *(script.entry for script in scripts),
            *(script for script in removed if os.path.dirname(script.file) == bin_folder),
        ],
        ChainMap({script.entry.file: script.hashed() for script in scripts}, translated, hashed)
        if scripts or translated
        else hashed,
        scripts={
            **{script.entry.path: script.is_edited for script in scripts},
            **{script.path: True for script in package.digested if script.file in translated},
        },
        made=entry_scripts.made(package),
    )
    named = [script.path for script in package.digested if script.file in translated]
    return {**files, "placeholders": sorted(map(record_file.named, named))}


def _translated(package: Distribution, hashed: dict[str, Hashed]) -> dict[str, Hashed]:
    """Hash the edited files that name the environment as they travel, by where they lie."""
    translated = {}
    for entry in package.digested:
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
    packages = (_distribution(folder, info) for info in infos if not info.startswith("~"))
    first: dict[str, Distribution] = {}
    for package in filter(None, packages):
        if package.name not in first or (import_path.conda() and origins.is_of_conda(package)):
            first[package.name] = package
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
    line = re.search(rf"^{name}:[ \t]*([!-~]+)[ \t\r]*$", headers, re.MULTILINE | re.IGNORECASE)
    return line.group(1) if line else None
