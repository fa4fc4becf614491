"""What conda, mamba and pixi record of a prefix in ``conda-meta``: its packages and their files.

Nothing is asked of conda itself, and its history is not read: the records alone say what is there.
Sources: https://github.com/conda/ceps/blob/main/cep-0034.md (records) and
https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html (state)
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Iterable, Iterator, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from snapenv_probe import import_path

if TYPE_CHECKING:
    from typing import Dict

    Record = Dict[str, Any]

FILE, LINK, ENTRY_POINT = "hardlink", "softlink", "unix_python_entry_point"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_TOKEN = re.compile(r"/t/[^/]+(?=/|$)")  # of anaconda.org, in the path of a channel
_EXPORT = re.compile(
    r"""export[ ]([A-Za-z_][A-Za-z0-9_]*)=
    (?: '(?P<single>[^'$]*)' | "(?P<double>(?:[^"$`\\]|\$CONDA_PREFIX\b|\$\{CONDA_PREFIX\})*)"
      | (?P<bare>(?:[\w./:,@%+=-]|\$CONDA_PREFIX\b|\$\{CONDA_PREFIX\})*) )[ ]*;?""",
    re.VERBOSE,
)
_LINK_SCRIPT = re.compile(r"bin/\..+-(?:pre|post)-(?:link|unlink)\.sh")
_UNKNOWN = "<unknown>"  # as conda writes it, of a package that it was given as a file
_ARCHIVES = (".conda", ".tar.bz2")


class File(NamedTuple):
    """One file of a package, as its record has it; hashes are in hex."""

    path: str  # from the prefix
    kind: str  # FILE, LINK or ENTRY_POINT
    sha256: str | None  # in the package
    in_prefix: str | None  # as it was installed; None where the record does not tell
    mode: str | None  # "text" or "binary", where the prefix was put into it


class Package(NamedTuple):
    """One package: the record that is its file in ``conda-meta``, and its files."""

    name: str
    record: Record
    files: list[File]


def files() -> frozenset[str]:
    """Return every file that conda says it put into this environment, absolute."""
    return frozenset().union(*_owned())


def record_with(some: Iterable[str]) -> frozenset[str] | None:
    """Return the files that conda installed together with one of these; None where it did not."""
    return next((each for each in _owned() if not each.isdisjoint(some)), None)


@functools.lru_cache(maxsize=None)
def _owned() -> list[frozenset[str]]:
    prefix = import_path.prefix()
    return [
        frozenset(os.path.join(prefix, name) for name in _named(record))
        for record in _records().values()
    ]


def _named(record: Record | None) -> list[str]:
    listed = (record or {}).get("files")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


@functools.lru_cache(maxsize=None)
def packages() -> tuple[list[Package], list[str]]:
    """Return the packages of a prefix of conda by name, and what is damaged, in words."""
    read: dict[str, Package] = {}
    damaged = []
    for name, record in _records().items():
        if record is None:
            damaged.append(f"conda-meta/{name} is not a record of a package")
            continue
        missing = [key for key in ("name", "version", "build") if not _is_text(record.get(key))]
        if missing:
            damaged.append(f"conda-meta/{name} does not tell the {missing[0]} of its package")
        elif record["name"] in read:
            damaged.append(f"conda-meta/{name} is a second record of {record['name']}")
        else:
            files = [*_files(record)]
            if any(_leads_out(file.path) for file in files):
                damaged.append(f"conda-meta/{name} names a file outside of the environment")
            read[record["name"]] = Package(record["name"], record, files)
    return [read[name] for name in sorted(read)], damaged


def _leads_out(path: str) -> bool:
    return path.startswith("/") or (".." in path and ".." in path.split("/"))


def looked_at() -> list[str]:
    """Name the files beside the tree of the prefix that the answers of this module hang on."""
    folder = os.path.join(import_path.prefix(), "conda-meta")
    return [os.path.join(folder, name) for name in (*_records(), "state")]


@functools.lru_cache(maxsize=None)
def _records() -> dict[str, Record | None]:
    """Read the records by their names, sorted; None stands for one that is damaged."""
    folder = os.path.join(import_path.prefix(), "conda-meta")
    names = (name for name in import_path.names(folder) if name.endswith(".json"))
    return {name: _read(os.path.join(folder, name)) for name in names}


def _read(path: str) -> Record | None:
    try:
        if not os.path.isfile(path):  # a pipe would never end
            return None
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def paths(record: Record) -> list[Record]:
    """Return what ``paths_data`` tells of the files of a record; an old conda wrote none."""
    data = record.get("paths_data")
    listed = data.get("paths") if isinstance(data, dict) else None
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and _is_text(entry.get("_path"))]


def _files(record: Record) -> Iterator[File]:
    """Yield the files of a record, with what ``paths_data`` tells of them where it is there."""
    recorded = {each["_path"]: each for each in paths(record)}
    for path in dict.fromkeys([*_named(record), *recorded]):
        entry = recorded.get(path, {})
        kind = entry.get("path_type", FILE)
        if kind in (FILE, LINK, ENTRY_POINT):
            sha256 = _hash(entry.get("sha256"), _SHA256)
            has_prefix = isinstance(entry.get("prefix_placeholder"), str)
            installed = _hash(entry.get("sha256_in_prefix"), _SHA256)
            mode = entry.get("file_mode") if has_prefix else None
            yield File(path, kind, sha256, installed or (None if has_prefix else sha256), mode)


def from_site(path: str) -> str:
    """Name a file of the prefix from site-packages, as RECORD does."""
    site = _site()
    return path[len(site) :] if path.startswith(site) else f"../../../{path}"


@functools.lru_cache(maxsize=None)
def _site() -> str:
    root = import_path.prefix()
    folders = [folder for folder in import_path.own_folders() if import_path.is_below(folder, root)]
    return f"{os.path.relpath(folders[0], root)}/" if folders else "lib/python3/site-packages/"


@functools.lru_cache(maxsize=None)
def texts() -> frozenset[str]:
    """Return the texts that conda put the prefix into, named from site-packages."""
    if import_path.conda() is None:
        return frozenset()
    files = (file for package in packages()[0] for file in package.files)
    return frozenset(from_site(file.path) for file in files if file.mode == "text")


def facts(package: Package, files: dict[str, object]) -> dict[str, object]:
    """Describe one as snapenv's ``CondaPackage``, whose files were summed up."""
    record = package.record
    url = record.get("url")
    return {
        "name": package.name,
        "version": record["version"],
        "build": record["build"],
        "build_number": _number(record.get("build_number")) or 0,
        "subdir": _text(record.get("subdir")) or _subdir(record),
        "noarch": _noarch(record.get("noarch")),
        "channel": _public(_text(record.get("channel"))),
        "url": _public(_text(url)),
        "file_name": file_name(record),
        "md5": _hash(record.get("md5"), _MD5),
        "sha256": _hash(record.get("sha256"), _SHA256),
        "size_bytes": _number(record.get("size")),
        "timestamp_ms": _number(record.get("timestamp")),
        "depends": _texts(record.get("depends")),
        "constrains": _texts(record.get("constrains")),
        "python_site_packages_path": _text(record.get("python_site_packages_path")),
        "license": _text(record.get("license")),
        "requested": sorted({*_texts(record.get("requested_specs")), *_requested(record)}),
        "link_scripts": [file.path for file in package.files if _is_link_script(file.path)],
        "files": files,
    }


def file_name(record: Record) -> str:
    """Return the name of the package's file, as a channel has it."""
    named = _text(record.get("fn")) or os.path.basename(_text(record.get("url")) or "")
    stem = f"{record['name']}-{record['version']}-{record['build']}"
    return named if named.endswith(_ARCHIVES) else f"{stem}.conda"


def cached(package: Package) -> str | None:
    """Return where the package's own file lies on this machine, if it does: in conda's cache."""
    record = package.record
    name = file_name(record)
    extracted = _text(record.get("extracted_package_dir"))
    url = _place(record)
    places = [
        _text(record.get("package_tarball_full_path")),
        os.path.join(os.path.dirname(extracted), name) if extracted else None,
        unquote(url.path) if url.scheme == "file" else None,
    ]
    return next((place for place in places if place and os.path.isfile(place)), None)


def is_own_archive(package: Package, file: str) -> bool:
    """Return whether a file is the very one that a package was installed from."""
    for algorithm, form in (("sha256", _SHA256), ("md5", _MD5)):
        recorded = _hash(package.record.get(algorithm), form)
        if recorded:
            digest = hashlib.new(algorithm)
            try:
                with open(file, "rb") as stream:
                    for chunk in iter(lambda: stream.read(1 << 20), b""):
                        digest.update(chunk)
            except OSError:
                return False
            return digest.hexdigest() == recorded
    return False


def variables() -> tuple[dict[str, str], list[str]]:
    """Return what ``conda env config vars set`` has set, and what is damaged, in words."""
    path = os.path.join(import_path.prefix(), "conda-meta", "state")
    if not os.path.lexists(path):
        return {}, []
    state = _read(path)
    values = state.get("env_vars", {}) if state else None
    if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
        return {}, ["conda-meta/state does not tell variables"]
    return {name: _from_prefix(value) for name, value in sorted(values.items())}, []


def activation() -> tuple[dict[str, str], list[str]]:
    """Return the constants that activation exports, and the scripts that do more, from the prefix.

    Scripts are read in the order in which conda runs them.
    """
    folder = "etc/conda/activate.d"
    constants: dict[str, str] = {}
    scripts = []
    for name in import_path.names(os.path.join(import_path.prefix(), folder)):
        if name.endswith(".sh"):
            constant = _exports(os.path.join(import_path.prefix(), folder, name))
            if constant is None:
                scripts.append(f"{folder}/{name}")
            constants.update(constant or {})
    return constants, scripts


def _exports(path: str) -> dict[str, str] | None:
    """Read a script that only exports constants; None where it does anything else."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, ValueError):
        return None
    exported = {}
    for line in lines:
        if line and not line.startswith("#"):
            match = _EXPORT.fullmatch(line)
            if match is None:
                return None
            value = match["single"] or match["double"] or match["bare"] or ""
            exported[match[1]] = _from_prefix(value.replace("${CONDA_PREFIX}", "$CONDA_PREFIX"))
    return exported


def _from_prefix(value: str) -> str:
    for prefix in (sys.prefix, import_path.prefix()):
        value = re.sub(rf"{re.escape(prefix)}(?![\w.+-])", "$CONDA_PREFIX", value)
    return value


def _public(url: str | None) -> str | None:
    """Return an address without user info, token and query; None for one of this machine."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    if parts.scheme not in ("https", "http"):
        return None if "/" in (url or "") or url == _UNKNOWN else url  # the channel's name alone
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, _TOKEN.sub("", parts.path, count=1), "", ""))


def _place(record: Record) -> SplitResult:
    """Take apart where a package came from; what is no address is nowhere."""
    try:
        return urlsplit(_text(record.get("url")) or "")
    except ValueError:
        return urlsplit("")


def _subdir(record: Record) -> str:
    above = os.path.basename(os.path.dirname(_place(record).path))
    return above or ("noarch" if record.get("noarch") else "linux-64")


def _noarch(value: object) -> str | None:
    """Return the kind; of an old package that only says that it is one, the generic."""
    return str(value) if value in ("python", "generic") else "generic" if value else None


def _requested(record: Record) -> list[str]:
    requested = _text(record.get("requested_spec"))
    return [requested] if requested and requested != "None" else []


def _is_link_script(path: str) -> bool:
    return path.startswith("bin/.") and bool(_LINK_SCRIPT.fullmatch(path))


def _hash(value: object, form: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and form.fullmatch(value) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and _is_text(value) else None


def _texts(value: object) -> list[str]:
    return [each for each in value if _is_text(each)] if isinstance(value, list) else []


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
