"""Choose an image with nothing but a distribution, for an environment that brings all else.

A plain Debian or Ubuntu (``slim``), or NVIDIA's Ubuntu with the libraries of one CUDA: ``cuda``,
and for a Jetson ``jetpack``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.errors import BaseError
from snapenv.model.snapshot import Base
from snapenv.nvidia.catalogue import dotted, major_minor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution
    from snapenv.model.snapshot import BaseFamily
    from snapenv.nvidia.catalogue import Catalogue, Pair, SystemImage

# Source: https://peps.python.org/pep-0600/
_MANYLINUX = re.compile(r"(?:^|[.-])manylinux(?:_(\d{1,9})_(\d{1,9})|(1|2010|2014))_", re.ASCII)
_OLDER_NAMES = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}
_SHARED_OBJECT = re.compile(r".+\.so(\.\w+)*", re.ASCII)
_OF_CUDA = re.compile(
    r"lib(cudart|cublas|cufft|cufile|cupti|curand|cusolver|cusparse|npp|nvjitlink|nvjpeg|nvrtc)"
    r"[^/]*\.so.*",
    re.IGNORECASE | re.ASCII,
)


def choose_system_image(facts: Facts, catalogue: Catalogue, family: BaseFamily, why: str) -> Base:
    """Return the image of a family that fits best, with the reasons.

    Its C library is as new as the compiled files need. Of those that fit, by: the nearest CUDA
    (where the image has one), the same Python, the captured distribution, the newest.

    Raises:
        BaseError: No image of the family fits.
    """
    needed = needed_glibc(facts)
    known = [image for image in catalogue.systems if image.family == family]
    if family != "slim":
        known = _of_cuda(facts, known, family)
    fitting = [image for image in known if needed is None or image.glibc >= needed]
    if not fitting:
        newest = max(known, key=lambda image: image.glibc)
        raise BaseError(
            f"compiled files need glibc {dotted(needed or (0, 0))}, "
            f"and the newest {family} image, {newest.reference}, has {dotted(newest.glibc)}",
            hint="Name an image with --base, or choose another --base-family.",
        )
    best = min(fitting, key=lambda image: _distance(image, facts))
    return Base(
        image=best.reference,
        family=family,
        site_packages="isolated",
        reasons=(why, *_reasons(best, facts, needed)),
        warnings=tuple(_warnings(best, facts)),
        packages=first_packages(facts, best),
    )


def first_packages(facts: Facts, image: SystemImage | None) -> tuple[str, ...]:
    """Return what apt installs first: what https needs, and Python where apt has the right one.

    Conda's packages bring a Python of their own, and need one to be installed by.
    """
    has_python = image is not None and image.python == facts.environment.interpreter.minor
    return ("ca-certificates", "python3") if has_python or facts.conda else ("ca-certificates",)


def needed_glibc(facts: Facts) -> Pair | None:
    """Return the oldest C library that the compiled files are known to run with.

    An index's wheel tells by its tag. Of all else that is compiled (conda's packages, a wheel that
    was built on the captured machine, a file of no package) that machine's own stands for it.
    None where nothing is compiled.
    """
    environment = facts.environment
    captured = major_minor(facts.hardware.system.glibc or "")
    needed = [_tagged(each) or captured for each in environment.distributions if _is_compiled(each)]
    loose = any(_SHARED_OBJECT.fullmatch(file.path) for file in environment.untracked)
    if loose or facts.conda:
        needed.append(captured)
    return max((pair for pair in needed if pair), default=None)


def _is_compiled(distribution: Distribution) -> bool:
    return distribution.compiled or any(not tag.endswith("-any") for tag in distribution.tags)


def _tagged(distribution: Distribution) -> Pair | None:
    """Return the least of what the tags of a wheel ask for: any of them is enough."""
    matches = (match for tag in distribution.tags for match in _MANYLINUX.finditer(tag))
    return min(map(_glibc, matches), default=None)


def _glibc(tag: re.Match[str]) -> Pair:
    major, minor, older = tag.groups()
    return _OLDER_NAMES[older] if older else (int(major), int(minor))


def _of_cuda(facts: Facts, images: Sequence[SystemImage], family: BaseFamily) -> list[SystemImage]:
    """Return the images of torch's CUDA major version, whose libraries are compatible.

    Source: https://docs.nvidia.com/deploy/cuda-compatibility/#minor-version-compatibility

    Raises:
        BaseError: torch is not there, was built for no CUDA, or for one without an image.
    """
    wanted = _cuda(facts)
    if wanted is None:
        raise BaseError(
            "torch was not built for CUDA: there is no CUDA image to choose",
            hint="Take --base-family slim, or name an image with --base.",
        )
    fitting = [image for image in images if image.cuda and image.cuda[0] == wanted[0]]
    if not fitting:
        raise BaseError(
            f"the catalogue has no {family} image for CUDA {dotted(wanted)}",
            hint="Name one with --base, or choose another --base-family.",
        )
    return fitting


def _cuda(facts: Facts) -> Pair | None:
    torch = facts.environment.torch
    return major_minor(torch.cuda or "") if torch else None


def _distance(image: SystemImage, facts: Facts) -> tuple[int, bool, bool]:
    """Return how far an image is from what was captured; the catalogue has the newest first."""
    wanted = _cuda(facts)
    return (
        abs(image.cuda[1] - wanted[1]) if image.cuda and wanted else 0,
        image.python != facts.environment.interpreter.minor and facts.conda is None,
        image.os != facts.hardware.system.os,
    )


def _reasons(image: SystemImage, facts: Facts, needed: Pair | None) -> Iterator[str]:
    system, minor = facts.hardware.system, facts.environment.interpreter.minor
    if image.cuda:
        yield f"it has the libraries of CUDA {dotted(image.cuda)}"
    if needed:
        yield f"its glibc {dotted(image.glibc)} will do: compiled files need {dotted(needed)}"
    if image.python == minor and facts.conda is None:
        yield f"its distribution has Python {minor}"
    if image.os == system.os:
        yield f"it is {system.os}, as captured"


def _warnings(image: SystemImage, facts: Facts) -> Iterator[str]:
    minor = facts.environment.interpreter.minor
    if image.python != minor and facts.conda is None:
        yield f"{image.os} has no Python {minor}: uv downloads one during the build"
    missing = () if image.cuda else tuple(_cuda_of_system(facts))
    if missing:
        yield (
            f"{', '.join(missing)} of the captured system's CUDA is loaded and is not in "
            f"{image.reference}: take --base-family cuda"
        )


def _cuda_of_system(facts: Facts) -> Iterator[str]:
    """Yield the libraries of CUDA that an import loads, and that no package brings."""
    for library in facts.native.libraries if facts.native else ():
        if library.required and library.found and _OF_CUDA.fullmatch(library.soname):
            yield library.soname
