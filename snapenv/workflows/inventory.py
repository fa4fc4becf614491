"""What is here and in the registry, and what is known of one of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import EngineMissingError, NotFoundError, UsageError
from snapenv.lock.sources import base_source
from snapenv.model.image import ImageRef, Tag
from snapenv.model.outcome import Outcome
from snapenv.model.results.inventory import (
    Baseline,
    ListedImage,
    ListedPackage,
    ListResult,
    ShowResult,
)
from snapenv.model.snapshot import (
    BASE_DIGEST_LABEL,
    BASE_NAME_LABEL,
    SNAPSHOT_LABEL,
    TAG_LABEL,
    VERSION_LABEL,
)
from snapenv.preflight.needs import Told, read_label
from snapenv.sizes import counted, size
from snapenv.workflows.archive import read_stored
from snapenv.workflows.reference import read_image, resolve_ref
from snapenv.workflows.summary import list_packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from snapenv.model.image import Image, RemoteImage
    from snapenv.model.snapshot import Lock, Snapshot, Source
    from snapenv.ports import Outside

_AT_ONCE = 8  # questions to a registry
_NOTHING = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a user may ask of a list."""

    repository: str
    remote: bool = False


def list_images(request: Listing, outside: Outside) -> Outcome[ListResult]:
    """List what snapenv made: here, and in the repository if asked."""
    here, warnings = _here(outside, may_miss=request.remote)
    rows = {(row.repository, row.tag): row for row, _ in here}
    if request.remote:
        images = {(row.repository, row.tag): image for row, image in here}
        there, missing = _there(request.repository, outside)
        warnings += missing
        for ref, found in there.items():
            place = (ref.repository, str(ref.tag))
            rows[place] = _joined(rows.get(place), images.get(place), ref, found)
        rows = {place: _asked(row, request.repository) for place, row in rows.items()}
    return _listed([rows[place] for place in sorted(rows)], request, warnings)


def _here(
    outside: Outside, *, may_miss: bool
) -> tuple[tuple[tuple[ListedImage, Image], ...], tuple[str, ...]]:
    """Give what the engine holds; without an engine, nothing and a warning if it ``may_miss``."""
    try:
        named = outside.engine.list_names(label=SNAPSHOT_LABEL)
    except EngineMissingError as error:
        if not may_miss:
            raise
        return (), (f"{error.message}: what is here is not listed",)
    found = ((ImageRef.parse(name), created, outside.engine.find(name)) for name, created in named)
    return tuple(
        (
            ListedImage(
                name=ref.tagged,
                repository=ref.repository,
                tag=str(ref.tag),
                size_bytes=image.size_bytes,
                created=created,
                here=True,
            ),
            image,
        )
        for ref, created, image in found
        if image
    ), ()


def _there(
    repository: str, outside: Outside
) -> tuple[Mapping[ImageRef, RemoteImage | None], tuple[str, ...]]:
    """Read every tag of the convention; None for one that is not for this kind of machine."""
    if "/" not in repository:
        raise UsageError(
            f"{repository} is a repository of this machine alone",
            hint="Name one of a registry: --repository example.com/team/env",
        )
    with outside.progress.task(f"Asking {repository}") as task:
        tags = [tag for tag in outside.registry.tags(repository) if _is_ours(tag)]
        refs = [ImageRef(repository=repository, tag=tag) for tag in tags]
        task.note(counted(len(refs), "tag"))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = tuple(pool.map(lambda ref: _read(ref, outside), refs))
    there = dict(zip(refs, read, strict=True))
    missing = (ref.tag for ref, found in there.items() if found is None)
    return there, tuple(f"{tag} is not for this kind of machine, or is gone" for tag in missing)


def _read(ref: ImageRef, outside: Outside) -> RemoteImage | None:
    try:
        return outside.registry.read(ref)
    except NotFoundError:
        return None


def _is_ours(tag: str) -> bool:
    try:
        Tag.parse(tag)
    except ValueError:
        return False
    return True


def _joined(
    row: ListedImage | None, image: Image | None, ref: ImageRef, there: RemoteImage | None
) -> ListedImage:
    if row is None or image is None:
        return ListedImage(
            name=ref.tagged,
            repository=ref.repository,
            tag=str(ref.tag),
            size_bytes=there.size_bytes if there else None,
            created=there.created if there else None,
            there=True,
        )
    same = there is not None and (image.diff_ids, dict(image.labels)) == (
        there.diff_ids,
        dict(there.labels),
    )
    return replace(row, there=True, same=same)


def _asked(row: ListedImage, repository: str) -> ListedImage:
    """Note that the registry has not what it did not name."""
    if row.there is None and row.repository == repository:
        return replace(row, there=False)
    return row


def _listed(
    rows: Sequence[ListedImage], request: Listing, warnings: tuple[str, ...]
) -> Outcome[ListResult]:
    result = ListResult(repository=request.repository, remote=request.remote, images=tuple(rows))
    return Outcome(
        command="list",
        result=result,
        lines=tuple(_table(result.images)) or (_empty(request),),
        warnings=warnings,
    )


def _table(rows: Sequence[ListedImage]) -> Iterator[str]:
    """Give a line for each repository, and below it one for each of its tags."""
    width = max((len(row.tag) for row in rows), default=0)
    above = None
    for row in rows:
        if row.repository != above:
            above = row.repository
            yield above
        day = (row.created or _NOTHING)[:10]
        yield f"  {row.tag:<{width}}  {_size(row.size_bytes):>8}  {day:<10}  {row.where}"


def _empty(request: Listing) -> str:
    where = f"here or in {request.repository}" if request.remote else "here"
    return f"there is no image of snapenv {where}"


def _size(size_bytes: int | None) -> str:
    return _NOTHING if size_bytes is None else size(size_bytes)


def show(
    text: str, outside: Outside, *, repository: str, packages: bool = False
) -> Outcome[ShowResult]:
    """Say what is known of a snapshot folder, an archive, or an image here, else in a registry.

    Nothing is pulled, and nothing of the image is run. With ``packages``, each is a line too.

    Raises:
        NotFoundError: It is nowhere.
        RegistryError: The registry does not answer, or refuses.
    """
    ref = resolve_ref(text, repository=repository, outside=outside)
    if isinstance(ref, Path):
        kind = "archive" if ref.is_file() else "snapshot"
        card = _of_snapshot(read_stored(ref, outside), kind=kind, name=str(ref))
    else:
        image = _find(ref, outside)
        card = _of_image(ref, image, outside) if image else _of_remote(_ask(ref, outside))
    return _shown(card, packages=packages)


def _find(ref: ImageRef, outside: Outside) -> Image | None:
    try:
        return outside.engine.find(str(ref))
    except EngineMissingError:
        return None  # the registry may have it


def _ask(ref: ImageRef, outside: Outside) -> RemoteImage:
    if "/" not in ref.repository:
        raise NotFoundError(
            f"there is no local image {ref}",
            hint="See snapenv list, or name a repository: --repository example.com/team/env",
        )
    with outside.progress.task(f"Asking for {ref}"):
        return outside.registry.read(ref)


def _of_snapshot(
    snapshot: Snapshot, *, kind: str, name: str, base: str | None = None
) -> ShowResult:
    """Say what a snapshot tells; ``base`` is what its image was built on, if not the lock's own."""
    lock = snapshot.lock
    environment = lock.environment
    torch, driver = environment.torch, lock.hardware.driver
    versions = {one.name: one.version for one in environment.distributions}
    return ShowResult(
        kind=kind,
        name=name,
        tag=lock.tag,
        digest=snapshot.digest,
        snapshot=snapshot.digest,
        created=snapshot.captured_at,
        base=base or lock.base.image,
        python=environment.interpreter.version,
        torch=torch.version if torch else None,
        cuda=torch.cuda if torch else None,
        ultralytics=versions.get("ultralytics"),
        packages=len(versions),
        driver=driver.version if driver else None,
        gpus=tuple(dict.fromkeys(gpu.name for gpu in lock.hardware.gpus)),
        baseline=_baseline(lock),
        sources=tuple(f"{one.place}: {one.holds}" for one in _sources(lock, base)),
        snapenv=lock.snapenv,
        distributions=list_packages(lock),
    )


def _sources(lock: Lock, base: str | None) -> tuple[Source, ...]:
    """Give the sources, the base that an image really has in the place of the lock's own."""
    if base is None or not lock.sources:
        return lock.sources
    try:
        return (*lock.sources[:-1], base_source(ImageRef.parse(base)))
    except ValueError:  # a label may hold anything
        return lock.sources


def _baseline(lock: Lock) -> Baseline | None:
    if lock.baseline is None:
        return None
    losses = lock.baseline.values
    return Baseline(
        device=lock.baseline.conditions.device,
        steps=len(losses),
        first=losses[0],
        last=losses[-1],
    )


def _of_image(ref: ImageRef, image: Image, outside: Outside) -> ShowResult:
    """Read the snapshot that a local image holds."""
    base = _pinned_base(image.labels)
    return replace(
        _of_snapshot(read_image(image, ref, outside), kind="image", name=str(ref), base=base),
        digest=image.digest_in(ref.repository) or image.id,
        size_bytes=image.size_bytes,
        labels=_ours(image.labels),
    )


def _of_remote(image: RemoteImage) -> ShowResult:
    """Say what labels and tag tell: the rest lies in a layer, which is not fetched."""
    labels, name = image.labels, str(image.ref)
    tag, label = _of_tag(labels.get(TAG_LABEL)), read_label(labels)
    told = label or Told()
    if SNAPSHOT_LABEL not in labels:
        raise NotFoundError(
            f"{name} holds no snapshot: it was not built by snapenv",
            hint="Name an image that snapenv build made.",
        )
    return ShowResult(
        kind="registry",
        name=image.ref.tagged,
        tag=labels.get(TAG_LABEL),
        digest=image.ref.digest,
        snapshot=labels[SNAPSHOT_LABEL],
        size_bytes=image.size_bytes,
        created=image.created,
        base=_pinned_base(labels),
        python=told.python or tag.get("python"),
        torch=told.torch or tag.get("torch"),
        cuda=told.cuda or tag.get("cuda"),
        ultralytics=told.ultralytics,
        packages=told.packages,
        driver=told.driver.version if told.driver else None,
        gpus=told.gpus if label else None,
        snapenv=labels.get(VERSION_LABEL),
        more=f"docker pull {image.ref.tagged}, then snapenv show once more",
        labels=_ours(labels),
    )


def _of_tag(text: str | None) -> Mapping[str, str]:
    """Give what a tag of the convention says: the CUDA version, perhaps torch's or Python's."""
    try:
        tag = Tag.parse(text or "")
    except ValueError:
        return {}
    digits = tag.compute.removeprefix("cu")
    found = {"cuda": f"{digits[:-1]}.{digits[-1]}"} if digits.isdecimal() and digits[1:] else {}
    for word, key in (("torch", "torch"), ("py", "python")):
        if tag.framework.startswith(word):
            found[key] = tag.framework.removeprefix(word)
    return found


def _pinned_base(labels: Mapping[str, str]) -> str | None:
    name, digest = labels.get(BASE_NAME_LABEL), labels.get(BASE_DIGEST_LABEL)
    return f"{name}@{digest}" if name and digest else name


def _ours(labels: Mapping[str, str]) -> Mapping[str, str]:
    return {name: labels[name] for name in sorted(labels) if name.startswith("io.snapenv.")}


def _shown(card: ShowResult, *, packages: bool) -> Outcome[ShowResult]:
    listed = _package_lines(card.distributions or ()) if packages else ()
    return Outcome(command="show", result=card, lines=(*_lines(card), *listed))


def _package_lines(packages: Sequence[ListedPackage]) -> Iterator[str]:
    """Return a line for each package: name, version, where it comes from, how that is proved."""
    rows = [(one.name, one.version, one.source, one.proof or "") for one in packages]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True))
        yield _printable(f"  {line}".rstrip())


def _lines(card: ShowResult) -> Iterator[str]:
    """Give a word and its value a line; what nothing tells is left out, and said at the end."""
    facts: tuple[tuple[str, Iterable[str | None]], ...] = (
        ("tag", (card.tag,)),
        ("name", (card.name,)),
        ("digest", (card.digest,)),
        ("snapshot", (card.snapshot if card.snapshot != card.digest else None,)),
        ("size", (_size(card.size_bytes) if card.size_bytes else None,)),
        ("created", (card.created,)),
        ("base", (card.base or "").replace("@", "\n@", 1).split("\n") if card.base else ()),
        ("python", (card.python,)),
        ("torch", (card.torch,)),
        ("CUDA", (card.cuda,)),
        ("packages", (_packages_line(card),)),
        ("hardware", (", ".join(card.gpus or ()), card.driver and f"driver {card.driver}")),
        ("baseline", (_baseline_line(card.baseline),)),
        ("sources", card.sources or ()),
        ("written by", (f"snapenv {card.snapenv}" if card.snapenv else None,)),
    )
    for word, values in facts:
        title = word
        for value in values:
            if value:
                yield f"{title:<10} {_printable(value)}"
                title = ""
    if card.more:
        yield "The packages, sources and baseline lie in the image."
        yield f"To see them: {_printable(card.more)}"


def _packages_line(card: ShowResult) -> str | None:
    if card.packages is None:
        return None
    return f"{card.packages}" + (f", ultralytics {card.ultralytics}" if card.ultralytics else "")


def _baseline_line(baseline: Baseline | None) -> str | None:
    if baseline is None:
        return None
    steps = counted(baseline.steps, "step")
    return f"{steps} on {baseline.device}, {baseline.first:.6f} to {baseline.last:.6f}"


def _printable(text: str) -> str:
    """Escape what would end the line or steer the terminal: it may come from someone else."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
