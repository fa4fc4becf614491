"""What travels into a target stands alone: it has no package, so import-linter does not see it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import snapenv

ROOT = Path(snapenv.__file__).parent
TRAVELS = sorted(ROOT.glob("*/in_*/*.py"))


def imported(path: Path) -> set[str]:
    """Give the top-level names that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in plain | parts}


@pytest.mark.parametrize("path", TRAVELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_travels_imports_nothing_of_snapenv(path: Path) -> None:
    assert "snapenv" not in imported(path)


def test_snapenv_imports_nothing_of_what_travels() -> None:
    names = {path.stem for path in TRAVELS} - {"__main__"}

    for path in set(ROOT.rglob("*.py")) - set(TRAVELS):
        assert not names & imported(path), path


def test_the_probe_never_imports_the_frameworks() -> None:
    probe = [path for path in TRAVELS if path.parent.name == "in_target"]

    assert probe
    for path in probe:
        assert not {"torch", "ultralytics", "numpy"} & imported(path), path
