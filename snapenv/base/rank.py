"""Put the catalogue's images in order for an environment that brings its own torch, and say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.nvidia.catalogue import CatalogueImage, dotted, major_minor
from snapenv.nvidia.driver import serve
from snapenv.nvidia.kernels import cover_by_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.facts import Facts
    from snapenv.nvidia.catalogue import Catalogue

_FAR = 10_000  # minor releases
_FORWARD, _UNKNOWN, _NOT = 1, 2, 3  # how a driver serves a CUDA, best first


class Candidate(Struct, frozen=True, kw_only=True):
    """An image at its rank.

    ``reason`` says why it stands here: the first what fits, any other what sets it below the one
    above. ``fits`` are all that speaks for it.
    """

    image: CatalogueImage
    reason: str
    fits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Mark(Struct, frozen=True, kw_only=True):
    """One criterion's answer: the lower the better, and the words for a yes and for a no."""

    value: int
    fits: str | None = None
    fails: str = ""
    warning: str | None = None


def rank_images(facts: Facts, catalogue: Catalogue) -> tuple[Candidate, ...]:
    """Sort the images that exist for the captured kind of machine, or may, best first.

    By: whether it exists for that machine, whether the driver serves its CUDA at all, the same
    Python, how well the driver serves its CUDA, the nearest torch, kernels for the GPUs, newest.
    """
    newest_first = sorted(catalogue.images, key=lambda image: image.tag, reverse=True)
    marked = [(image, tuple(_marks(image, facts, catalogue))) for image in newest_first]
    marked.sort(key=lambda pair: [mark.value for mark in pair[1]])
    above = (None, *marked)
    return tuple(
        _candidate(image, marks, over) for (image, marks), over in zip(marked, above, strict=False)
    )


def warnings_of(image: CatalogueImage, facts: Facts, catalogue: Catalogue) -> tuple[str, ...]:
    """Say what of an image may not fit the captured machine, driver and GPUs."""
    marks = (
        _machine(image, facts),
        _service(image, facts, catalogue),
        _kernels(image, facts, catalogue),
    )
    return tuple(mark.warning for mark in marks if mark.warning)


def _candidate(
    image: CatalogueImage,
    marks: tuple[_Mark, ...],
    above: tuple[CatalogueImage, tuple[_Mark, ...]] | None,
) -> Candidate:
    fits = (*(mark.fits for mark in marks if mark.fits), "the newest of these")
    return Candidate(
        image=image,
        reason=_below(marks, *above) if above else "; ".join(fits),
        fits=fits,
        warnings=tuple(mark.warning for mark in marks if mark.warning),
    )


def _below(marks: tuple[_Mark, ...], image: CatalogueImage, above: tuple[_Mark, ...]) -> str:
    """Say by what an image stands below the one above it."""
    for mark, better in zip(marks, above, strict=True):
        if mark.value != better.value:
            return mark.fails
    return f"as good as {image.release}, and older"


def _marks(image: CatalogueImage, facts: Facts, catalogue: Catalogue) -> Iterator[_Mark]:
    yield _machine(image, facts)
    yield from _cuda(image, facts, catalogue)
    yield _torch(image, facts)
    yield _kernels(image, facts, catalogue)


def _machine(image: CatalogueImage, facts: Facts) -> _Mark:
    machine = facts.hardware.system.architecture
    if machine in image.absent_for:
        absent = f"its registry has none for {machine}"
        return _Mark(value=2, fails=absent, warning=f"{image.tag}: {absent}")
    if machine in image.machines:
        return _Mark(value=0, fits=None if machine == "amd64" else f"it exists for {machine}")
    return _Mark(
        value=1,
        fails=f"not known to exist for {machine}",
        warning=f"it is not known whether {image.tag} exists for {machine}",
    )


def _cuda(image: CatalogueImage, facts: Facts, catalogue: Catalogue) -> Iterator[_Mark]:
    """Yield three marks in order: whether it is served at all, the Python, and how it is served."""
    service = _service(image, facts, catalogue)
    yield _Mark(value=int(service.value > _UNKNOWN), fails=service.fails)
    yield _python(image, facts, catalogue)
    yield service


def _service(image: CatalogueImage, facts: Facts, catalogue: Catalogue) -> _Mark:
    driver = facts.hardware.driver
    named = f"driver {driver.version}" if driver else "no driver was found"
    if image.cuda is None:
        warning = f"it is not known which CUDA {image.tag} has: {named} may not serve it"
        return _Mark(
            value=_UNKNOWN, fails="its CUDA is not known", warning=warning if driver else None
        )
    cuda = f"CUDA {dotted(image.cuda)}"
    served = serve(facts.hardware, image.cuda, catalogue, branches=image.datacenter_branches)
    if driver and served in {None, "perhaps"}:
        unknown = f"it is not known whether {named} serves {cuda} of this base"
        return _Mark(value=_UNKNOWN, fails=unknown, warning=unknown)
    if served == "no":
        fails = f"{named} does not serve its {cuda}"
        return _Mark(value=_NOT, fails=fails, warning=f"{named} does not serve {cuda} of this base")
    if served == "forward":
        by = "only by forward compatibility"
        return _Mark(
            value=_FORWARD,
            fits=f"{named} serves its {cuda} {by}",
            fails=f"{named} serves its {cuda} {by}",
            warning=f"{named} serves {cuda} of this base {by} (cuda-compat)",
        )
    family = f", as every {image.cuda[0]}.x" if served == "minor" else ""
    return _Mark(value=0, fits=f"{named} serves its {cuda}{family}" if driver else None)


def _python(image: CatalogueImage, facts: Facts, catalogue: Catalogue) -> _Mark:
    minor = facts.environment.interpreter.minor
    if facts.conda:  # which brings its own
        return _Mark(value=0)
    if image.python == minor:
        return _Mark(value=0, fits=f"it has Python {minor}")
    known = any(each.python == minor for each in catalogue.images)
    return _Mark(
        value=1,
        fails=f"Python {image.python}, not {minor}" if image.python else "its Python is not known",
        warning=(
            f"{image.tag if known else 'no image of the catalogue'} is "
            f"{'not ' if known else ''}known to have Python {minor}: "
            f"uv downloads one during the build"
        ),
    )


def _torch(image: CatalogueImage, facts: Facts) -> _Mark:
    torch = facts.environment.torch
    wanted = major_minor(torch.version) if torch else None
    if wanted is None:
        return _Mark(value=0)
    if image.torch is None:
        return _Mark(value=_FAR, fails="its torch is not known")
    away = abs((image.torch[0] - wanted[0]) * 100 + image.torch[1] - wanted[1])
    return _Mark(
        value=away,
        fits=f"its torch {dotted(image.torch)} is the nearest",
        fails=f"torch {dotted(image.torch)} is farther from {dotted(wanted)}",
    )


def _kernels(image: CatalogueImage, facts: Facts, catalogue: Catalogue) -> _Mark:
    machine = facts.hardware.system.architecture
    for gpu in facts.hardware.gpus:
        if not cover_by_image(image, gpu.compute_capability, machine, catalogue):
            return _Mark(
                value=1,
                fails=f"it was not built for {gpu.label}",
                warning=f"{image.tag} was not built for {gpu.label}: "
                "its entrypoint may refuse to start",
            )
    return _Mark(value=0)
