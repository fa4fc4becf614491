"""A list of images and the card of one environment, as lines for people."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from snapenv.report.printable import printable
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from snapenv.model.results import (
        Baseline,
        CleanResult,
        ListedPackage,
        ListResult,
        PsResult,
        ShowResult,
    )

_COMMAND = 60  # characters
_UNKNOWN = "unknown"


def list_lines(result: ListResult) -> Iterator[str]:
    """Yield a line for each repository, and below it one for each of its tags."""
    if not result.images:
        where = f", and none in {result.repository}" if result.remote else ""
        yield f"no local image of snapenv{where}"
    width = max((len(image.tag) for image in result.images), default=0)
    above = None
    for image in result.images:
        if image.repository != above:
            above = image.repository
            yield above
        day = (image.created or _UNKNOWN)[:10]
        size_ = _UNKNOWN if image.size_bytes is None else size(image.size_bytes)
        yield f"  {image.tag:<{width}}  {size_:>8}  {day:<10} {image.where}"


def run_lines(result: PsResult) -> Iterator[str]:
    """Yield a line for each run."""
    if not result.runs:
        yield "nothing of yours is running"
    for one in result.runs:
        status = one.status if one.exit_code is None else f"{one.status} {one.exit_code}"
        ports = "".join(f" {port.address}:{port.host}->{port.inside}" for port in one.ports)
        command = shlex.join(one.command)
        yield printable(f"{one.run}  {status:<10}  {one.ref}{ports}  {command[:_COMMAND]}")


def clean_lines(result: CleanResult) -> Iterator[str]:
    """Yield a line for each thing that snapenv has made, and what was or would be freed."""
    for row in result.things:
        thing = row.thing
        state = "freed" if row.freed else "in use" if thing.in_use else "free" if row.chosen else ""
        day = (thing.last_used or thing.created or _UNKNOWN)[:10]
        yield printable(
            f"{thing.kind:<11}  {size(thing.size_bytes):>8}  {day:<10}  {state:<6}  {thing.name}"
        )
    chosen = [row for row in result.things if row.chosen]
    if any(row.freed for row in chosen):
        yield f"freed {size(result.freed_bytes)}"
    elif chosen:
        bytes_ = sum(row.thing.size_bytes for row in chosen)
        yield f"{size(bytes_)} can be freed; nothing was, without --yes"
    else:
        yield "nothing to free"


def card_lines(card: ShowResult, *, packages: bool) -> Iterator[str]:
    """Yield what is known of an environment, and with ``packages`` a line for each of them."""
    yield from _lines(card)
    if packages:
        yield from _package_lines(card.distributions or ())


def _package_lines(packages: Sequence[ListedPackage]) -> Iterator[str]:
    """Yield a line for each package: name, version, where it comes from, how that is proved."""
    rows = [
        (package.name, package.version, package.source, package.proof or "") for package in packages
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True))
        yield printable(f"  {line}".rstrip())


def _lines(card: ShowResult) -> Iterator[str]:
    """Yield a word and its value a line; what nothing tells is left out, and said at the end."""
    facts: tuple[tuple[str, Iterable[str | None]], ...] = (
        ("tag", (card.tag,)),
        ("name", (card.name,)),
        ("digest", (card.digest,)),
        ("snapshot", (card.snapshot if card.snapshot != card.digest else None,)),
        ("size", (size(card.size_bytes) if card.size_bytes else None,)),
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
                yield f"{title:<10} {printable(value)}"
                title = ""
    if card.more:
        yield "The packages, sources and baseline lie in the image."
        yield f"To see them: {printable(card.more)}"


def _packages_line(card: ShowResult) -> str | None:
    if card.packages is None:
        return None
    return f"{card.packages}" + (f", ultralytics {card.ultralytics}" if card.ultralytics else "")


def _baseline_line(baseline: Baseline | None) -> str | None:
    if baseline is None:
        return None
    steps = counted(baseline.steps, "step")
    return f"{steps} on {baseline.device}, {baseline.first:.6f} to {baseline.last:.6f}"
