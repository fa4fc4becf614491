"""Everything that reads bytes from elsewhere, as targets of the fuzzer, each with its seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.targets import (
    archives,
    environments,
    machine,
    programs,
    registries,
    snapshots,
    usage,
)

if TYPE_CHECKING:
    from tests.fuzz.target import Target

SEEDS = Path(__file__).parents[1] / "seeds"
TARGETS: tuple[Target, ...] = (
    *snapshots.TARGETS,
    *archives.TARGETS,
    *registries.TARGETS,
    *programs.TARGETS,
    *environments.TARGETS,
    *machine.TARGETS,
    *usage.TARGETS,
)


def find(name: str) -> Target:
    """Return a target by its name."""
    return next(target for target in TARGETS if target.name == name)
