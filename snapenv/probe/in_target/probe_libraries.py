"""cuDNN and NCCL as torch would load them, asked for their version.

torch's own search path names the NVIDIA wheels beside it first, then its lib folder; what is
found in neither comes from the loader. Sources:
https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html
https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api/comms.html
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

import probe_torch
from probe_apart import Apart

_OLD, _NEW = 1000, 10000  # what the major version is multiplied by


def ask(path: list[str], torch: Path | None) -> dict[str, Apart]:
    """Start asking; nothing is asked where torch was built without CUDA."""
    if torch is None or not _is_for_cuda(torch):
        return {}
    return {
        "cudnn": Apart(_cudnn, _file(path, torch, "libcudnn.so.[0-9]")),
        "nccl": Apart(_nccl, _file(path, torch, "libnccl.so.2")),
    }


def _is_for_cuda(torch: Path) -> bool:
    return bool((probe_torch.facts(torch) or {}).get("cuda"))


def _cudnn(file: str | None) -> str:
    """Ask cuDNN.

    Raises:
        OSError: There is none, or it does not load.
    """
    library = _load([file] if file else ["libcudnn.so.9", "libcudnn.so.8"])
    library.cudnnGetVersion.restype = ctypes.c_size_t
    return _dotted(int(library.cudnnGetVersion()))


def _nccl(file: str | None) -> str:
    """Ask NCCL.

    Raises:
        OSError: There is none, or it does not load.
    """
    version = ctypes.c_int()
    _load([file or "libnccl.so.2"]).ncclGetVersion(ctypes.byref(version))
    return _dotted(version.value)


def cublas(path: list[str], torch: Path | None) -> str | None:
    """Give cuBLAS' version without loading it, which takes 170 MB.

    NVIDIA's file names hold it, as ``libcublas.so.12.4.5.8``, and where wheels shorten them the
    header beside does.
    """
    if torch is None or not _is_for_cuda(torch):
        return None
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


def _load(names: list[str]) -> ctypes.CDLL:
    """Load the first that is there."""
    first, *others = names
    try:
        return ctypes.CDLL(first)
    except OSError:
        if others:
            return _load(others)
        raise


def _dotted(version: int) -> str:
    """Take a version apart: 8907 is 8.9.7, 91900 is 9.19.0.

    cuDNN 9 and NCCL 2.9 moved from thousands to ten thousands.
    """
    major, rest = divmod(version, _NEW if version >= _NEW else _OLD)
    return f"{major}.{rest // 100}.{rest % 100}"


def _file(path: list[str], torch: Path, name: str) -> str | None:
    wheels = (file for folder in path for file in Path(folder, "nvidia").glob(f"*/lib/{name}"))
    bundled = (torch / "lib").glob(name)
    conda = Path(sys.prefix, "lib").glob(name)
    return next((str(file) for files in (wheels, bundled, conda) for file in sorted(files)), None)
