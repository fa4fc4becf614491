"""What an image asks of a driver before NVIDIA's hook lets it start, by its variables.

Source: https://github.com/NVIDIA/nvidia-container-toolkit/blob/main/internal/config/image/cuda_image.go
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "NVIDIA_REQUIRE_"
_JETPACK = f"{_PREFIX}JETPACK"  # other words, which the hook leaves out
_CUDA = f"{_PREFIX}CUDA"
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}  # as Go reads a boolean
_VERSION = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?", re.ASCII)


def read_requirements(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Give each requirement by the variable that asks it; all of them must be met.

    An image without NVIDIA_REQUIRE_CUDA asks for the CUDA that CUDA_VERSION names. None is asked
    where NVIDIA_DISABLE_REQUIRE is true.
    """
    if variables.get("NVIDIA_DISABLE_REQUIRE") in _TRUE:
        return {}
    found = {
        name: variables[name]
        for name in sorted(variables)
        if name.startswith(_PREFIX) and not name.startswith(_JETPACK)
    }
    version = _VERSION.fullmatch(variables.get("CUDA_VERSION", ""))
    if version and not found.get(_CUDA):
        found["CUDA_VERSION"] = f"cuda>={version[1]}.{version[2]}"
    return found
