"""Say what is known of one environment, without running anything of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import EngineMissingError, NotFoundError
from snapenv.lock.sources import base_source
from snapenv.model.image import ImageRef, Tag
from snapenv.model.outcome import Outcome
from snapenv.model.results.inventory import Baseline, ShowResult
from snapenv.model.snapshot import (
    BASE_DIGEST_LABEL,
    BASE_NAME_LABEL,
    SNAPSHOT_LABEL,
    TAG_LABEL,
    VERSION_LABEL,
)
from snapenv.preflight.needs import Told, read_label
from snapenv.report.listing import card_lines
from snapenv.report.summary import list_packages
from snapenv.workflows.archive import read_stored
from snapenv.workflows.reference import read_image, resolve_ref

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.image import Image, RemoteImage
    from snapenv.model.snapshot import Lock, Snapshot, Source
    from snapenv.ports import Outside


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
    lines = tuple(card_lines(card, packages=packages))
    return Outcome(command="show", result=card, lines=lines)


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
