"""torch's own version.py, read and never run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

_NAMES = {"version": "__version__", "cuda": "cuda", "git": "git_version"}


def find(path: list[str]) -> Path | None:
    """Return the folder of the torch that would be imported."""
    folders = (Path(folder, "torch") for folder in path)
    return next((folder for folder in folders if (folder / "version.py").is_file()), None)


def facts(folder: Path | None) -> dict[str, str | None] | None:
    """Describe it as snapenv's ``Torch``; None where there is none, or it names no version."""
    if folder is None:
        return None
    try:
        tree = ast.parse((folder / "version.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    values = {name: value for name, value in _literals(tree) if value.isprintable()}
    found = {name: values.get(variable) for name, variable in _NAMES.items()}
    return found if found["version"] else None


def _literals(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, value.value
