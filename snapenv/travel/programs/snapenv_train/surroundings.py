"""Prepare the process before torch is imported, and say what the losses depend on afterwards."""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import importlib.util
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, Callable, Iterable

from snapenv_train import failures

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
_REFUSED = frozenset({"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"})
_SENDING = frozenset({"socket.sendmsg", "socket.sendto"})
_OF_CUDA = ("cuda.matmul", "cudnn.conv", "cudnn.rnn")
_OTHERS = ("", "cudnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")  # "" is above them all


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
    allow_tf32(allowed=False)
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
        "tf32": is_tf32_allowed(),
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


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    connects = event == "socket.connect" and isinstance(arguments[1], tuple)
    # loaders hand over what they have read through sockets of files
    sends = event in _SENDING and arguments[0].family != socket.AF_UNIX
    if event in _REFUSED or connects or sends:
        raise OSError(errno.ENETUNREACH, "the smoke-train has no network")


def allow_tf32(*, allowed: bool) -> None:
    """Let CUDA's matrix products and convolutions in float32 use TF32, or let nothing use it.

    torch has switches of two kinds: ``allow_tf32``, and ``fp32_precision`` since 2.9. Both are set,
    the old ones first. Where ``torch.backends.fp32_precision`` is ``tf32``, turning off the old
    ones leaves convolutions in TF32; and where old and new disagree, reading the old raises.

    Source: https://docs.pytorch.org/docs/main/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
    """
    import torch

    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    for switch in _find_new(_OTHERS):
        switch.fp32_precision = "ieee"
    for switch in _find_new(_OF_CUDA):
        switch.fp32_precision = "tf32" if allowed else "ieee"


def is_tf32_allowed() -> bool:
    """Return whether anything of CUDA would use TF32 now; the new switches decide if there."""
    import torch

    new = [switch.fp32_precision == "tf32" for switch in _find_new(_OF_CUDA)]
    old = (torch.backends.cuda.matmul, torch.backends.cudnn)
    return any(new) if new else any(switch.allow_tf32 for switch in old)


def _find_new(names: Iterable[str]) -> list[Any]:
    """Return those places below ``torch.backends`` that have a precision of their own."""
    places = (_find(name) for name in names)
    return [place for place in places if hasattr(place, "fp32_precision")]


def _find(name: str) -> Any:  # noqa: ANN401
    import torch

    place: Any = torch.backends
    for part in filter(None, name.split(".")):
        place = getattr(place, part, None)
    return place
