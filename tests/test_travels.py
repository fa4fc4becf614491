"""What travels inside a snapshot stands alone; contracts hold the probe and the smoke-train so."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import snapenv

PROGRAM = Path(snapenv.__file__).parent / "lock" / "in_snapshot" / "apply_overlay.py"


def test_the_program_in_a_snapshot_needs_the_standard_library_alone() -> None:
    nodes = list(ast.walk(ast.parse(PROGRAM.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}

    imported = {name.partition(".")[0] for name in plain | parts}

    assert imported
    assert imported <= sys.stdlib_module_names
