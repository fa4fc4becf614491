"""Choose the base image of an environment, and say why."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.base.metadata import corrected_by_variables
from snapenv.base.rank import Candidate, rank_images, warnings_of
from snapenv.base.system_images import choose_system_image, first_packages
from snapenv.errors import BaseError, UsageError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import Base, BaseFamily, SitePackages
from snapenv.nvidia.catalogue import REPOSITORY, CatalogueImage, major_minor
from snapenv.nvidia.kernels import is_built_for_jetson, is_jetson
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.snapshot import Lock
    from snapenv.nvidia.catalogue import Catalogue

_OF_RELEASE = re.compile(r"\.nv(\d\d)\.(\d{1,2})(?:\.|$)", re.ASCII)  # "nv24.3" and "nv24.03"


USES: Mapping[BaseFamily, str] = {  # what one would choose each family for
    "pytorch": "compilers and CUDA's tools: torch.compile, extensions built at run time",
    "slim": "the smallest: the packages bring torch and its CUDA libraries",
    "cuda": "extensions that load CUDA's libraries from the system",
    "jetpack": "a Jetson: torch built for it loads CUDA, cuDNN and TensorRT from the system",
}


class Ranking(Struct, frozen=True, kw_only=True):
    """The images for an environment, best first, and what holds for it on any of them."""

    site_packages: SitePackages
    why: str
    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...] = ()


def choose_base(
    facts: Facts,
    catalogue: Catalogue,
    *,
    image: str | None = None,
    family: BaseFamily | None = None,
) -> Base:
    """Return the image to start from; ``image`` and ``family`` are the user's own choice.

    Raises:
        UsageError: The environment uses packages of NVIDIA's image, and another family is asked.
        BaseError: No image of the catalogue fits, or the environment names none of its own.
    """
    site_packages, why = choose_site_packages(facts)
    if family not in (None, "pytorch") and site_packages == "inherited":
        raise UsageError(
            f"--base-family {family} is for an isolated environment, and here {why}",
            hint="Leave it out: the packages are in NVIDIA's PyTorch image alone.",
        )
    if family == "jetpack" and facts.hardware.system.architecture != "arm64":
        raise UsageError(
            "--base-family jetpack is for a Jetson, and this environment is for "
            f"{facts.hardware.system.architecture}",
            hint="Leave it out, or capture on the Jetson.",
        )
    if image:
        return _chosen(image, facts, catalogue, family=family)
    if family is None and site_packages == "isolated" and is_for_jetson(facts):
        with suppress(BaseError):
            return choose_base(facts, catalogue, family="jetpack")
    if family not in (None, "pytorch"):
        base = choose_system_image(facts, catalogue, family, why)
        unknown = _unknown_torch(facts, catalogue)
        return replace(base, warnings=(*base.warnings, *unknown))
    ranking = rank_bases(facts, catalogue)
    best = ranking.candidates[0]
    return Base(
        image=best.image.reference,
        site_packages=ranking.site_packages,
        reasons=(ranking.why, *best.fits),
        warnings=(*best.warnings, *ranking.warnings),
    )


def families(facts: Facts, catalogue: Catalogue) -> tuple[Base, ...]:
    """Return what each family would take that is possible for an environment, pytorch first.

    That for a Jetson is possible for what runs on one.

    Raises:
        BaseError: The catalogue is empty, and the environment names no image of its own.
    """
    bases = [choose_base(facts, catalogue, family="pytorch")]
    if bases[0].site_packages == "isolated":
        others: tuple[BaseFamily, ...] = ("jetpack",) if is_for_jetson(facts) else ()
        for family in (*others, "slim", "cuda"):
            with suppress(BaseError):
                bases.append(choose_base(facts, catalogue, family=family))
    return tuple(bases)


def _chosen(image: str, facts: Facts, catalogue: Catalogue, *, family: BaseFamily | None) -> Base:
    """Return the base of a user's own image; it is of the family that is asked or that it names."""
    site_packages, why = choose_site_packages(facts)
    ref = ImageRef.parse(image)
    family = family or family_of(ref, catalogue) or "pytorch"
    if site_packages == "inherited":
        family = "pytorch"
    return Base(
        image=image,
        family=family,
        site_packages=site_packages,
        reasons=(why, "chosen with --base"),
        warnings=tuple(_unknown(facts, catalogue, site_packages)),
        packages=() if family == "pytorch" else first_packages(facts, catalogue.find_system(ref)),
    )


def is_for_jetson(facts: Facts) -> bool:
    """Return whether an environment is a Jetson's: by its GPU, or by what torch was built for.

    Where there is no NVML, as on older ones, no GPU is known.
    """
    compiled = facts.native.kernels if facts.native else ()
    torch = next((each for each in compiled if each.distribution == "torch"), None)
    return is_jetson(facts.hardware) or bool(torch and is_built_for_jetson(torch.architectures))


def family_of(ref: ImageRef, catalogue: Catalogue) -> BaseFamily | None:
    """Return what kind of base an image is by its name; None where this says nothing."""
    path = f"/{ref.path}"
    if path.endswith("/nvidia/pytorch"):
        return "pytorch"
    if path.endswith("/nvidia/cuda"):
        return "cuda"
    if path.endswith("/nvidia/l4t-jetpack"):
        return "jetpack"
    system = catalogue.find_system(ref)
    return system.family if system else None


def rank_bases(facts: Facts, catalogue: Catalogue) -> Ranking:
    """Put every image of the catalogue in order, and return the reason for each rank.

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


def rebase(
    lock: Lock,
    catalogue: Catalogue,
    *,
    image: str | None = None,
    family: BaseFamily | None = None,
    mirror: str | None = None,
) -> Base:
    """Apply what the user asks of a build: another image or family, or the image of a mirror.

    Raises:
        UsageError: The environment uses packages of NVIDIA's image, and another family is asked.
        BaseError: No image of the family fits.
    """
    base = lock.base
    if image and family is None and base.site_packages == "isolated":
        family = family_of(ImageRef.parse(image), catalogue) or base.family
    if image or family:
        base = choose_base(lock.facts, catalogue, image=image, family=family)
    if mirror:
        mirrored = str(ImageRef.parse(base.image).mirrored(mirror))
        reasons = (*base.reasons, f"taken from the mirror {mirror}")
        base = replace(base, image=mirrored, reasons=reasons)
    return base


def choose_site_packages(facts: Facts) -> tuple[SitePackages, str]:
    """Return whether packages of an NVIDIA image are seen, and why that is so."""
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
    if site_packages == "inherited":
        return
    yield from _unknown_torch(facts, catalogue)
    if facts.environment.torch and is_for_jetson(facts):
        yield "NVIDIA's images for a Jetson's GPU are tagged -igpu: name one with --base"


def _unknown_torch(facts: Facts, catalogue: Catalogue) -> Iterator[str]:
    torch = facts.environment.torch
    known = {major_minor(build.version) for build in catalogue.torch}
    if torch and known and major_minor(torch.version) not in known:
        yield f"torch {torch.version} is not in the catalogue of {catalogue.date}"


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
