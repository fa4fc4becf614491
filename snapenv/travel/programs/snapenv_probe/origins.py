"""Where a distribution came from.

Source: https://packaging.python.org/en/latest/specifications/direct-url/
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH118

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from snapenv_probe import conda, import_path, record_file

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution

_OF_SYSTEM = ("debian", "rpm")
_FINDER = re.compile(r"_?_editable_?_.*\.pth")


def of(package: Distribution) -> dict[str, str | None]:
    """Return ``origin`` and ``url``, the first that holds of: base, conda, direct URL, system."""
    if import_path.is_of_image(package.folder):
        return {"origin": "base", "url": None}
    if is_of_conda(package):
        return {"origin": "conda", "url": None}
    direct = _direct_url(package)
    if direct:
        return {"origin": _kind(direct), "url": _url(direct)}
    return {"origin": _without_url(package), "url": None}


def _without_url(package: Distribution) -> str:
    if _is_in_place(package):
        return "editable"
    is_system = (
        package.entries is None
        or ((package.read("INSTALLER") or "").strip() in _OF_SYSTEM and not _is_in_venv(package))
        or package.folder.startswith("/usr/lib/python3/")
    )
    if is_system:
        return "system"
    return "index" if package.info.endswith(".dist-info") else "local"  # an index has no .egg-info


def _is_in_venv(package: Distribution) -> bool:
    return sys.prefix != sys.base_prefix and import_path.is_below(package.folder, sys.prefix)


def is_of_conda(package: Distribution) -> bool:
    """Return whether conda installed a distribution, which nothing else did since."""
    installer = (package.read("INSTALLER") or "").strip()
    info = os.path.join(package.folder, package.info)
    named = (os.path.join(info, "METADATA"), os.path.join(info, "PKG-INFO"), info)
    return installer == "conda" or (not installer and not conda.files().isdisjoint(named))


def _is_in_place(package: Distribution) -> bool:
    """Return whether its sources are imported where they lie, by a way that leaves no URL.

    That is a finder in RECORD, or setuptools' old .egg-info beside the sources themselves.
    """
    if package.entries is None:
        return not package.folder.endswith(("-packages", ".egg"))
    return any(_FINDER.fullmatch(entry.path) for entry in package.entries)


def _direct_url(package: Distribution) -> dict[str, Any] | None:
    try:
        direct = json.loads(package.read("direct_url.json") or "null")
    except (ValueError, RecursionError):
        return None
    return direct if isinstance(direct, dict) and isinstance(direct.get("url"), str) else None


def _kind(direct: dict[str, Any]) -> str:
    folder = direct.get("dir_info")
    if isinstance(direct.get("vcs_info"), dict):
        return "vcs"
    if isinstance(folder, dict):
        return "editable" if folder.get("editable") else "local"
    return "local" if direct["url"].lower().startswith("file:") else "url"


def _url(direct: dict[str, Any]) -> str:
    """Write a URL without what may be secret or personal.

    That is: user info, query and fragment, and all folders of a local path. One of version
    control is written as pip does, ``git+https://example.com/x@commit``.
    """
    url = record_file.printable(_public(direct["url"]))
    if _kind(direct) != "vcs":
        return str(url)
    vcs, commit = (_word(direct["vcs_info"].get(name)) for name in ("vcs", "commit_id"))
    return f"{vcs or 'git'}+{url}@{commit}".rstrip("@")


def _word(value: object) -> str:
    return str(record_file.printable(value)) if isinstance(value, str) else ""


def _public(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "invalid:"
    if parts.scheme == "file":
        return "file:" + posixpath.basename(parts.path.rstrip("/"))
    host = parts.netloc.rpartition("@")[2]
    path = parts.path if host else parts.path.rpartition("@")[2]  # of a scheme that is none
    return urlunsplit((parts.scheme, host, path, "", ""))
