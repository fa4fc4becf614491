"""List the base images for an environment, best first, with the reason for each rank."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.base.choose import USES, families, rank_bases
from snapenv.base.metadata import ImageMetadata, correct, inspect_image, read_metadata
from snapenv.errors import NotFoundError, SnapenvError
from snapenv.model.image import Image, ImageRef, RemoteImage
from snapenv.model.outcome import Outcome
from snapenv.model.results import BasesResult, FamilyBase, RankedBase
from snapenv.model.snapshot import SNAPSHOT_LABEL, Base
from snapenv.nvidia.catalogue import dotted, load_catalogue
from snapenv.preflight.captured import captured_warnings
from snapenv.preflight.needs_of import missing_layers
from snapenv.probe.probe import probe
from snapenv.report.bases import bases_lines
from snapenv.steps.interpreter import find_interpreter
from snapenv.steps.snapshots import read_source
from snapenv.steps.source import resolve_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.base.choose import Ranking
    from snapenv.base.rank import Candidate
    from snapenv.model.facts import Facts
    from snapenv.nvidia.catalogue import Catalogue, CatalogueImage
    from snapenv.ports import Services

ASKED = 8  # images that the registry and the engine are asked for
_PYTHON = "python3"  # of an image, found by its own PATH


class Bases(Struct, frozen=True, kw_only=True):
    """What a user may ask of a list of bases; without a snapshot, the active environment's."""

    snapshot: Path | None = None
    mirror: str | None = None
    limit: int = ASKED


class _Answer(Struct, frozen=True, kw_only=True):
    """What engine and registry say of an image; None where they were not asked, or did not say."""

    here: Image | None = None
    remote: RemoteImage | None = None
    error: SnapenvError | None = None
    inspected: ImageMetadata | None = None  # what a container of it told

    def local(self, machine: str) -> Image | None:
        """Return the image that is here, if it is for this kind of machine."""
        return self.here if self.here and self.here.machine == machine else None

    def metadata(self, machine: str) -> ImageMetadata | None:
        """Return what the image says of itself; what was seen inside of it counts more."""
        known = self.local(machine) or self.remote
        metadata = read_metadata(known.variables, known.labels) if known else None
        return self.inspected.over(metadata) if self.inspected and metadata else metadata


def bases(request: Bases, services: Services) -> Outcome[BasesResult]:
    """Rank the catalogue's images for an environment; what an image says of itself counts more.

    The first is looked into by a container of it, of about a second, where it is here. A registry
    that does not answer leaves sizes unknown, and is no failure.

    Raises:
        NotFoundError: The folder holds no snapshot.
        EnvironmentMissingError: No environment is active.
        BaseError: There is no image to choose from.
    """
    facts = _facts(request, services)
    catalogue = load_catalogue()
    ranking = rank_bases(facts, catalogue)
    first = ranking.candidates[: min(ASKED, request.limit)]
    others = [base for base in families(facts, catalogue) if base.family != "pytorch"]
    answers, of_others = _ask(
        [candidate.image for candidate in first], others, facts, request, services
    )
    learned = rank_bases(facts, _learn(catalogue, facts, answers))
    inspected, unseen = _inspect_first(learned, answers, facts, services)
    if inspected is not answers:
        answers, learned = inspected, rank_bases(facts, _learn(catalogue, facts, inspected))
    shown = learned.candidates[: request.limit]
    tags = [candidate.image.tag for candidate in shown]
    ranked = {tag: answers.get(tag, _Answer()) for tag in tags}
    result = BasesResult(
        snapshot=str(request.snapshot) if request.snapshot else None,
        site_packages=learned.site_packages,
        reason=learned.why,
        machine=facts.hardware.system.architecture,
        catalogue=catalogue.date,
        bases=tuple(
            _ranked(rank, candidate, ranked[candidate.image.tag], facts, request)
            for rank, candidate in enumerate(shown, start=1)
        ),
        families=_families(learned, others, ranked, of_others, request, services),
    )
    inspected_texts = list(map(_inspected_text, ranked.values()))
    return Outcome(
        command="bases",
        result=result,
        lines=tuple(bases_lines(result, facts, inspected=inspected_texts)),
        warnings=(
            *shown[0].warnings,
            *learned.warnings,
            *captured_warnings(facts, catalogue, site_packages=learned.site_packages),
            *_otherwise(ranking.candidates[0], shown[0]),
            *_silent(answers, of_others),
            *unseen,
        ),
    )


def _facts(request: Bases, services: Services) -> Facts:
    if request.snapshot:
        return read_source(resolve_snapshot(request.snapshot), services).lock.facts
    python = find_interpreter(None, os.environ, own_prefix=sys.prefix)
    with services.progress.task(f"Looking at {python}"):
        return probe(services.local(python), hashes=services.kept("hashes"))


def _ask(
    images: Sequence[CatalogueImage],
    others: Sequence[Base],
    facts: Facts,
    request: Bases,
    services: Services,
) -> tuple[Mapping[str, _Answer], Mapping[str, _Answer]]:
    """Ask the engine, and the registries for all at once; return what they say by tag and image."""
    machine = facts.hardware.system.architecture
    refs = [_ref(image.reference, request) for image in images]
    refs += [_ref(base.image, request) for base in others]
    here = _find(refs, services)

    def read(ref: ImageRef) -> RemoteImage | SnapenvError:
        try:
            return services.registry.read(ref, machine=machine)
        except SnapenvError as error:
            return error

    with (
        services.progress.task(f"Asking {refs[0].registry} for sizes"),
        ThreadPoolExecutor(max_workers=len(refs)) as pool,
    ):
        read_images = list(pool.map(read, refs))
    answers = [
        _Answer(
            here=here.get(str(ref)),
            remote=None if isinstance(answer, SnapenvError) else answer,
            error=answer if isinstance(answer, SnapenvError) else None,
        )
        for ref, answer in zip(refs, read_images, strict=True)
    ]
    by_tag = dict(zip([image.tag for image in images], answers, strict=False))
    return by_tag, dict(zip([base.image for base in others], answers[len(images) :], strict=True))


def _find(refs: Sequence[ImageRef], services: Services) -> Mapping[str, Image]:
    """Return the images that are here already; none where no engine answers."""
    try:
        local = {str(ref): services.engine.find(str(ref)) for ref in refs}
    except SnapenvError:
        return {}
    return {name: image for name, image in local.items() if image}


def _inspect_first(
    ranking: Ranking, answers: Mapping[str, _Answer], facts: Facts, services: Services
) -> tuple[Mapping[str, _Answer], tuple[str, ...]]:
    """Look into the first image, and say so where it does not let itself be looked into.

    It is left alone where it is not here, or is the one that the environment was captured in.
    """
    tag = ranking.candidates[0].image.tag
    answer = answers.get(tag, _Answer())
    here = answer.local(facts.hardware.system.architecture)
    if here is None or ranking.site_packages == "inherited":
        return answers, ()
    try:
        with services.progress.task(f"Looking into {tag}"):
            inspected = inspect_image(services.engine.image_target(here, python=_PYTHON, gpus=None))
    except SnapenvError as error:
        return answers, (f"{tag} cannot be looked into: {error.message}",)
    return {**answers, tag: replace(answer, inspected=inspected)}, ()


def _learn(catalogue: Catalogue, facts: Facts, answers: Mapping[str, _Answer]) -> Catalogue:
    """Put what images say of themselves in the place of what the catalogue has of them.

    That an image is absent counts only where its registry has another one.
    """
    machine = facts.hardware.system.architecture
    has_any = any(answer.remote for answer in answers.values())
    return replace(
        catalogue,
        images=tuple(
            _corrected(image, answers.get(image.tag, _Answer()), machine, has_any=has_any)
            for image in catalogue.images
        ),
    )


def _corrected(
    image: CatalogueImage, answer: _Answer, machine: str, *, has_any: bool
) -> CatalogueImage:
    metadata = answer.metadata(machine)
    if metadata:
        return correct(image, metadata, machine=machine)
    if has_any and isinstance(answer.error, NotFoundError):
        return replace(image, absent_for=(machine,))
    return image


def _families(  # noqa: PLR0913, PLR0917 - what was ranked, and what was learned of it
    ranking: Ranking,
    others: Sequence[Base],
    answers: Mapping[str, _Answer],
    of_others: Mapping[str, _Answer],
    request: Bases,
    services: Services,
) -> tuple[FamilyBase, ...]:
    """Say of each family what it would take and move; the first is the best of the ranking."""
    best = ranking.candidates[0]
    pytorch = Base(
        image=best.image.reference,
        site_packages=ranking.site_packages,
        reasons=best.fits,
        warnings=best.warnings,
    )
    made = _made(services)
    return tuple(
        _family(base, answer, made, request)
        for base, answer in (
            (pytorch, answers[best.image.tag]),
            *((base, of_others[base.image]) for base in others),
        )
    )


def _family(base: Base, answer: _Answer, made: Sequence[Image], request: Bases) -> FamilyBase:
    missing = missing_layers(answer.remote, made) if answer.remote else None
    missing_bytes = None if missing is None else sum(layer.size_bytes for layer in missing)
    return FamilyBase(
        family=base.family,
        image=str(_ref(base.image, request)),
        digest=answer.remote.ref.digest if answer.remote else None,
        size_bytes=answer.remote.size_bytes if answer.remote else None,
        missing_bytes=0 if answer.here else missing_bytes,
        local=answer.here is not None,
        use=USES[base.family],
        reasons=base.reasons,
        warnings=base.warnings,
    )


def _made(services: Services) -> list[Image]:
    """Return the newest images that snapenv made here: they may have the layers of a base."""
    try:
        names = sorted(services.engine.list_names(label=SNAPSHOT_LABEL), key=lambda pair: pair[1])
        images = [services.engine.find(name) for name, _ in names[-ASKED:]]
    except SnapenvError:
        return []
    return [image for image in images if image]


def _ref(image: str, request: Bases) -> ImageRef:
    ref = ImageRef.parse(image)
    return ref.mirrored(request.mirror) if request.mirror else ref


def _ranked(
    rank: int, candidate: Candidate, answer: _Answer, facts: Facts, request: Bases
) -> RankedBase:
    image = candidate.image
    metadata = answer.metadata(facts.hardware.system.architecture) or ImageMetadata()
    return RankedBase(
        rank=rank,
        image=str(_ref(image.reference, request)),
        digest=answer.remote.ref.digest if answer.remote else None,
        python=image.python,
        cuda=dotted(image.cuda) if image.cuda else None,
        torch=dotted(image.torch) if image.torch else None,
        cudnn=metadata.cudnn,
        nccl=metadata.nccl,
        size_bytes=answer.remote.size_bytes if answer.remote else None,
        local=answer.here is not None,
        inspected=answer.inspected is not None,
        reason=candidate.reason,
        warnings=candidate.warnings,
    )


def _inspected_text(answer: _Answer) -> str | None:
    """Say what a container of an image told, where one ran."""
    if answer.inspected is None:
        return None
    torch = f"torch {answer.inspected.torch}" if answer.inspected.torch else "no torch"
    return f"Python {answer.inspected.python}, {torch}"


def _otherwise(chosen: Candidate, best: Candidate) -> Iterator[str]:
    """Warn where a capture, which asks no registry, takes another."""
    if chosen.image.tag != best.image.tag:
        yield (
            f"a capture, which asks no registry, takes {chosen.image.tag}: "
            f"take the first of these with --base"
        )


def _silent(answers: Mapping[str, _Answer], of_others: Mapping[str, _Answer]) -> Iterator[str]:
    """Say once that sizes are not known, and why."""
    errors = [answer.error for answer in answers.values() if answer.error]
    errors_of_all = (*errors, *(answer.error for answer in of_others.values() if answer.error))
    silent = [error for error in errors_of_all if not isinstance(error, NotFoundError)]
    if silent:
        yield f"not every size is known: {silent[0].message}"
    elif errors and len(errors) == len(answers):
        yield f"the registry has none of the first {len(errors)}: {errors[0].message}"
