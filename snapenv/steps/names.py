"""Name a local image so that what had the name before keeps one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.image import kept_tag

if TYPE_CHECKING:
    from snapenv.model.image import Image, ImageRef
    from snapenv.ports import Services


def name_image(image: Image, ref: ImageRef, services: Services) -> None:
    """Name a local image; the image that loses it gets ``REPOSITORY:replaced-ID`` first."""
    before = services.engine.find(ref.tagged)
    if before and before.id != image.id:
        keep_named(before, ref, services)
    services.engine.tag(image, ref)


def keep_named(image: Image, ref: ImageRef, services: Services) -> None:
    """Name a local image anew that is about to lose its name: ``REPOSITORY:replaced-ID``."""
    services.engine.tag(image, replace(ref, tag=kept_tag(image.id), digest=None))
