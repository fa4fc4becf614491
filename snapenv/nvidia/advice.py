"""What to do about GPUs, drivers and containers: the same advice before a run and after a failure.

Preflight tells it from facts, the engine and the smoke-train from the words of an error.
"""

from __future__ import annotations

import shlex

OR_CPU = "Or use --device cpu."
CUDA_TORCH = "Capture an environment whose torch is from a CUDA index, such as cu126."
KERNEL_LOG = "sudo dmesg | grep -iE 'nvrm|xid'"
"""Shows what the driver's kernel module says of its GPUs."""

UPDATE_WSL = "then in Windows: wsl --update and wsl --shutdown"
LOAD_UVM = "sudo modprobe nvidia_uvm"


def write_cdi(path: str = "/etc/cdi/nvidia.yaml") -> str:
    """Return the command that writes a CDI specification of NVIDIA's GPUs."""
    return f"sudo nvidia-ctk cdi generate --output={shlex.quote(path)}"


def configure_runtime(file: str = "/etc/docker/daemon.json", *, rootless: bool = False) -> str:
    """Return the command that makes NVIDIA's runtime known to Docker."""
    root = "" if rootless else "sudo "
    return f"{root}nvidia-ctk runtime configure --runtime=docker --config={file}"


def set_no_cgroups(*, on: bool) -> str:
    """Return the command that makes NVIDIA's hook leave out the device rules, or write them."""
    value = "true" if on else "false"
    return f"sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups={value} --in-place"


def share_gpu(number: int | None = None) -> str:
    """Return the command that lets programs share a GPU, or all of them."""
    chosen = "" if number is None else f"-i {number} "
    return f"sudo nvidia-smi {chosen}-c DEFAULT"
