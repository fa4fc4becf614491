"""Say which shared libraries are in this process's memory: what really ran.

Paths are told without saying where on this machine they lie: no home folder, no working folder.

Source: https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html
"""

# Paths are plain strings, as the kernel and the errors of packages give them.
# ruff: noqa: PTH111, PTH117, PTH119, PTH123

from __future__ import annotations

import ctypes
import os
import re
import sys
import sysconfig
from typing import Callable, Iterable

_MAPS = "/proc/self/maps"
_MATTERS = re.compile(
    r"lib(?:cudnn|cublas|cudart|cuda|cufft|curand|cusolver|cusparse|nccl|nvrtc|nvJitLink|nvshmem"
    r"|nvToolsExt|cupti|torch|c10|caffe2|gomp|iomp|omp|mkl|openblas|scipy_openblas|blas|lapack"
    r"|opencv|stdc\+\+|gcc_s|c\.so|m\.so|jpeg|turbojpeg|png|tiff|webp|z\.so|av(?:codec|format|util))"
    r"|cv2\.|_C\."
)
_NAME = re.compile(r"(?P<stem>.+?\.so)(?:\.(?P<version>\d+(?:\.\d+)*))?")
_HASH = re.compile(r"[-.][0-9a-f]{8}(?=\.)")  # that auditwheel puts into a name
_NOT_LOADED_ANEW = getattr(os, "RTLD_NOLOAD", 0)
_OF_THE_SYSTEM = frozenset({"", "/usr", "/usr/local"})  # as folders of an environment or a user


def list_mapped(paths: Paths) -> list[dict[str, object]]:
    """Return the libraries that matter as snapenv's ``MappedLibrary``, by soname, then path.

    One soname that is there from two files is there twice.
    """
    with open(_MAPS, encoding="utf-8", errors="replace") as file:
        libraries = [_describe(path, paths) for path in mapped_files(file)]
    return sorted(libraries, key=lambda library: (str(library["soname"]), str(library["path"])))


def mapped_files(maps: Iterable[str]) -> set[str]:
    """Return the absolute paths of the libraries that matter in lines of ``/proc/PID/maps``."""
    fields = (line.rstrip("\n").split(maxsplit=5) for line in maps)
    files = {field[5] for field in fields if len(field) == 6 and field[5].startswith("/")}  # noqa: PLR2004
    return {path for path in files if ".so" in path and _MATTERS.match(os.path.basename(path))}


def split_name(file: str) -> tuple[str, str | None]:
    """Split ``libjpeg-1b30ab2c.so.8.3.2`` into ``libjpeg.so.8`` and ``8.3.2``.

    A single number is no version: ``libcudnn.so.9``.
    """
    plain = _HASH.sub("", file, count=1)
    parts = _NAME.fullmatch(plain)
    if parts is None or not parts["version"]:
        return plain, None
    version = parts["version"]
    soname = f"{parts['stem']}.{version.split('.')[0]}"
    return soname, version if "." in version else None


def _describe(path: str, paths: Paths) -> dict[str, object]:
    soname, version = split_name(os.path.basename(path))
    return {
        "soname": soname,
        "path": paths.name(path),
        "version": version or _ask_version(path, soname),
    }


def _ask_version(path: str, soname: str) -> str | None:
    """Ask a library itself, which is loaded already; None where it cannot tell."""
    for stem, ask in _ASKED.items():
        if soname.startswith(f"{stem}.so"):
            try:
                return ask(ctypes.CDLL(path, mode=_NOT_LOADED_ANEW))
            except (OSError, AttributeError):
                return None
    return None


def _cudnn(library: ctypes.CDLL) -> str:
    """Read 91900 as 9.19.0; before cuDNN 9 it was 8902."""
    library.cudnnGetVersion.restype = ctypes.c_size_t
    number = int(library.cudnnGetVersion())
    major = 10000 if number >= 90000 else 1000  # noqa: PLR2004
    return f"{number // major}.{number % major // 100}.{number % 100}"


def _property(function: str) -> Callable[[ctypes.CDLL], str]:
    """Ask for libraryPropertyType_t: major, minor and patch are 0, 1 and 2."""

    def ask(library: ctypes.CDLL) -> str:
        numbers = []
        for part in range(3):
            number = ctypes.c_int()
            getattr(library, function)(part, ctypes.byref(number))
            numbers.append(str(number.value))
        return ".".join(numbers)

    return ask


def _nccl(library: ctypes.CDLL) -> str:
    """Read 22809 as 2.28.9; before NCCL 2.9 it was 2804."""
    number = ctypes.c_int()
    library.ncclGetVersion(ctypes.byref(number))
    major = 10000 if number.value >= 10000 else 1000  # noqa: PLR2004
    return f"{number.value // major}.{number.value % major // 100}.{number.value % 100}"


def _cuda(function: str) -> Callable[[ctypes.CDLL], str]:
    """Read 13000 as 13.0."""

    def ask(library: ctypes.CDLL) -> str:
        number = ctypes.c_int()
        getattr(library, function)(ctypes.byref(number))
        return f"{number.value // 1000}.{number.value % 1000 // 10}"

    return ask


def _nvrtc(library: ctypes.CDLL) -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


_ASKED: dict[str, Callable[[ctypes.CDLL], str]] = {
    "libcudnn": _cudnn,
    "libcublas": _property("cublasGetProperty"),
    "libcublasLt": _property("cublasLtGetProperty"),
    "libcufft": _property("cufftGetProperty"),
    "libcusparse": _property("cusparseGetProperty"),
    "libcusolver": _property("cusolverGetProperty"),
    "libnccl": _nccl,
    "libcudart": _cuda("cudaRuntimeGetVersion"),
    "libcuda": _cuda("cuDriverGetVersion"),
    "libnvrtc": _nvrtc,
}


class Paths:
    """The places of one run, by the words that stand for them; HOME is as it is now."""

    def __init__(self, *, work: str) -> None:
        home = os.path.expanduser("~")
        sites = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
        named = [("site", site) for site in sorted(sites)]
        named += [("", sys.prefix), ("python", sys.base_prefix), ("work", work), ("~", home)]
        self._places = [
            (word, place)
            for word, folder in named
            for place in sorted({folder, os.path.realpath(folder)})
            if os.path.isabs(place) and place.rstrip("/") not in _OF_THE_SYSTEM
        ]

    def name(self, path: str) -> str:
        """Return a file's path: ``site/torch/lib/libc10.so``, ``lib/libz.so.1`` of the environment.

        Files beyond the environment keep their absolute path, with ``~`` for the home folder.
        """
        for word, place in self._places:
            if path.startswith(f"{place}/"):
                inner = path[len(place) + 1 :]
                return f"{word}/{inner}" if word else inner
        return path

    def censor(self, text: str) -> str:
        """Return a text with every one of these places replaced by its word."""
        for word, place in self._places:
            text = text.replace(place, word or "environment")
        return text
