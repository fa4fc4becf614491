"""Put everything that is seen into one line of JSON, as snapenv's ``Facts`` has it.

Strings are ASCII on the way: ``json`` escapes the rest, so that no locale can break the line.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import probe_distributions
import probe_driver
import probe_hashing
import probe_index
import probe_libraries
import probe_machine
import probe_native
import probe_outside
import probe_path
import probe_settings
import probe_sources
import probe_torch
import probe_unowned
import probe_variables
from probe_apart import Apart

if TYPE_CHECKING:
    from probe_index import Index

MARK = "snapenv-facts: "
SCHEMA = 1


def document() -> str:
    """Look at the environment that runs this, and give its facts as JSON."""
    index = probe_index.of_arguments(sys.argv[1:])
    path = probe_path.folders()
    torch = probe_torch.find(path)
    # Children are forked before the first thread is there; they work while files are hashed.
    hardware = Apart(probe_driver.look)
    cuda = probe_libraries.ask(path, torch)
    environment: dict[str, Any] = {
        "interpreter": _interpreter(),
        **_distributions(path, index),
        "torch": probe_torch.facts(torch),
        "libraries": {name: asked.answer() for name, asked in cuda.items()},
    }
    facts = {
        "schema": SCHEMA,
        "hardware": {
            "system": probe_machine.system(),
            **(hardware.answer() or {}),
        },
        "environment": environment,
        "native": _native(environment, probe_libraries.cublas(path, torch)),
        "settings": probe_settings.of_ultralytics(),
        "variables": probe_variables.of_training(),
        "image": probe_variables.of_image(),
    }
    index.save()
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def _native(environment: dict[str, Any], cublas: str | None) -> dict[str, object] | None:
    """Take what was seen of compiled code out of the environment; None where that failed."""
    found: dict[str, object] | None = environment.pop("native").answer()
    return found and {**found, "cublas": cublas}


def _interpreter() -> dict[str, str]:
    version = sys.version_info
    stage = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(version.releaselevel)
    return {
        "implementation": sys.implementation.name,
        "version": ".".join(map(str, version[:3])) + (f"{stage}{version.serial}" if stage else ""),
    }


def _distributions(path: list[str], index: Index) -> dict[str, object]:
    everything = probe_distributions.find(path)
    visible = probe_distributions.visible(everything)
    native = Apart(probe_native.look, visible)
    loose = probe_unowned.find(everything, probe_sources.roots(visible))
    hashed = probe_hashing.hash_files(
        {
            *(entry.file for found in visible for entry in found.digested),
            *(one.file for one in loose if not one.link),
        },
        index,
    )
    return {
        "native": native,
        "distributions": [probe_distributions.facts(found, hashed) for found in visible],
        "unowned": probe_unowned.facts(loose, hashed),
        "outside": probe_outside.find(everything, visible, loose, hashed),
    }
