"""Compare an image with its lock and its base from outside, once for each that others have made.

Its own Python, which answers the probe, may have been made to say what is not so; and its labels,
which name its base, are what somebody has written.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from snapenv.errors import NotFoundError, RegistryError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, IMAGE_PREFIX

if TYPE_CHECKING:
    from snapenv.model.image import Image, RemoteImage
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Lock
    from snapenv.ports import Services

_READING = "Reading its files from outside"


class _Known(Struct, frozen=True):
    """That an image was built here, or was found to be as it should."""


def keep_as_built(image: Image, lock: Lock, services: Services) -> None:
    """Remember that this machine has built an image of a lock."""
    for name in (_name_of_files(image, lock), _name_of_base(image)):
        services.made().keep_value(name, _Known())


def check_outside(
    image: Image, lock: Lock, services: Services, *, rehash: bool
) -> tuple[Check, ...]:
    """Check an image's base, and its files, where nobody has, or with ``rehash``.

    What a prefix of conda holds is summed up by conda's records, and not compared.

    Raises:
        EngineError: The engine failed.
    """
    made, files, base = services.made(), _name_of_files(image, lock), _name_of_base(image)
    checks: list[Check] = []
    if rehash or not made.find_value(base, _Known):
        checks += _keep(_check_base(image, services), base, services)
    if not lock.conda and (rehash or not made.find_value(files, _Known)):
        checks += _keep(_check_files(image, lock, services), files, services)
    return tuple(checks)


def _keep(check: Check | None, name: str, services: Services) -> tuple[Check, ...]:
    if check and check.ok:
        services.made().keep_value(name, _Known())
    return (check,) if check else ()


def _check_files(image: Image, lock: Lock, services: Services) -> Check | None:
    from snapenv.verify.outside import compare_outside  # seldom

    with services.progress.task(_READING):
        try:
            found = services.engine.read_files(image, IMAGE_PREFIX)
            return None if found is None else compare_outside(found, lock.environment)
        except NotFoundError:
            return compare_outside((), lock.environment)


def _check_base(image: Image, services: Services) -> Check:
    """Compare the layers of the base that an image names, of which nothing is fetched."""
    from snapenv.verify.outside import base_unknown, compare_base

    name, digest = (image.labels.get(label) for label in (BASE_NAME_LABEL, BASE_DIGEST_LABEL))
    try:
        ref = ImageRef.parse(f"{name}@{digest}")
    except ValueError:
        return base_unknown("the base that it names", "it names none")
    try:
        base = _find_base(ref, image, services)
    except (NotFoundError, RegistryError) as error:
        return base_unknown(str(ref), error.message)
    return compare_base(image.diff_ids, base.diff_ids, str(ref))


def _find_base(ref: ImageRef, image: Image, services: Services) -> Image | RemoteImage:
    """Return a base as the engine has it by its digest, else as its registry describes it.

    Raises:
        NotFoundError: The registry has no such image.
        RegistryError: The registry does not answer, or refuses.
    """
    here = services.engine.find(str(ref))
    if here and here.machine == image.machine:
        return here
    with services.progress.task(f"Asking for {ref.tagged}"):
        return services.registry.read(ref, machine=image.platform)


def _name_of_files(image: Image, lock: Lock) -> str:
    return _digest("outside", image.id, image.diff_ids, lock.environment)


def _name_of_base(image: Image) -> str:
    return _digest("base", image.id, image.diff_ids, image.labels)


def _digest(*known: object) -> str:
    return hashlib.sha256(msgspec.json.encode(known)).hexdigest()
