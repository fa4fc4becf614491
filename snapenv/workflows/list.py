"""List what is here, and what is in the registry, with what of it runs here."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import (
    EngineMissingError,
    NotFoundError,
    RegistryError,
    SnapenvError,
    UsageError,
)
from snapenv.model.artifact import RemoteSnapshot
from snapenv.model.image import ImageRef, RemoteImage, Tag, is_kept_tag
from snapenv.model.needs_label import NeedsLabel, read_label
from snapenv.model.oci import Config
from snapenv.model.outcome import Outcome
from snapenv.model.results import ListedImage, ListResult
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, SNAPSHOT_LABEL
from snapenv.preflight.needs_of import RunOptions, judge_remote
from snapenv.report.listing import list_lines
from snapenv.sizes import counted
from snapenv.steps.host import inspecting_host
from snapenv.steps.load_archive import find_base
from snapenv.steps.verdicts import last_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
    from pathlib import Path

    from snapenv.model.image import Image
    from snapenv.ports import Services
    from snapenv.preflight.needs_of import Fit

_AT_ONCE = 16  # questions to a registry

_Remote: TypeAlias = RemoteImage | RemoteSnapshot


class Listing(Struct, frozen=True, kw_only=True):
    """What a user may ask of a list."""

    repository: str
    remote: bool = False
    fits: bool = False  # only the newest in the registry that runs here
    device: str = "auto"  # it is to run on, as of a restore


def list_images(request: Listing, services: Services) -> Outcome[ListResult]:
    """List what snapenv made: here, and in the repository if asked.

    Raises:
        EngineMissingError: No engine answers, and no registry is asked.
        NotFoundError: The registry has no such repository, or nothing of it runs here.
        RegistryError: The registry does not answer, or refuses.
        UsageError: The repository names no registry.
    """
    if request.remote or request.fits:
        if "/" not in request.repository:
            raise UsageError(
                f"{request.repository} is a repository of this machine alone",
                hint="Name one of a registry, such as example.com/team/env",
            )
        return _list_remote(request, services)
    local, warnings = _list_local(services, may_miss=False)
    return _outcome(request, [row for row, _ in local], warnings)


def _list_remote(request: Listing, services: Services) -> Outcome[ListResult]:
    """List both; the machine is looked at while the registry answers."""
    with inspecting_host(services) as host:
        answers = _ask(request.repository, services)
        engine_host = host()
    local, warnings = _list_local(services, may_miss=True)
    rows = {(row.repository, row.tag): _not_named(row, request.repository) for row, _ in local}
    images = {(row.repository, row.tag): image for row, image in local}
    judge = partial(
        judge_remote,
        host=engine_host,
        local_images=(*images.values(), *_bases(answers.values(), services)),
        options=RunOptions(device=request.device),
    )
    for ref, answer in answers.items():
        place = (ref.repository, str(ref.tag))
        joined = _joined(rows.get(place), images.get(place), ref, answer)
        rows[place] = _judged(joined, answer, judge, services.state)
    in_order = [rows[place] for place in sorted(rows)]
    outcome = _outcome(request, in_order, warnings)
    return _newest(outcome, request) if request.fits else outcome


def _outcome(
    request: Listing, rows: Sequence[ListedImage], warnings: tuple[str, ...]
) -> Outcome[ListResult]:
    result = ListResult(
        repository=request.repository,
        remote=request.remote or request.fits,
        images=tuple(sorted(rows, key=lambda row: (row.repository, row.tag))),
    )
    lines = tuple(list_lines(result))
    return Outcome(command="list", result=result, lines=lines, warnings=warnings)


def _newest(outcome: Outcome[ListResult], request: Listing) -> Outcome[ListResult]:
    """Answer with the newest of the registry that runs here, by its tag and digest.

    Raises:
        NotFoundError: There is none; the hint says why the newest does not.
    """
    remote = [row for row in outcome.result.images if row.remote]
    newest = sorted(remote, key=lambda row: row.created or "", reverse=True)
    fitting = next((row for row in newest if row.runs == "yes"), None)
    if fitting is None:
        why = f"{newest[0].tag}: {newest[0].reason}" if newest else "it has no tag of snapenv"
        raise NotFoundError(
            f"nothing in {request.repository} is known to run here", hint=f"The newest: {why}"
        )
    name = f"{fitting.name}@{fitting.digest}"
    result = replace(outcome.result, fits=name, images=(fitting,))
    return replace(outcome, result=result, lines=(name,))


def _list_local(
    services: Services, *, may_miss: bool
) -> tuple[tuple[tuple[ListedImage, Image], ...], tuple[str, ...]]:
    """Return what the engine holds; without an engine, nothing and a warning if it ``may_miss``."""
    try:
        named = services.engine.list_names(label=SNAPSHOT_LABEL)
        images = [
            (ImageRef.parse(name), created, services.engine.find(name)) for name, created in named
        ]
    except EngineMissingError as error:
        if not may_miss:
            raise
        return (), (f"{error.message}: local images are not listed",)
    return tuple(
        (
            ListedImage(
                name=ref.tagged,
                repository=ref.repository,
                tag=str(ref.tag),
                size_bytes=image.size_bytes,
                created=created,
                local=True,
                gpus=_gpus(image.labels),
                verified=last_verdict(services.state, image.labels.get(SNAPSHOT_LABEL, "")),
            ),
            image,
        )
        for ref, created, image in images
        if image and not is_kept_tag(str(ref.tag))
    ), ()


def _ask(
    repository: str, services: Services
) -> Mapping[ImageRef, _Remote | NotFoundError | RegistryError]:
    """Read every tag of the convention; an error for one that cannot be read.

    Raises:
        RegistryError: None can.
    """
    with services.progress.task(f"Asking {repository}") as task:
        refs = []
        for tag in services.registry.tags(repository):
            with contextlib.suppress(ValueError):  # a tag of another convention is not ours
                refs.append(ImageRef(repository=repository, tag=str(Tag.parse(tag))))
        task.note(counted(len(refs), "tag"))
        kept = services.made()
        name = kept.namer()("configs of images", repository)
        known = kept.find_value(name, dict[str, Config]) or {}
        configs = dict(known)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = tuple(pool.map(lambda ref: _describe(ref, services, configs), refs))
        images = [answer for answer in answers if isinstance(answer, RemoteImage)]
        used = {image.config_digest: configs[image.config_digest] for image in images}
        if used.keys() != known.keys():
            kept.keep_value(name, used)
    failed = [answer for answer in answers if isinstance(answer, RegistryError)]
    if failed and len(failed) == len(answers):
        raise failed[0]
    return dict(zip(refs, answers, strict=True))


def _describe(
    ref: ImageRef, services: Services, configs: MutableMapping[str, Config]
) -> _Remote | NotFoundError | RegistryError:
    try:
        return services.registry.describe(ref, configs=configs)
    except (NotFoundError, RegistryError) as error:
        return error


def _bases(answers: Iterable[object], services: Services) -> tuple[Image, ...]:
    """Find the base images that the engine has, each of which many images share."""
    labels = [answer.labels for answer in answers if isinstance(answer, RemoteImage)]
    named = {(each.get(BASE_NAME_LABEL), each.get(BASE_DIGEST_LABEL)) for each in labels}
    try:
        images = [
            find_base(name, digest, services)
            for name, digest in sorted(named, key=str)
            if name and digest
        ]
    except EngineMissingError:
        return ()
    return tuple(image for image in images if image)


def _not_named(row: ListedImage, repository: str) -> ListedImage:
    """Say of a local image of the repository that the registry did not name it, until it does."""
    return replace(row, remote=False) if row.repository == repository else row


def _joined(
    row: ListedImage | None, image: Image | None, ref: ImageRef, answer: _Remote | SnapenvError
) -> ListedImage:
    """Join what is known of a tag here and there."""
    remote = None if isinstance(answer, SnapenvError) else answer
    if row is None or image is None:
        row = ListedImage(
            name=ref.tagged,
            repository=ref.repository,
            tag=str(ref.tag),
            size_bytes=remote.size_bytes if remote else None,
            created=remote.created if remote else None,
        )
        same = None
    else:
        same = isinstance(remote, RemoteImage) and (image.diff_ids, dict(image.labels)) == (
            remote.diff_ids,
            dict(remote.labels),
        )
    return replace(row, remote=True, same=same, digest=remote.ref.digest if remote else None)


def _judged(
    row: ListedImage,
    answer: _Remote | SnapenvError,
    judge: Callable[[_Remote], Fit],
    state: Path | None,
) -> ListedImage:
    """Add whether it runs here, and what it is."""
    if isinstance(answer, SnapenvError):
        runs: Literal["no", "unknown"] = "no" if isinstance(answer, NotFoundError) else "unknown"
        return replace(row, runs=runs, reason=answer.message)
    fit = judge(answer)
    labels = answer.labels if isinstance(answer, RemoteImage) else answer.annotations
    return replace(
        row,
        kind="image" if isinstance(answer, RemoteImage) else "snapshot",
        gpus=_gpus(labels),
        verified=last_verdict(state, labels.get(SNAPSHOT_LABEL, "")),
        pull_bytes=sum(layer.size_bytes for layer in fit.missing),
        runs=fit.runs,
        reason=fit.reason,
    )


def _gpus(labels: Mapping[str, str]) -> tuple[str, ...]:
    return (read_label(labels) or NeedsLabel()).gpus
