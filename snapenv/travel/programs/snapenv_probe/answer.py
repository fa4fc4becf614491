"""Put everything that is seen into one line of JSON, as snapenv's ``Facts`` has it.

Strings are ASCII on the way: ``json`` escapes the rest, so that no locale can break the line.
"""

from __future__ import annotations

import json
import sys

from snapenv_probe import (
    cache,
    file_tree,
    import_path,
    kept_answer,
    libraries,
    machine,
    nvidia_driver,
    placeholders,
    settings,
    startup,
)

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    from typing import Any

MARK = "snapenv-facts: "
SCHEMA = 1


def document() -> str:
    """Look at the environment that runs this, and return its facts as JSON."""
    # A child is forked before the first thread is there; it works while files are looked at.
    hardware = nvidia_driver.Driver()
    path = import_path.folders()
    place = cache.place(sys.argv[1:])
    kept = kept_answer.Kept(place and place + ".answer", path)
    tree = file_tree.walk(import_path.own_folders(), file_tree.root())  # before anything is read
    looked_at = _see(path, tree, kept, place)
    names = {package["name"] for package in looked_at["environment"]["distributions"]}
    facts = {
        "schema": SCHEMA,
        "settings": settings.of_ultralytics() if "ultralytics" in names else {},
        "variables": settings.of_training(),
        "startup": startup.find(tree),
        "image": settings.of_image(),
        "native": looked_at["native"],
        "conda": looked_at["conda"],
        "places": placeholders.places(),
        "environment": {
            **looked_at["environment"],
            "interpreter": interpreter(),
            "libraries": looked_at["versions"],
        },
        "hardware": {"system": machine.system(), **hardware.answer()},
    }
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def _see(
    path: list[str], tree: file_tree.Tree, kept: kept_answer.Kept, place: str | None
) -> dict[str, Any]:
    """Return what an earlier look kept where it still holds, else look."""
    rehash = "--rehash" in sys.argv
    carry = [path for word, path in zip(sys.argv, sys.argv[1:]) if word == "--carry"]
    facts: dict[str, Any] | None = None if rehash or carry else kept.find(tree)
    if facts is None:
        from snapenv_probe import environment, hash_index

        is_fresh = "--fresh" in sys.argv
        index = hash_index.Index(place and place + ".index", rehash=rehash, is_fresh=is_fresh)
        facts, beside = environment.inspect(path, tree, index, carry)
        facts["versions"] = libraries.versions(facts["cuda"], {})
        index.save()
        kept.keep(facts, tree, beside)
    else:
        facts["versions"] = libraries.versions(facts["cuda"], facts["versions"])
    return facts


def interpreter() -> dict[str, str]:
    """Return which Python this is."""
    version = sys.version_info
    stage = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(version.releaselevel)
    return {
        "implementation": sys.implementation.name,
        "version": ".".join(map(str, version[:3])) + (f"{stage}{version.serial}" if stage else ""),
    }
