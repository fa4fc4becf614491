"""The readers of the probe in this process, loaded as plain modules, as they travel."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import snapenv
from snapenv.probe.probe import MARK, parse_facts

if TYPE_CHECKING:
    from snapenv.model.facts import Facts

IN_TARGET = Path(snapenv.__file__).parent / "probe" / "in_target"


def load(name: str) -> Any:  # noqa: ANN401 - a module that mypy does not follow
    """Load a module of the probe, as it finds its siblings over there."""
    folder = str(IN_TARGET)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def look(site: Path) -> Facts:
    """Read every distribution of a folder, and take the answer as the host takes it."""
    distributions, hashing = load("probe_distributions"), load("probe_hashing")
    visible = distributions.visible(distributions.find([str(site)]))
    hashed = hashing.hash_files({entry.file for one in visible for entry in one.digested})
    return answer([distributions.facts(one, hashed) for one in visible])


def answer(distributions: list[dict[str, object]]) -> Facts:
    """Write distributions into an answer as the probe does, and read it."""
    document = {
        "schema": 1,
        "hardware": {"system": {"os": "debian 12", "machine": "x86_64", "cpu_count": 2}},
        "environment": {
            "interpreter": {"implementation": "cpython", "version": "3.11.7"},
            "distributions": distributions,
        },
    }
    return parse_facts(f"\n{MARK}{json.dumps(document)}\n")
