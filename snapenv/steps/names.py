"""Name a local image so that what had the name before keeps one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.image import kept_tag

if TYPE_CHECKING:
    from snapenv.model.image import Image, ImageRef
    from snapenv.ports import Services


def name_image(image: Image, ref: ImageRef, services: Services) -> None:
    """Give a local image a name; the image that loses it gets ``REPOSITORY:replaced-ID`` first."""
    engine = services.engine
    before = engine.find(ref.tagged)
    if before and before.id != image.id:
        engine.tag(before, replace(ref, tag=kept_tag(before.id), digest=None))
    engine.tag(image, ref)
