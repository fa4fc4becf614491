"""Put everything that is seen into one line of JSON, as snapenv's ``Facts`` has it.

Strings are ASCII on the way: ``json`` escapes the rest, so that no locale can break the line.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys

import probe_cache
import probe_driver
import probe_kept
import probe_libraries
import probe_machine
import probe_path
import probe_placeholders
import probe_settings
import probe_startup
import probe_tree
import probe_variables

TYPE_CHECKING = False  # as in probe_tree
if TYPE_CHECKING:
    from typing import Any

MARK = "snapenv-facts: "
SCHEMA = 1


def document() -> str:
    """Look at the environment that runs this, and give its facts as JSON."""
    # A child is forked before the first thread is there; it works while files are looked at.
    hardware = probe_driver.Driver()
    path = probe_path.folders()
    place = probe_cache.place(sys.argv[1:])
    kept = probe_kept.Kept(place and place + ".answer", path)
    files = kept.libraries()
    cuda = probe_libraries.ask(files)  # they load while files are looked at
    tree = probe_tree.walk(probe_path.own_folders(), probe_tree.venv())  # before anything is read
    seen = _see(path, tree, kept, place)
    if seen["cuda"] != files:
        cuda = probe_libraries.ask(seen["cuda"])
    names = {found["name"] for found in seen["environment"]["distributions"]}
    facts = {
        "schema": SCHEMA,
        "settings": probe_settings.of_ultralytics() if "ultralytics" in names else {},
        "variables": probe_variables.of_training(),
        "startup": probe_startup.look(tree),
        "image": probe_variables.of_image(),
        "native": seen["native"],
        "places": probe_placeholders.places(),
        "environment": {
            **seen["environment"],
            "interpreter": _interpreter(),
            "libraries": {name: asked.answer() for name, asked in cuda.items()},
        },
        "hardware": {"system": probe_machine.system(), **hardware.answer()},
    }
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def _see(
    path: list[str], tree: probe_tree.Tree, kept: probe_kept.Kept, place: str | None
) -> dict[str, Any]:
    """Give what an earlier look kept where it still holds, else look."""
    rehash = "--rehash" in sys.argv
    carry = [path for word, path in zip(sys.argv, sys.argv[1:]) if word == "--carry"]
    seen: dict[str, Any] | None = None if rehash or carry else kept.find(tree)
    if seen is None:
        import probe_environment
        import probe_index

        is_fresh = "--fresh" in sys.argv
        index = probe_index.Index(place and place + ".index", rehash=rehash, is_fresh=is_fresh)
        seen, beside = probe_environment.look(path, tree, index, carry)
        index.save()
        kept.keep(seen, tree, beside)
    return seen


def _interpreter() -> dict[str, str]:
    version = sys.version_info
    stage = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(version.releaselevel)
    return {
        "implementation": sys.implementation.name,
        "version": ".".join(map(str, version[:3])) + (f"{stage}{version.serial}" if stage else ""),
    }
