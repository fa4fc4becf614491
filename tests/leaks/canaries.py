"""Secrets that are planted, and a search for them that knows nothing of snapenv."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass
class Canaries:
    """One secret for each place where it was planted, the same in every run."""

    planted: dict[str, str] = field(default_factory=dict)  # place to secret

    def plant(self, place: str) -> str:
        """Return the secret of a place: letters and digits, 32 of them."""
        digest = hashlib.sha256(f"a canary for {place}".encode()).digest()
        secret = base64.b32encode(digest).decode()[:31].lower() + "7"
        return self.planted.setdefault(place, secret)

    def found(self, outputs: Mapping[str, bytes]) -> list[str]:
        """Say which canaries are in which outputs, also packed or encoded; sorted."""
        return sorted(
            f"{place} in {output}"
            for output, content in _with_packed(outputs)
            for place, secret in self.planted.items()
            if any(form in content for form in forms(secret))
        )


def forms(secret: str) -> Iterator[bytes]:
    """Yield the ways in which a secret may be written; in base64, at each of three places."""
    raw = secret.encode()
    yield raw
    yield raw.upper()
    yield raw[::-1]
    yield raw.hex().encode()
    yield quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    for before in range(3):
        yield base64.b64encode(b"x" * before + raw)[4:-4]


def outputs_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its path, and the paths themselves."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {**files, "the names of files": "\n".join(files).encode()}


def _with_packed(outputs: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, content in outputs.items():
        yield name, content
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                inner = {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
            yield from _with_packed(inner)
