"""Compare an image with its lock and its base from outside, once for each that others have made.

Its own Python, which answers the probe, may have been made to say what is not so; and its labels,
which name its base, are what somebody has written.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from snapenv.errors import NotFoundError, RegistryError, SnapshotVersionError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, IMAGE_PREFIX

if TYPE_CHECKING:
    from snapenv.model.image import Image, RemoteImage
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Lock
    from snapenv.ports import Services

_READING = "Reading its files from outside"
_ASKED_AGAIN_S = 3600  # a registry that did not answer may have kept somebody waiting for 10 s


class _Known(Struct, frozen=True):
    """That an image was built here, or was found to be as it should."""


class _Unanswered(Struct, frozen=True, kw_only=True):
    """Why a base could not be had, and until when it is not asked for again."""

    why: str
    until_s: float  # since 1970


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
        checks += _keep(_check_base(image, services, rehash=rehash), base, services)
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


def _check_base(image: Image, services: Services, *, rehash: bool) -> Check:
    """Compare the layers of the base that an image names, of which nothing is fetched."""
    from snapenv.verify.outside import base_unknown, compare_base

    name, digest = (image.labels.get(label) for label in (BASE_NAME_LABEL, BASE_DIGEST_LABEL))
    try:
        ref = ImageRef.parse(f"{name}@{digest}")
    except ValueError:
        return base_unknown("the base that it names", "it names none")
    here = services.engine.find(str(ref))
    local = here if here and here.machine == image.machine else None
    base = local or _ask_for_base(ref, image, services, rehash=rehash)
    if isinstance(base, str):
        return base_unknown(str(ref), base)
    return compare_base(image.diff_ids, base.diff_ids, str(ref))


def _ask_for_base(
    ref: ImageRef, image: Image, services: Services, *, rehash: bool
) -> RemoteImage | str:
    """Return a base as its registry describes it, or why it does not.

    A registry that does not answer, as where there is no network, is not waited for again soon.
    """
    made, name = services.made(), _digest("unanswered", str(ref))
    before = made.find_value(name, _Unanswered)
    if before and time.time() < before.until_s and not rehash:
        return before.why
    try:
        with services.progress.task(f"Asking for {ref.tagged}"):
            return services.registry.read(ref, machine=image.platform)
    except RegistryError as error:
        until_s = time.time() + _ASKED_AGAIN_S
        made.keep_value(name, _Unanswered(why=error.message, until_s=until_s))
        return error.message
    except (NotFoundError, SnapshotVersionError) as error:
        return error.message


def _name_of_files(image: Image, lock: Lock) -> str:
    return _digest("outside", image.id, image.diff_ids, lock.environment)


def _name_of_base(image: Image) -> str:
    return _digest("base", image.id, image.diff_ids, image.labels)


def _digest(*known: object) -> str:
    return hashlib.sha256(msgspec.json.encode(known)).hexdigest()
