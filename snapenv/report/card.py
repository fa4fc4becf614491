"""The card of one environment: what is known of it, as a value and as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.model.attachment import PROVENANCE, SBOM_TYPE, VERIFICATION
from snapenv.model.image import Tag
from snapenv.model.needs_label import NeedsLabel, read_label
from snapenv.model.results import Baseline, ListedCondaPackage, ListedPackage, ShowResult
from snapenv.model.snapshot import (
    BASE_DIGEST_LABEL,
    BASE_NAME_LABEL,
    PARENT_LABEL,
    SNAPSHOT_LABEL,
    TAG_LABEL,
    VERSION_LABEL,
)
from snapenv.model.wheels import FromBase, FromConda, Pinned, Vendored
from snapenv.report.printable import printable
from snapenv.report.summary import ORIGINS
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from snapenv.model.conda import CondaLock
    from snapenv.model.image import Image, ImageRef, RemoteImage
    from snapenv.model.results import Attached
    from snapenv.model.snapshot import Lock, Snapshot, Source
    from snapenv.model.wheels import Locked

_ATTACHED = {SBOM_TYPE: "SBOM", PROVENANCE: "provenance", VERIFICATION: "verification"}


def snapshot_card(snapshot: Snapshot, *, kind: str, name: str) -> ShowResult:
    """Return what a snapshot tells."""
    lock = snapshot.lock
    environment, baseline = lock.environment, lock.baseline
    torch, driver = environment.torch, lock.hardware.driver
    versions = {package.name: package.version for package in environment.distributions}
    return ShowResult(
        kind=kind,
        name=name,
        tag=lock.tag,
        digest=snapshot.digest,
        snapshot=snapshot.digest,
        parent=lock.parent,
        created=snapshot.captured_at,
        base=lock.base.image,
        python=environment.interpreter.version,
        torch=torch.version if torch else None,
        cuda=torch.cuda if torch else None,
        ultralytics=versions.get("ultralytics"),
        packages=len(versions),
        machine=lock.hardware.system.architecture,
        driver=driver.version if driver else None,
        gpus=tuple(dict.fromkeys(gpu.name for gpu in lock.hardware.gpus)),
        baseline=Baseline(
            device=baseline.conditions.device,
            steps=len(baseline.values),
            first=baseline.values[0],
            last=baseline.values[-1],
            exports=baseline.exports,
        )
        if baseline
        else None,
        sources=_name_sources(lock.sources),
        snapenv=lock.snapenv,
        distributions=list_packages(lock),
        conda=_list_conda(lock.conda) if lock.conda else None,
    )


def image_card(
    snapshot: Snapshot, ref: ImageRef, image: Image, *, sources: Sequence[Source]
) -> ShowResult:
    """Return what a local image tells, and the snapshot in it; ``sources`` are of the image."""
    card = snapshot_card(snapshot, kind="image", name=str(ref))
    return replace(
        card,
        digest=image.digest_in(ref.repository) or image.id,
        base=pinned_base(image.labels) or card.base,
        size_bytes=image.size_bytes,
        sources=_name_sources(sources),
        labels=_own_labels(image.labels),
    )


def registry_card(image: RemoteImage) -> ShowResult:
    """Return what labels and tag tell: the rest lies in a layer, which is not fetched."""
    labels, written = image.labels, read_label(image.labels)
    tag, label = _of_tag(labels.get(TAG_LABEL)), written or NeedsLabel()
    return ShowResult(
        kind="registry",
        name=image.ref.tagged,
        tag=labels.get(TAG_LABEL),
        digest=image.ref.digest,
        snapshot=labels[SNAPSHOT_LABEL],
        parent=labels.get(PARENT_LABEL) or None,
        size_bytes=image.size_bytes,
        created=image.created,
        base=pinned_base(labels),
        python=label.python or tag.get("python"),
        torch=label.torch or tag.get("torch"),
        cuda=label.cuda or tag.get("cuda"),
        ultralytics=label.ultralytics,
        packages=label.packages,
        machine=image.machine,
        driver=label.driver.version if label.driver else None,
        gpus=label.gpus if written else None,
        snapenv=labels.get(VERSION_LABEL),
        more=f"docker pull {image.ref.tagged}, then snapenv show once more",
        labels=_own_labels(labels),
    )


def pinned_base(labels: Mapping[str, str]) -> str | None:
    """Return the base that an image was built on, with its digest where that is known."""
    name, digest = labels.get(BASE_NAME_LABEL), labels.get(BASE_DIGEST_LABEL)
    return f"{name}@{digest}" if name and digest else name


def _of_tag(text: str | None) -> Mapping[str, str]:
    """Return what a tag of the convention says: the CUDA version, perhaps torch's or Python's."""
    try:
        tag = Tag.parse(text or "")
    except ValueError:
        return {}
    digits = tag.compute.removeprefix("cu")
    versions = {"cuda": f"{digits[:-1]}.{digits[-1]}"} if digits.isdecimal() and digits[1:] else {}
    for word, key in (("torch", "torch"), ("py", "python")):
        if tag.framework.startswith(word):
            versions[key] = tag.framework.removeprefix(word)
    return versions


def _own_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    return {name: labels[name] for name in sorted(labels) if name.startswith("io.snapenv.")}


def _name_sources(sources: Sequence[Source]) -> tuple[str, ...]:
    return tuple(f"{source.place}: {source.holds}" for source in sources)


def list_packages(lock: Lock) -> tuple[ListedPackage, ...]:
    """Return each package: name, version, origin, where it comes from, and how that is proved."""
    return tuple(
        ListedPackage(
            name=package.name,
            version=package.version,
            origin=package.origin,
            source=package.url or ORIGINS[package.origin],
            proof=_proof(lock.packages[package.name]),
        )
        for package in lock.environment.distributions
    )


def _list_conda(conda: CondaLock) -> tuple[ListedCondaPackage, ...]:
    return tuple(
        ListedCondaPackage(
            name=package.name,
            version=package.version,
            build=package.build,
            channel=package.channel,
            carried=conda.archives[package.name].file is not None,
        )
        for package in conda.environment.packages
    )


def _proof(locked: Locked) -> str:
    match locked:
        case Pinned(proof=proof):
            return "proved by RECORD" if proof == "record" else "not proved"
        case Vendored():
            return "carried"
        case FromBase():
            return "in the base image"
        case FromConda():
            return "of a conda package"


def card_lines(card: ShowResult, *, packages: bool) -> Iterator[str]:
    """Yield what is known of an environment, and with ``packages`` a line for each of them."""
    yield from _fact_lines(card)
    if packages:
        yield from _package_lines(
            (package.name, package.version, package.source, package.proof or "")
            for package in card.distributions or ()
        )
        if card.conda:
            yield "packages of conda:"
            yield from _package_lines(
                (
                    *(package.name, package.version, package.build, package.channel or ""),
                    "carried" if package.carried else "",
                )
                for package in card.conda
            )


def _attached_line(document: Attached) -> str:
    """Say what kind of document is attached; its registry may serve anything."""
    kind = document.predicate or document.type
    named = _ATTACHED.get(kind, kind)
    return f"{named}{', signed' if document.signed else ''}  {document.digest}"


def _package_lines(packages: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield a line for each package, in columns."""
    rows = list(packages)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True))
        yield printable(f"  {line}".rstrip())


def _fact_lines(card: ShowResult) -> Iterator[str]:
    """Yield a word and its value a line; what nothing tells is left out, and said at the end."""
    facts: tuple[tuple[str, Iterable[str | None]], ...] = (
        ("tag", (card.tag,)),
        ("name", (card.name,)),
        ("digest", (card.digest,)),
        ("snapshot", (card.snapshot if card.snapshot != card.digest else None,)),
        ("made of", (card.parent,)),
        ("size", (size(card.size_bytes) if card.size_bytes else None,)),
        ("created", (card.created,)),
        ("base", (card.base or "").replace("@", "\n@", 1).split("\n") if card.base else ()),
        ("python", (card.python,)),
        ("torch", (card.torch,)),
        ("CUDA", (card.cuda,)),
        ("packages", (_packages_line(card),)),
        ("conda", (counted(len(card.conda), "package") if card.conda else None,)),
        ("machine", (card.machine,)),
        ("hardware", (", ".join(card.gpus or ()), card.driver and f"driver {card.driver}")),
        ("baseline", _baseline_lines(card.baseline)),
        ("sources", card.sources or ()),
        ("attached", map(_attached_line, card.attached)),
        ("written by", (f"snapenv {card.snapenv}" if card.snapenv else None,)),
    )
    for word, values in facts:
        title = word
        for value in values:
            if value:
                yield f"{title:<10} {printable(value)}"
                title = ""
    if card.more:
        yield "The packages, sources and baseline lie in the image."
        yield f"To see them: {printable(card.more)}"


def _packages_line(card: ShowResult) -> str | None:
    if card.packages is None:
        return None
    return f"{card.packages}" + (f", ultralytics {card.ultralytics}" if card.ultralytics else "")


def _baseline_lines(baseline: Baseline | None) -> Iterator[str]:
    if baseline is None:
        return
    steps = counted(baseline.steps, "step")
    yield f"{steps} on {baseline.device}, {baseline.first:.6f} to {baseline.last:.6f}"
    for export in baseline.exports or ():
        yield f"export to {export.format}: {export.words}"
