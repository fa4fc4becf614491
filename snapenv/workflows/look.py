"""Look into an image, or give what was seen of it before: its files do not change.

An image's id and the digests of its layers are made of its content; so what one probe saw of its
files is what the same probe would see again. What a machine gives to a container is asked anew.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from snapenv.content import replace_file
from snapenv.model.facts import Facts
from snapenv.probe.host import probe_host
from snapenv.probe.probe import pack_probe, probe

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.image import Image
    from snapenv.ports import Outside, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was seen of an image, on which day (UTC), and whether that is given again."""

    facts: Facts
    day: str  # "2026-11-21"
    again: bool = False


def look_into(image: Image, target: Target, outside: Outside, *, rehash: bool = False) -> Look:
    """Give the facts of an image; its container runs in any case. ``rehash`` reads every file."""
    file = _file(image, target, outside)
    kept = None if rehash else _read(file)
    if kept:
        facts = replace(kept.facts, hardware=probe_host(target).hardware)
        return replace(kept, facts=facts, again=True)
    look = Look(facts=probe(target), day=f"{datetime.now(timezone.utc):%Y-%m-%d}")
    _write(file, look)
    return look


def _file(image: Image, target: Target, outside: Outside) -> Path | None:
    """Name the place by all that the answer hangs on: the image, the interpreter, the probe."""
    folder = outside.kept("images")
    known = "\n".join((image.id, *image.diff_ids, target.python)).encode()
    return folder / f"{hashlib.sha256(known + pack_probe()).hexdigest()}.json" if folder else None


def _read(file: Path | None) -> Look | None:
    """Give what is kept; whatever is wrong with it, it is passed over."""
    try:
        content = file.read_bytes() if file else b""
        digest, _, body = content.partition(b"\n")
        if not body or hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        return msgspec.json.decode(body, type=Look)
    except (OSError, ValueError):
        return None


def _write(file: Path | None, look: Look) -> None:
    body = msgspec.json.encode(look)
    with contextlib.suppress(OSError):
        if file:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(file, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
