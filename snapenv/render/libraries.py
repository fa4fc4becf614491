"""The operating system's libraries that compiled packages need, by their Debian packages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.model.native import Native, NativeLibrary

_SONAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.so[0-9.]*", re.ASCII)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+", re.ASCII)
# The driver is given to a container by its host, and CUDA comes with the base or the packages.
_NEVER = re.compile(
    r"lib(?:cuda|cudnn|cublas|cufft|cufile|cupti|curand|cusolver|cusparse|nccl|npp|nvidia|nvinfer"
    r"|nvjitlink|nvjpeg|nvrtc|nvshmem|nvtx|xnvctrl).*|(?:cuda|nvidia|xserver-xorg-video-nvidia).*",
    re.IGNORECASE,
)


class AptLibrary(Struct, frozen=True, kw_only=True):
    """A library by the name that a loader looks for, and the package that held it at capture."""

    soname: str
    package: str


def apt_libraries(native: Native | None) -> tuple[AptLibrary, ...]:
    """Give the libraries that an import loads and that apt can give, sorted by soname.

    Of what belongs to the NVIDIA driver or to CUDA none is given, nor what was missing, or
    belonged to no package, where the environment worked.
    """
    found: Iterable[NativeLibrary] = native.libraries if native else ()
    return tuple(
        AptLibrary(soname=one.soname, package=one.package)
        for one in sorted(found, key=lambda one: one.soname)
        if one.package and one.found and one.required and _is_of_the_system(one.soname, one.package)
    )


def _is_of_the_system(soname: str, package: str) -> bool:
    of_grammar = _SONAME.fullmatch(soname) and _PACKAGE.fullmatch(package)
    of_nvidia = _NEVER.fullmatch(soname) or _NEVER.fullmatch(package)
    return bool(of_grammar) and not of_nvidia
