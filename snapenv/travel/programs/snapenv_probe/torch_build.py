"""torch's own version.py, read and never run, and the files of CUDA's libraries that it loads."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Iterator

_NAMES = {"version": "__version__", "cuda": "cuda", "git": "git_version"}


def find_folder(path: list[str]) -> Path | None:
    """Return the folder of the torch that would be imported."""
    folders = (Path(folder, "torch") for folder in path)
    return next((folder for folder in folders if (folder / "version.py").is_file()), None)


def describe(folder: Path | None) -> dict[str, str | None] | None:
    """Describe it as snapenv's ``Torch``; None where there is none, or it names no version."""
    if folder is None:
        return None
    try:
        tree = ast.parse((folder / "version.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    values = {name: value for name, value in _literals(tree) if value.isprintable()}
    facts = {name: values.get(variable) for name, variable in _NAMES.items()}
    return facts if facts["version"] else None


def _literals(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, value.value


def find_libraries(path: list[str], torch: Path) -> dict[str, str | None]:
    """Return the files of cuDNN and NCCL, or None where one is left to the loader.

    torch's own search path names the NVIDIA wheels beside it first, then its lib folder; what is in
    neither comes from the loader.
    """
    return {
        "cudnn": _file(path, torch, "libcudnn.so.[0-9]"),
        "nccl": _file(path, torch, "libnccl.so.2"),
    }


def find_cublas(path: list[str], torch: Path) -> str | None:
    """Return cuBLAS' version without loading it, which takes 170 MB.

    NVIDIA's file names hold it, as ``libcublas.so.12.4.5.8``, and where wheels shorten them the
    header beside does.
    """
    library = _file(path, torch, "libcublas.so.[0-9]*")
    if library is None:
        return None
    file = Path(library).resolve()
    named = re.search(r"\.so\.(\d+\.\d+\.\d+)", file.name)
    if named:
        return named.group(1)
    header = file.parent.parent / "include/cublas_api.h"
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    parts = re.findall(r"^#define CUBLAS_VER_(?:MAJOR|MINOR|PATCH)\s+(\d+)", text, re.MULTILINE)
    return ".".join(parts) if len(parts) == 3 else None  # noqa: PLR2004


def _file(path: list[str], torch: Path, name: str) -> str | None:
    wheels = (file for folder in path for file in Path(folder, "nvidia").glob(f"*/lib/{name}"))
    bundled = (torch / "lib").glob(name)
    conda = Path(sys.prefix, "lib").glob(name)
    return next((str(file) for files in (wheels, bundled, conda) for file in sorted(files)), None)
