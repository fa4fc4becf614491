"""Programs of npm's registry, each installed once into a folder of the cache."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.engines.place import call, install, say

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.place import Place


def npm_tool(place: Place, package: str) -> Path:
    """Return the folder with the programs of ``NAME@VERSION``.

    Raises:
        UnavailableError: There is no npm, or it cannot install the package.
    """
    folder = place.folder / "node" / package.replace("/", "_")
    programs = folder / "node_modules" / ".bin"
    if programs.is_dir():
        return programs
    install({"nodejs": "node", "npm": "npm"})
    say(f"installing {package}")
    made = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    call("npm", "install", "--prefix", str(made), "--no-fund", "--no-audit", package)
    made.rename(folder)
    return programs
