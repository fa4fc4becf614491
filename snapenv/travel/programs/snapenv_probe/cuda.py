"""The files of CUDA's libraries that torch would load.

torch's own search path names the NVIDIA wheels beside it first, then its lib folder; what is
found in neither comes from the loader.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def find(path: list[str], torch: Path) -> dict[str, str | None]:
    """Return the file of each that can be asked, or None where it is left to the loader."""
    return {
        "cudnn": _file(path, torch, "libcudnn.so.[0-9]"),
        "nccl": _file(path, torch, "libnccl.so.2"),
    }


def cublas(path: list[str], torch: Path) -> str | None:
    """Return cuBLAS' version without loading it, which takes 170 MB.

    NVIDIA's file names hold it, as ``libcublas.so.12.4.5.8``, and where wheels shorten them the
    header beside does.
    """
    found = _file(path, torch, "libcublas.so.[0-9]*")
    if found is None:
        return None
    file = Path(found).resolve()
    named = re.search(r"\.so\.(\d+\.\d+\.\d+)", file.name)
    return named.group(1) if named else _of_header(file.parent.parent / "include/cublas_api.h")


def _of_header(header: Path) -> str | None:
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
