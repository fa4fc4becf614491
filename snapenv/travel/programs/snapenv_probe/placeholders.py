"""Files of which the environment's own folder is a part: it is taken out of them where they travel.

That is so in the forms that are known to mean it: ``.pth`` files, Jupyter's ``kernel.json``, what
a shell reads when an environment is activated, and the texts that conda put the folder into. In its
place stands a placeholder, and ``apply.py`` of the overlay puts in the folder of the environment
that it runs in.
Sources: https://docs.python.org/3/library/site.html
https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs
https://docs.conda.io/projects/conda-build/en/stable/resources/activate-scripts.html
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.

from __future__ import annotations

import functools
import json
import os
import re
import sys

from snapenv_probe import import_path

MARK = b"@snapenv:"
_SITE, _PREFIX, _ITSELF = MARK + b"site@", MARK + b"prefix@", MARK + b"@"
_KNOWN = re.compile(
    r"[^/]+\.pth"
    r"|(?:.+/)?kernel\.json"
    r"|\.\./\.\./\.\./bin/[^/]*activate[^/]*"
    r"|\.\./\.\./\.\./etc/conda/(?:de)?activate\.d/[^/]+",
    re.IGNORECASE,
)
_SHARED = ("/", "/usr", "/usr/local", "/opt")  # a folder that a text may name for other reasons
_BEFORE = rb"(?:(?<![\w.~+-])|(?<=-[LI]))"
_AFTER = rb"(?!\.?[\w+~-]|[\x80-\xff])"


def is_known(path: str) -> bool:
    """Return whether a file, by its path from site-packages, is of a form that is translated."""
    return _KNOWN.fullmatch(path) is not None or path in _of_conda()


@functools.lru_cache(maxsize=None)
def _of_conda() -> frozenset[str]:
    from snapenv_probe import conda  # imported late: a look that finds nothing changed needs none

    return conda.texts()


def take_out(content: bytes) -> bytes:
    """Put placeholders for the environment's folders; what looks like one is escaped."""
    return _pattern().sub(_placeholder, content.replace(MARK, _ITSELF))


def places() -> dict[str, list[str]]:
    """Return the folders that lead nowhere elsewhere, by what they are: written, and resolved."""
    home = os.path.expanduser("~")  # noqa: PTH111
    own = [*_sites(), *_prefixes()]
    homes = [] if home.count("/") < 2 or home == "/root" else _both(home)  # noqa: PLR2004
    return {"this environment's folder": sorted({*own}), "your home folder": sorted({*homes})}


def _placeholder(match: re.Match[bytes]) -> bytes:
    return _folders()[match[0]]


@functools.lru_cache(maxsize=None)
def _pattern() -> re.Pattern[bytes]:
    longest_first = sorted(_folders(), key=len, reverse=True)
    return re.compile(_BEFORE + b"(?:" + b"|".join(map(re.escape, longest_first)) + b")" + _AFTER)


@functools.lru_cache(maxsize=None)
def _folders() -> dict[bytes, bytes]:
    """Return the placeholder of each folder, however a text may write it."""
    known = {**dict.fromkeys(_prefixes(), _PREFIX), **dict.fromkeys(_sites(), _SITE)}
    return {form: mark for folder, mark in known.items() for form in _forms(folder)}


def _forms(folder: str) -> set[bytes]:
    return {os.fsencode(folder), json.dumps(folder)[1:-1].encode()}


def _sites() -> list[str]:
    own = _own()
    return [*(folder for folder in sys.path if os.path.realpath(folder) in own), *own]


def _own() -> list[str]:
    return [os.path.realpath(folder) for folder in import_path.own_folders()]


def _prefixes() -> list[str]:
    """Return the folder of the environment; of the base too, where its packages are seen."""
    prefixes = [sys.prefix]
    if any(import_path.is_below(site, sys.base_prefix) for site in _own()):
        prefixes.append(sys.base_prefix)
    return [
        spelling for prefix in prefixes for spelling in _both(prefix) if spelling not in _SHARED
    ]


def _both(folder: str) -> list[str]:
    return [folder, os.path.realpath(folder)]
