"""Prepare the process before torch is imported, and say what the losses depend on afterwards."""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from snapenv_train import failures, tf32

if TYPE_CHECKING:
    from collections.abc import Iterable

THREADS = 1

_LONGEST = 500  # characters of what torch says of CUDA

_FOLDERS = {  # where the environment's packages would write
    "HOME": ".",
    "MPLCONFIGDIR": "matplotlib",
    "TMPDIR": "tmp",
    "TORCH_HOME": "torch",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "YOLO_CONFIG_DIR": "ultralytics",
}
_REFUSED = frozenset(
    {
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.sendmsg",
        "socket.sendto",
    }
)


def let_torch_decide() -> None:
    """Take away what overrides torch's switches for TF32; NVIDIA's libraries are not loaded yet."""
    os.environ.pop("NVIDIA_TF32_OVERRIDE", None)


def keep_inside(folder: Path) -> None:
    """Point every package at this folder; HOME only now, as user packages are already found."""
    for name, place in _FOLDERS.items():
        path = folder / "home" / place
        path.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(path)


def list_packages(places: Iterable[str]) -> set[str]:
    """Return the metadata folders in these places, which carry each package's name and version."""
    return {
        entry.name
        for place in places
        if Path(place).is_dir()
        for entry in Path(place).iterdir()
        if entry.suffix in {".dist-info", ".egg-info"}
    }


def require_frameworks() -> None:
    """Check that the smoke-train's packages are there.

    Raises:
        NoUltralyticsError: ultralytics is not installed.
        NoTorchError: torch is not installed.
        OpenCvError: cv2 is missing, or a library that it needs.
    """
    for name, missing in (
        ("ultralytics", failures.NoUltralyticsError),
        ("torch", failures.NoTorchError),
    ):
        if importlib.util.find_spec(name) is None:
            raise missing(name)
    try:
        importlib.import_module("cv2")
    except ImportError as error:
        raise failures.OpenCvError(str(error)) from error


def choose_device(wanted: str) -> tuple[str, dict[str, object] | None]:
    """Decide for ``cpu`` or ``cuda``; a GPU is woken here, before ultralytics hides others.

    Returns:
        The device, and what torch says of CUDA, as ``describe_cuda`` gives it; None where the CPU
        was asked for, as torch is then not asked.

    Raises:
        NoGpuError: A GPU is asked for, and torch sees none.
    """
    import torch

    if wanted == "cpu":
        return "cpu", None
    cuda = describe_cuda()
    if cuda["available"]:
        torch.cuda.init()
        return "cuda", cuda
    if wanted == "cuda":
        version = f"torch {torch.__version__}, CUDA {torch.version.cuda}"
        raise failures.NoGpuError(f"{version}: {cuda['error']}" if cuda["error"] else version)
    return "cpu", cuda


def describe_cuda() -> dict[str, object]:
    """Return whether torch can use CUDA, and in its own words why not.

    torch hides why ``is_available`` says no, but for a warning; ``init`` tells it as an error.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        available = bool(torch.cuda.is_available())
        error = None if available else _refusal(torch.cuda.init)
    return {
        "available": available,
        "built_for": torch.version.cuda,
        "error": error,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def _refusal(initialize: Callable[[], object]) -> str | None:
    try:
        initialize()
    except Exception as error:  # noqa: BLE001 - whatever torch raises is the answer
        return " ".join(str(error).split())[:_LONGEST]
    return None


def settle_arithmetic() -> None:
    """Fix what changes the last digits: TF32, cuDNN's choice of algorithm, threads.

    ultralytics sets the threads again from the number of cores, so this is called again later.
    """
    import torch

    torch.set_num_threads(THREADS)
    tf32.allow_tf32(allowed=False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def forget_memory(device: str) -> None:
    """Return a GPU's memory back, so that the peak is that of what comes next."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def describe_conditions(device: str) -> dict[str, object]:
    """Say what the losses depend on, as it is in this process now."""
    import cv2
    import numpy as np
    import torch
    import ultralytics

    return {
        "device": device if device == "cpu" else torch.cuda.get_device_name(0),
        "threads": torch.get_num_threads(),
        "tf32": tf32.is_tf32_allowed(),
        "ultralytics": ultralytics.__version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "albumentations": _find_version("albumentations"),
    }


def _find_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def refuse_network() -> None:
    """Make every look-up and connection of this process fail; sockets of files still work.

    A smoke-train which ends was offline from start to end.
    Source of the events: https://docs.python.org/3/library/audit_events.html
    """
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _REFUSED or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        raise OSError(errno.ENETUNREACH, "the smoke-train has no network")
