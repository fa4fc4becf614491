"""NVIDIA's Python for its management library, as a file that travels.

Source: https://docs.nvidia.com/deploy/nvml-api/, of which nvidia-ml-py is the Python side.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path


def pynvml_file() -> Path:
    """Find the one module of nvidia-ml-py, which needs the standard library alone.

    Raises:
        ModuleNotFoundError: nvidia-ml-py is not installed beside snapenv.
    """
    pynvml = importlib.util.find_spec("pynvml")
    if pynvml is None or pynvml.origin is None:
        raise ModuleNotFoundError("nvidia-ml-py is not installed beside snapenv")
    return Path(pynvml.origin)
