"""The readers of the probe in this process, loaded as plain modules, as they travel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snapenv.probe.probe import MARK, parse_facts
from snapenv_probe import distributions, hashing

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.facts import Facts


def look(site: Path) -> Facts:
    """Read every distribution of a folder, and take the answer as the host takes it."""
    visible = distributions.visible(distributions.find([str(site)]))
    hashed = hashing.hash_files({entry.file for one in visible for entry in one.digested})
    return answer([distributions.facts(one, hashed) for one in visible])


def answer(described: list[dict[str, object]]) -> Facts:
    """Write distributions into an answer as the probe does, and read it."""
    document = {
        "schema": 1,
        "hardware": {"system": {"os": "debian 12", "machine": "x86_64", "cpu_count": 2}},
        "environment": {
            "interpreter": {"implementation": "cpython", "version": "3.11.7"},
            "distributions": described,
        },
    }
    return parse_facts(f"\n{MARK}{json.dumps(document)}\n")
