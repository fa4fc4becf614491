"""What is listed of images, runs and what snapenv has made, as lines for people."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from snapenv.report.printable import printable
from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.results import (
        CleanResult,
        ListedImage,
        ListResult,
        PsResult,
    )

_COMMAND = 60  # characters
_DIGEST = 12  # digits of it, as docker shows
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
        if image.runs:
            yield from map(printable, _remote_lines(image))


def _remote_lines(image: ListedImage) -> Iterator[str]:
    """Yield what lies in a registry: whether it runs here, what it is, and why it does not run."""
    digest = (image.digest or _UNKNOWN).removeprefix("sha256:")[:_DIGEST]
    captured = f" of {', '.join(image.gpus)}" if image.gpus else ""
    yield f"    runs: {image.runs:<7}  {image.kind}{captured}  {digest}"
    verdict = "unverified"
    if image.verified:
        tier = image.verified.tier or "verified"
        verdict = f"{tier if image.verified.ok else 'different'} {image.verified.at[:10]}"
    pull = "" if image.pull_bytes is None else f", {size(image.pull_bytes)} to pull"
    yield f"    {verdict}{pull}"
    if image.reason:
        yield f"    {image.reason}"


def run_lines(result: PsResult) -> Iterator[str]:
    """Yield a line for each run, and below it why it ended."""
    if not result.runs:
        yield "nothing of yours is running"
    for run in result.runs:
        status = run.status if run.exit_code is None else f"{run.status} {run.exit_code}"
        ports = "".join(f" {port.address}:{port.host}->{port.inside}" for port in run.ports)
        command = shlex.join(run.command)
        yield printable(f"{run.run}  {status:<10}  {run.ref}{ports}  {command[:_COMMAND]}")
        if run.cause:
            yield printable(f"  {run.cause}")


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
