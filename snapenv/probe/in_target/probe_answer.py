"""Put everything that is seen into one line of JSON, as snapenv's ``Facts`` has it.

Strings are ASCII on the way: ``json`` escapes the rest, so that no locale can break the line.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys

import probe_distributions
import probe_driver
import probe_hashing
import probe_libraries
import probe_machine
import probe_path
import probe_torch
import probe_unowned
import probe_variables
from probe_apart import Apart

MARK = "snapenv-facts: "
SCHEMA = 1


def document() -> str:
    """Look at the environment that runs this, and give its facts as JSON."""
    path = probe_path.folders()
    torch = probe_torch.find(path)
    # Children are forked before the first thread is there; they work while files are hashed.
    hardware = Apart(probe_driver.look)
    cuda = probe_libraries.ask(path, torch)
    environment = {
        "interpreter": _interpreter(),
        **_distributions(path),
        "torch": probe_torch.facts(torch),
        "libraries": {name: asked.answer() for name, asked in cuda.items()},
    }
    facts = {
        "schema": SCHEMA,
        "hardware": {
            "system": probe_machine.system(),
            **(hardware.answer() or {"driver": None, "gpus": []}),
        },
        "environment": environment,
        "variables": probe_variables.of_training(),
        "image": probe_variables.of_image(),
    }
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def _interpreter() -> dict[str, str]:
    version = sys.version_info
    stage = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(version.releaselevel)
    return {
        "implementation": sys.implementation.name,
        "version": ".".join(map(str, version[:3])) + (f"{stage}{version.serial}" if stage else ""),
    }


def _distributions(path: list[str]) -> dict[str, object]:
    everything = probe_distributions.find(path)
    visible = probe_distributions.visible(everything)
    hashed = probe_hashing.hash_files(
        {entry.file for found in visible for entry in found.digested()}
    )
    return {
        "distributions": [probe_distributions.facts(found, hashed) for found in visible],
        "unowned": probe_unowned.find(everything),
    }
