"""Choose the base image of an environment, and say why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.base.metadata import corrected_by_variables
from snapenv.base.rank import Candidate, rank_images, warnings_of
from snapenv.errors import BaseError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import Base, SitePackages
from snapenv.nvidia.catalogue import REPOSITORY, CatalogueImage, major_minor
from snapenv.nvidia.kernels import is_jetson
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.facts import Facts
    from snapenv.nvidia.catalogue import Catalogue

_OF_RELEASE = re.compile(r"\.nv(\d\d)\.(\d{1,2})(?:\.|$)", re.ASCII)  # "nv24.3" and "nv24.03"


class Ranking(Struct, frozen=True, kw_only=True):
    """The images for an environment, best first, and what holds for it on any of them."""

    site_packages: SitePackages
    why: str
    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...] = ()


def choose_base(facts: Facts, catalogue: Catalogue, *, image: str | None = None) -> Base:
    """Return the image to start from; ``image`` is the user's own choice.

    Raises:
        BaseError: The catalogue is empty, and the environment names no image of its own.
    """
    if image:
        site_packages, why = choose_site_packages(facts)
        return Base(
            image=image,
            site_packages=site_packages,
            reasons=(why, "chosen with --base"),
            warnings=tuple(_unknown(facts, catalogue, site_packages)),
        )
    ranking = rank_bases(facts, catalogue)
    best = ranking.candidates[0]
    return Base(
        image=best.image.reference,
        site_packages=ranking.site_packages,
        reasons=(ranking.why, *best.fits),
        warnings=(*best.warnings, *ranking.warnings),
    )


def rank_bases(facts: Facts, catalogue: Catalogue) -> Ranking:
    """Put every image of the catalogue in order, and give the reason for each rank.

    An environment that sees packages of an NVIDIA image stands on that very image, also where
    the catalogue does not know it. Any other brings its own torch and CUDA libraries and gets the
    catalogue's best; see ``rank_images``.

    Raises:
        BaseError: The catalogue is empty, and the environment names no image of its own.
    """
    site_packages, why = choose_site_packages(facts)
    if site_packages == "inherited":
        own = _own(facts, catalogue)
        candidates = (own, *_others(facts, catalogue, own))
    else:
        candidates = rank_images(facts, catalogue)
    if not candidates:
        raise BaseError(
            "there is no image in the catalogue to choose from", hint="Name one with --base."
        )
    return Ranking(
        site_packages=site_packages,
        why=why,
        candidates=candidates,
        warnings=tuple(_unknown(facts, catalogue, site_packages)),
    )


def rebase(base: Base, *, image: str | None, mirror: str | None) -> Base:
    """Apply what the user asks of a build: another image, or the same one from a mirror."""
    if image:
        base = Base(
            image=image,
            site_packages=base.site_packages,
            reasons=(*base.reasons[:1], "chosen with --base"),
        )
    if mirror:
        mirrored = str(ImageRef.parse(base.image).mirrored(mirror))
        base = Base(
            image=mirrored,
            site_packages=base.site_packages,
            reasons=(*base.reasons, f"taken from the mirror {mirror}"),
            warnings=base.warnings,
        )
    return base


def choose_site_packages(facts: Facts) -> tuple[SitePackages, str]:
    """Tell whether packages of an NVIDIA image are seen, and why that is so."""
    packages = facts.environment.distributions
    from_base = [package.name for package in packages if package.origin == "base"]
    if from_base and "NVIDIA_PYTORCH_VERSION" in facts.image:
        torch = "torch" if "torch" in from_base else from_base[0]
        return (
            "inherited",
            f"{torch} is the base image's own, one of its {counted(len(from_base), 'package')}",
        )
    if facts.conda:
        return (
            "isolated",
            "conda's packages bring Python and all libraries; they come from the lock",
        )
    return "isolated", "no package is a base image's own: all are installed from the lock"


def _unknown(facts: Facts, catalogue: Catalogue, site_packages: SitePackages) -> Iterator[str]:
    """Say what the catalogue does not know; a torch of the base image's own is that image's."""
    torch = facts.environment.torch
    if torch is None or site_packages == "inherited":
        return
    known = {major_minor(build.version) for build in catalogue.torch}
    if known and major_minor(torch.version) not in known:
        yield f"torch {torch.version} is not in the catalogue of {catalogue.date}"
    if is_jetson(facts.hardware):
        yield "NVIDIA's images for a Jetson's GPU are tagged -igpu: name one with --base"


def _own(facts: Facts, catalogue: Catalogue) -> Candidate:
    """Return the image that the environment was captured in: what it says beats the catalogue."""
    release = facts.image["NVIDIA_PYTORCH_VERSION"]
    tag = f"{release}-py3-igpu" if is_jetson(facts.hardware) else f"{release}-py3"
    if not _is_tag(tag):
        raise BaseError(
            f"the image names its release {release!r}, which is not valid",
            hint="Name it with --base.",
        )
    known = catalogue.find(f"{release}-py3")
    image = _as_captured(known or CatalogueImage(tag=tag), tag, facts)
    names = f"NVIDIA_PYTORCH_VERSION names {tag}"
    unknown = f"{tag} is not in the catalogue of {catalogue.date}: its own name is used"
    return Candidate(
        image=image,
        reason=names,
        fits=(names,),
        warnings=(
            *(() if known else (unknown,)),
            *_another_release(facts, release),
            *warnings_of(image, facts, catalogue),
        ),
    )


def _as_captured(image: CatalogueImage, tag: str, facts: Facts) -> CatalogueImage:
    """Correct what is known of an image by what it says, and by what was seen inside of it."""
    metadata = corrected_by_variables(
        image, facts.image, machine=facts.hardware.system.architecture
    )
    torch = facts.environment.torch
    return replace(
        metadata,
        tag=tag,
        python=facts.environment.interpreter.minor,
        cuda=metadata.cuda or major_minor(torch.cuda or "" if torch else ""),
        torch=metadata.torch or major_minor(torch.version if torch else ""),
    )


def _others(facts: Facts, catalogue: Catalogue, own: Candidate) -> tuple[Candidate, ...]:
    """Rank what is left; it is no choice, for the packages of one image are not another's."""
    left = tuple(image for image in catalogue.images if image.tag != own.image.tag)
    ranked = rank_images(facts, replace(catalogue, images=left))
    reason = "the packages are not this image's"
    return tuple(replace(image, reason=reason) if image is ranked[0] else image for image in ranked)


def _another_release(facts: Facts, release: str) -> tuple[str, ...]:
    """Warn where torch names a release of its own that is not the image's."""
    torch = facts.environment.torch
    parts = _OF_RELEASE.search(torch.version) if torch else None
    if parts is None:
        return ()
    named = f"{parts[1]}.{int(parts[2]):02}"
    if named == release:
        return ()
    return (f"torch is that of release {named}, but the image says {release}",)


def _is_tag(tag: str) -> bool:
    try:
        return ImageRef.parse(f"{REPOSITORY}:{tag}").tag == tag
    except ValueError:
        return False
