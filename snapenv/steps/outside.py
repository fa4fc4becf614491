"""Compare an image's files with its lock from outside, once for each image that others have made.

Its own Python, which answers the probe, may have been made to say what is not so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from snapenv.errors import NotFoundError
from snapenv.model.snapshot import IMAGE_PREFIX

if TYPE_CHECKING:
    from snapenv.model.image import Image
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Lock
    from snapenv.ports import Services

_READING = "Reading its files from outside"


class _Known(Struct, frozen=True):
    """That an image was built here, or that its files were found to be as locked."""


def keep_as_built(image: Image, lock: Lock, services: Services) -> None:
    """Remember that this machine has built an image of a lock."""
    services.made().keep_value(_name(image, lock), _Known())


def check_outside(
    image: Image, lock: Lock, services: Services, *, rehash: bool
) -> tuple[Check, ...]:
    """Read the files of an image where nobody has, or with ``rehash``; else return no check.

    What a prefix of conda holds is summed up by conda's records, and not compared.

    Raises:
        EngineError: The engine failed.
    """
    made, name = services.made(), _name(image, lock)
    if lock.conda or (not rehash and made.find_value(name, _Known)):
        return ()
    from snapenv.verify.outside import compare_outside  # seldom

    with services.progress.task(_READING):
        try:
            found = services.engine.read_files(image, IMAGE_PREFIX)
            if found is None:
                return ()
            check = compare_outside(found, lock.environment)
        except NotFoundError:
            check = compare_outside((), lock.environment)
    if check.ok:
        made.keep_value(name, _Known())
    return (check,)


def _name(image: Image, lock: Lock) -> str:
    known = msgspec.json.encode(("outside", image.id, image.diff_ids, lock.environment))
    return hashlib.sha256(known).hexdigest()
