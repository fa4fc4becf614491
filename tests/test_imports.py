"""What tests share lies in modules of its own, and its names are public."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent


def test_no_module_imports_a_test_module_or_what_is_private_to_another() -> None:
    imported = {
        str(path.relative_to(TESTS)): tuple(_wrong(ast.parse(path.read_text(encoding="utf-8"))))
        for path in TESTS.rglob("*.py")
    }

    assert {path: names for path, names in imported.items() if names} == {}


def _wrong(module: ast.Module) -> Iterator[str]:
    """Yield the dotted names of test modules and private names that are imported of ``tests``."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            private = any(part.startswith(("test_", "_")) for part in rest)
            if package == "tests" and private:
                yield name
