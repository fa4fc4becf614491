"""Look into an image, or give what was seen of it before: its files do not change.

An image's id and the digests of its layers are made of its content; so what one probe saw of its
files is what the same probe would see again. What a machine gives to a container is asked anew.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.facts import Facts
from snapenv.probe.host import probe_host
from snapenv.probe.probe import probe
from snapenv.program import program_digest

if TYPE_CHECKING:
    from snapenv.model.image import Image
    from snapenv.ports import Services, Target


class Inspection(Struct, frozen=True, kw_only=True):
    """What was seen of an image, on which day (UTC), and whether that is given again."""

    facts: Facts
    day: str  # "2026-11-21"
    again: bool = False


def inspect_image(
    image: Image, target: Target, services: Services, *, rehash: bool = False
) -> Inspection:
    """Return the facts of an image; its container runs in any case. ``rehash`` reads every file."""
    made, name = services.made(), _name(image, target)
    kept = None if rehash else made.find_value(name, Inspection)
    if kept:
        facts = replace(kept.facts, hardware=probe_host(target).hardware)
        return replace(kept, facts=facts, again=True)
    inspection = Inspection(facts=probe(target), day=f"{datetime.now(timezone.utc):%Y-%m-%d}")
    made.keep_value(name, inspection)
    return inspection


def _name(image: Image, target: Target) -> str:
    """Name a look by all that it hangs on: the image, the interpreter, and this program."""
    known = ("look", program_digest(), image.id, *image.diff_ids, target.python)
    return hashlib.sha256("\n".join(known).encode()).hexdigest()
