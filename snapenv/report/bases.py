"""Ranked base images as lines for people."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.facts import Facts
    from snapenv.model.results import BasesResult, FamilyBase, RankedBase

_WIDTH = 60
_COLUMNS = "{:>2}  {:<15} {:<6}  {:<5}  {:<5}  {}"


def bases_lines(
    result: BasesResult, facts: Facts, *, inspected: Sequence[str | None]
) -> Iterator[str]:
    """Yield what is ranked for, and a line for each image with its reason below.

    ``told`` has for each image what a container of it told, None where none ran.
    """
    yield from _wrap(_describe(facts))
    yield from _wrap(result.reason)
    repository = result.bases[0].image.rpartition(":")[0]
    yield from _wrap(f"images of {repository}, best first")
    yield _COLUMNS.format("", "tag", "Python", "CUDA", "torch", "size").rstrip()
    for base, inside in zip(result.bases, inspected, strict=True):
        yield _COLUMNS.format(
            base.rank,
            base.image.rpartition(":")[2],
            base.python or "?",
            base.cuda or "?",
            base.torch or "?",
            _size(base),
        )
        if inside:
            yield from _wrap(f"a container of it ran for a moment: {inside}", indent="    ")
        yield from _wrap(base.reason, indent="    ")
    yield "what --base-family takes, and what would be pulled"
    for family in result.families:
        yield f"{family.family:<8}  {_missing(family):>8}"
        yield f"    {family.image}"
        yield from _wrap(family.use, indent="    ")


def _missing(family: FamilyBase) -> str:
    if family.local:
        return "local"
    return "?" if family.missing_bytes is None else size(family.missing_bytes)


def _describe(facts: Facts) -> str:
    torch, hardware = facts.environment.torch, facts.hardware
    return ", ".join(
        (
            f"Python {facts.environment.interpreter.version}",
            f"torch {torch.version}" if torch else "no torch",
            hardware.driver_label,
            *dict.fromkeys(gpu.name for gpu in hardware.gpus),
            hardware.system.architecture,
        )
    )


def _size(base: RankedBase) -> str:
    if base.local:
        return "local"
    return "?" if base.size_bytes is None else f"{base.size_bytes / 1e9:.1f} GB"


def _wrap(text: str, *, indent: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
