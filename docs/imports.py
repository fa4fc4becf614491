"""Draw the packages of snapenv with their imports, as Mermaid shows them on GitHub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import grimp
import tomlkit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
_PACKAGE = "snapenv"


def draw_imports() -> str:
    """Return the diagram: the layers of the first contract, and an arrow for each import.

    Single modules are left out, and an import that other arrows already lead along.
    """
    imports = _imports()
    lines = ["```mermaid", "flowchart TD"]
    for number, layer in enumerate(_layers()):
        inside = sorted(layer & imports.keys())
        if len(inside) > 1:
            lines += [f"    subgraph layer{number}[ ]", *(f"        {name}" for name in inside)]
            lines.append("    end")
        else:
            lines += (f"    {name}" for name in inside)
    lines += (f"    {name} --> {used}" for name, used in sorted(_arrows(imports)))
    return "\n".join((*lines, "```")) + "\n"


def _layers() -> Iterator[set[str]]:
    """Yield the names of each layer, highest first, as the contract in pyproject.toml has them."""
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    for layer in layers:
        yield {name.strip() for name in layer.split("|")}


def _imports() -> Mapping[str, set[str]]:
    """Return for each package those that it imports from; ``ports`` counts as one."""
    graph = grimp.build_graph(_PACKAGE)
    names = [child.removeprefix(f"{_PACKAGE}.") for child in graph.find_children(_PACKAGE)]
    drawn = [name for name in names if (ROOT / _PACKAGE / name).is_dir() or name == "ports"]
    for name in drawn:
        graph.squash_module(f"{_PACKAGE}.{name}")
    return {
        name: {
            used
            for used in drawn
            if used != name
            and graph.direct_import_exists(
                importer=f"{_PACKAGE}.{name}", imported=f"{_PACKAGE}.{used}"
            )
        }
        for name in drawn
    }


def _arrows(imports: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    for name, used in imports.items():
        for one in used:
            if not any(one in _reached(other, imports) for other in used - {one}):
                yield name, one


def _reached(name: str, imports: Mapping[str, set[str]]) -> set[str]:
    return imports[name].union(*(_reached(one, imports) for one in imports[name]))
