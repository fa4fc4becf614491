"""Read the bills of materials that installed wheels carry.

Source: https://peps.python.org/pep-0770/
"""

# ruff: noqa: PTH118

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Dict, Iterator
from urllib.parse import quote

from snapenv_probe import distributions, import_path

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution

    Sbom = Dict[str, object]

MARK = "snapenv-sboms: "

_MOST_BYTES = 2 << 20  # of a file, and of what is larger the hash alone is told
_MOST_FILES = 100  # of a distribution
_CHUNK_BYTES = 1 << 20


def document() -> str:
    """Return them as JSON, sorted by distribution and path, as snapenv's ``WheelSbom``."""
    everything = distributions.find(import_path.folders())
    first = {package.name: package for package in reversed(everything)}
    return json.dumps([sbom for name in sorted(first) for sbom in _of(first[name])])


def _of(package: Distribution) -> Iterator[Sbom]:
    top = os.path.join(package.folder, package.info, "sboms")
    for path in sorted(_files(top))[:_MOST_FILES]:
        with open(path, "rb") as file:  # noqa: PTH123
            start = file.read(_MOST_BYTES + 1)
            digest = hashlib.sha256(start)
            size = len(start)
            for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
                digest.update(chunk)
                size += len(chunk)
        is_small = size <= _MOST_BYTES
        yield {
            "distribution": package.name,
            "file": quote(os.fsencode(os.path.relpath(path, package.folder))),
            "sha256": digest.hexdigest(),
            "size_bytes": size,
            "content": base64.b64encode(start).decode() if is_small else None,
        }


def _files(top: str) -> Iterator[str]:
    """Yield the plain files below a folder; no link is followed."""
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                yield path
