"""Choose the base image of an environment, and say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.base.catalogue import REPOSITORY, CatalogueImage, major_minor
from snapenv.errors import BaseError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import Base

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.facts import Facts
    from snapenv.model.snapshot import World


def choose_base(
    facts: Facts, catalogue: Sequence[CatalogueImage], *, image: str | None = None
) -> Base:
    """Give the image to start from; ``image`` is the user's own choice.

    An environment that sees packages of an NVIDIA image stands on that very image. Any other
    brings its own torch and CUDA libraries and gets the catalogue's best: same Python, CUDA
    that the captured driver serves, nearest torch, newest, in this order.

    Raises:
        BaseError: No image of the catalogue has a CUDA that the captured driver serves.
    """
    world, why = _choose_world(facts)
    if image:
        return Base(image=image, world=world, reasons=(why, "this base was asked for"))
    if world == "base":
        tag = f"{facts.image['NVIDIA_PYTORCH_VERSION']}-py3"
        return Base(
            image=f"{REPOSITORY}:{tag}",
            world=world,
            reasons=(why, f"NVIDIA_PYTORCH_VERSION names {tag}"),
        )
    best = _rank(facts, catalogue)[0]
    return Base(
        image=best.reference,
        world=world,
        reasons=(why, *_reasons(facts, best)),
        warnings=_warnings(facts, best),
    )


def rebase(base: Base, *, image: str | None, mirror: str | None) -> Base:
    """Apply what the user asks of a build: another image, or the same one from a mirror."""
    if image:
        base = Base(
            image=image,
            world=base.world,
            reasons=(*base.reasons[:1], "this base was asked for"),
        )
    if mirror:
        mirrored = str(ImageRef.parse(base.image).mirrored(mirror))
        base = Base(
            image=mirrored,
            world=base.world,
            reasons=(*base.reasons, f"taken from the mirror {mirror}"),
            warnings=base.warnings,
        )
    return base


def _choose_world(facts: Facts) -> tuple[World, str]:
    from_base = [found.name for found in facts.environment.distributions if found.origin == "base"]
    if from_base and "NVIDIA_PYTORCH_VERSION" in facts.image:
        torch = "torch" if "torch" in from_base else from_base[0]
        return "base", f"{torch} is the base image's own, one of its {len(from_base)} packages"
    return "exact", "no package is a base image's own: all are installed from the lock"


def _rank(facts: Facts, catalogue: Sequence[CatalogueImage]) -> list[CatalogueImage]:
    """Sort the usable images, best first."""
    driver = facts.hardware.driver
    served = [
        image
        for image in catalogue
        if driver is None or image.cuda is None or image.cuda[0] <= driver.cuda[0]
    ]
    if not served:
        on = f"runs on driver {driver.version}" if driver else "is there to choose from"
        raise BaseError(
            f"no image of the catalogue {on}",
            hint="Install a newer driver, or name an image with --base.",
        )
    torch = facts.environment.torch
    wanted = major_minor(torch.version) if torch else None
    newest_first = sorted(served, key=lambda image: image.tag, reverse=True)
    return sorted(
        newest_first,
        key=lambda image: (
            image.python != facts.environment.interpreter.minor,
            image.cuda is None,
            _distance(image.torch, wanted),
        ),
    )


def _distance(torch: tuple[int, int] | None, wanted: tuple[int, int] | None) -> int:
    """Count how many minor releases lie between; a major one counts for a hundred."""
    if torch is None or wanted is None:
        return 0 if wanted is None else 10_000
    return abs((torch[0] - wanted[0]) * 100 + torch[1] - wanted[1])


def _reasons(facts: Facts, best: CatalogueImage) -> tuple[str, ...]:
    reasons = []
    if best.python == facts.environment.interpreter.minor:
        reasons.append(f"it carries Python {best.python}")
    if best.cuda and facts.hardware.driver:
        reasons.append(
            f"driver {facts.hardware.driver.version} serves its CUDA {best.cuda[0]}.{best.cuda[1]}"
        )
    if best.torch and facts.environment.torch:
        reasons.append(f"its torch {best.torch[0]}.{best.torch[1]} is the nearest")
    return (*reasons, "the newest of its equals")


def _warnings(facts: Facts, best: CatalogueImage) -> tuple[str, ...]:
    minor, driver = facts.environment.interpreter.minor, facts.hardware.driver
    warnings = []
    if best.python != minor:
        warnings.append(
            f"no image of the catalogue is known to carry Python {minor}: "
            f"uv fetches one while the image is built"
        )
    if best.cuda is None and driver:
        warnings.append(
            f"it is not known which CUDA this image has: driver {driver.version} may not serve it"
        )
    return tuple(warnings)
