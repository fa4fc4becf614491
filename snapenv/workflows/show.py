"""Say what is known of one environment, without running anything of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.lock.make_lock import base_source
from snapenv.model.image import ImageRef, Tag
from snapenv.model.outcome import Outcome
from snapenv.model.results import Baseline, ShowResult
from snapenv.model.snapshot import (
    BASE_DIGEST_LABEL,
    BASE_NAME_LABEL,
    SNAPSHOT_LABEL,
    TAG_LABEL,
    VERSION_LABEL,
)
from snapenv.preflight.needs_label import NeedsLabel, read_label
from snapenv.report.listing import card_lines
from snapenv.report.summary import list_packages
from snapenv.steps.snapshots import no_snapshot, read_image, read_source
from snapenv.steps.source import (
    Archive,
    LocalImage,
    RegistryImage,
    resolve_source,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.image import Image, RemoteImage
    from snapenv.model.snapshot import Lock, Snapshot
    from snapenv.model.snapshot import Source as PackageSource
    from snapenv.ports import Services


def show(
    text: str, services: Services, *, repository: str, packages: bool = False
) -> Outcome[ShowResult]:
    """Say what is known of a snapshot folder, an archive, or an image here, else in a registry.

    Nothing is pulled, and nothing of the image is run. With ``packages``, each is a line too.

    Raises:
        NotFoundError: It is nowhere.
        RegistryError: The registry does not answer, or refuses.
    """
    source = resolve_source(text, repository=repository, services=services)
    match source:
        case LocalImage(ref, image):
            card = _of_image(ref, image, services)
        case RegistryImage(ref):
            with services.progress.task(f"Asking for {ref}"):
                card = _of_remote(services.registry.read(ref))
        case _:
            kind = "archive" if isinstance(source, Archive) else "snapshot"
            card = _of_snapshot(read_source(source, services), kind=kind, name=str(source))
    lines = tuple(card_lines(card, packages=packages))
    return Outcome(command="show", result=card, lines=lines)


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


def _sources(lock: Lock, base: str | None) -> tuple[PackageSource, ...]:
    """Return the sources, the base that an image really has in the place of the lock's own."""
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


def _of_image(ref: ImageRef, image: Image, services: Services) -> ShowResult:
    """Read the snapshot that a local image holds."""
    base = _pinned_base(image.labels)
    return replace(
        _of_snapshot(read_image(image, ref, services), kind="image", name=str(ref), base=base),
        digest=image.digest_in(ref.repository) or image.id,
        size_bytes=image.size_bytes,
        labels=_ours(image.labels),
    )


def _of_remote(image: RemoteImage) -> ShowResult:
    """Say what labels and tag tell: the rest lies in a layer, which is not fetched."""
    labels, written = image.labels, read_label(image.labels)
    tag, label = _of_tag(labels.get(TAG_LABEL)), written or NeedsLabel()
    if SNAPSHOT_LABEL not in labels:
        raise no_snapshot(image.ref)
    return ShowResult(
        kind="registry",
        name=image.ref.tagged,
        tag=labels.get(TAG_LABEL),
        digest=image.ref.digest,
        snapshot=labels[SNAPSHOT_LABEL],
        size_bytes=image.size_bytes,
        created=image.created,
        base=_pinned_base(labels),
        python=label.python or tag.get("python"),
        torch=label.torch or tag.get("torch"),
        cuda=label.cuda or tag.get("cuda"),
        ultralytics=label.ultralytics,
        packages=label.packages,
        driver=label.driver.version if label.driver else None,
        gpus=label.gpus if written else None,
        snapenv=labels.get(VERSION_LABEL),
        more=f"docker pull {image.ref.tagged}, then snapenv show once more",
        labels=_ours(labels),
    )


def _of_tag(text: str | None) -> Mapping[str, str]:
    """Return what a tag of the convention says: the CUDA version, perhaps torch's or Python's."""
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
