"""Why a container did not start, by the words of runc, of NVIDIA's container toolkit and of CDI.

Source: https://github.com/NVIDIA/libnvidia-container, src/ (``error_set``), and the issues there,
of nvidia-container-toolkit, of moby and of runc.
"""

from __future__ import annotations

import re

from msgspec import Struct

from snapenv.nvidia import advice

_WRITE_CDI = advice.write_cdi()
_OWN_LDCONFIG = (
    "sudo nvidia-ctk config --set nvidia-container-cli.ldconfig=@/sbin/ldconfig --in-place"
)
_ABSENT_GPU = re.compile(
    r"unresolvable cdi devices .*?nvidia\.com/gpu=(?!all\b)([\w:-]+)"
    r"|device error: ([\w:-]+): unknown device|unknown device id: ([\w:-]+)",
    re.IGNORECASE,
)
_NO_GPU_SUPPORT = re.compile(  # engines up to 28; those whose --gpus looks for CDI; CDI itself
    r"could not select device driver|failed to discover gpu vendor from cdi|cdi spec not found"
    r"|unresolvable cdi devices|unknown or invalid runtime name: nvidia"
    r"|nvidia-container-runtime\S* (executable file not found|no such file)"
    r"|invoking the nvidia container runtime hook directly",
    re.IGNORECASE,
)


class Cause(Struct, frozen=True, kw_only=True):
    """Why a container did not start; ``words`` are those of the text that tell it."""

    message: str
    hint: str
    words: str | None = None  # None where the message says all


class _Rule(Struct, frozen=True):
    words: str  # a pattern, in any case of letters
    message: str
    hint: str


_RULES = (  # the first that is found counts: the narrower before the wider
    _Rule(
        r"bpf_prog_(query|attach)",
        "Docker without root may not write the device rules of a container with GPUs",
        f"Use CDI, from Docker 28.3 on: {_WRITE_CDI}; "
        f"or turn the rules off: {advice.set_no_cgroups(on=True)}",
    ),
    _Rule(
        r"driver/library version mismatch",
        "the NVIDIA driver's libraries and its kernel module are of two versions",
        f"Reboot: the driver was updated since the last boot. {advice.OR_CPU}",
    ),
    _Rule(
        r"requirement error|unsatisfied condition",
        "the NVIDIA driver is too old for what the image asks for",
        "Update the driver, and reboot; or use --device cpu.",
    ),
    _Rule(
        r"wsl environment detected but no adapters",
        "WSL shows no GPU of Windows",
        f"Update the NVIDIA driver of Windows, {advice.UPDATE_WSL}",
    ),
    _Rule(
        r"driver rpc error: timed out|(driver|nvml) error: timed out",
        "the NVIDIA driver did not answer the container toolkit in time",
        "Keep the driver loaded, so that it need not start anew: sudo nvidia-smi -pm 1",
    ),
    _Rule(
        r"nvml error: insufficient permissions",
        "the container toolkit may not ask the NVIDIA driver",
        "Let ls -l /dev/nvidia* show crw-rw-rw-: sudo chmod 666 /dev/nvidia*; it lasts with "
        "NVreg_DeviceFileMode=0666 among the options of the kernel module nvidia.",
    ),
    _Rule(
        r"load library failed: .*permission denied",
        "the container toolkit may not read the libraries of the NVIDIA driver",
        "Where SELinux is on, give them their labels again: sudo restorecon -Rv /usr/lib64 "
        "/dev/nvidia*; sudo ausearch -m avc shows what was denied.",
    ),
    _Rule(
        r"load library failed",
        "no NVIDIA driver answers the container toolkit: its library is not found",
        "Check that nvidia-smi works, then: sudo ldconfig; in WSL the driver is that of Windows.",
    ),
    _Rule(
        r"driver not loaded",
        "no NVIDIA driver answers the container toolkit: it is not loaded",
        "Load it: sudo modprobe nvidia; after an update of the kernel, install it again.",
    ),
    _Rule(
        r"(nvml|driver|cuda) error",
        "no NVIDIA driver answers the container toolkit",
        f"Check that nvidia-smi works; {advice.KERNEL_LOG} tells more. {advice.OR_CPU}",
    ),
    _Rule(
        r"mount error: file creation failed: .*file exists"
        r"|mount error: .*lib(nvidia|cuda)\S*: file exists",
        "the image holds files of an NVIDIA driver, which belong to the machine",
        "Build the image on a base without them: no package libnvidia-*, libcuda1 or nvidia-utils.",
    ),
    _Rule(
        r"cgroup subsystem devices not found",
        "the container toolkit is too old for the cgroups of this machine, which are version 2",
        "Update nvidia-container-toolkit to 1.8 or newer, and restart Docker.",
    ),
    _Rule(
        r"ldcache error: (open|stat) failed: \S*ldconfig",
        "the container toolkit looks for the ldconfig of another distribution",
        f"Name the one that is here: {_OWN_LDCONFIG}",
    ),
    _Rule(
        r"ldcache error",
        "the container toolkit cannot run ldconfig in the image",
        "Check that the image has glibc and a writable /etc; Alpine and distroless have not.",
    ),
    _Rule(
        r"mount error: .*operation not permitted",
        "the container toolkit may not mount what a GPU needs: the engine is inside of another "
        "container, or maps its users",
        "Take userns-remap out of daemon.json, or start the outer container with --privileged; "
        f"or use CDI: {_WRITE_CDI}",
    ),
    _Rule(
        r'error gathering device information while adding custom device "/dev/nvidia[^"]*"'
        r"|mount error: stat failed: /dev/nvidia\S*|failed to stat cdi host device",
        "a device file of the GPUs is not there",
        f"Make the device files: sudo nvidia-modprobe -c 0 -u -m; where CDI is used: {_WRITE_CDI}",
    ),
    _Rule(
        r"error gathering device information while adding custom device",
        "a device file that the container is to get is not there",
        "See with ls -l whether it is there, and load its driver.",
    ),
    _Rule(
        r"nvidia-container-cli|nvidia-cdi-hook",
        "the NVIDIA container toolkit failed",
        "Check that nvidia-smi works, and update nvidia-container-toolkit; or use --device cpu.",
    ),
    _Rule(
        r"cdi device injection failed|failed to fulfil mount request|error mounting",
        "the CDI specification of the GPUs names what is not there",
        f"The driver has changed since it was written. Write it anew: {_WRITE_CDI}",
    ),
    _Rule(
        r"runc: symbol lookup error|runc: error while loading shared libraries"
        r"|runc: \S+: version \S+ not found",
        "the engine's runc does not fit the libraries of its machine",
        "Update libseccomp to 2.5 or newer and runc with it, from one source: sudo apt-get install "
        "--only-upgrade libseccomp2 containerd.io",
    ),
    _Rule(
        r'exec: "[^"]*": operation not permitted',
        "a security profile of the engine lets nothing start where privileges may not grow",
        "Replace a Docker from snap by Docker's own package: sudo snap remove docker, then "
        "https://docs.docker.com/engine/install/; elsewhere see sudo dmesg | grep -i denied.",
    ),
    _Rule(
        r"cgroup mountpoint does not exist",
        "the engine's machine has no cgroups mounted",
        "Mount them, or restart the machine: ls /sys/fs/cgroup shows what is there.",
    ),
)


def find_cause(text: str) -> Cause | None:
    """Find why a container did not start; None where no word of it is known."""
    absent = _ABSENT_GPU.search(text)
    if absent:
        named = next(filter(None, absent.groups()))
        return Cause(
            message=f"the Docker engine knows no GPU {named}",
            hint=f"See nvidia-smi -L; where CDI is used, let it look again: {_WRITE_CDI}",
        )
    if _NO_GPU_SUPPORT.search(text):
        return Cause(
            message="the Docker engine has no way to give a container GPUs",
            hint=f"Install nvidia-container-toolkit, then: {advice.configure_runtime()} "
            f"(or {_WRITE_CDI}), and restart Docker. {advice.OR_CPU}",
        )
    for rule in _RULES:
        match = re.search(rule.words, text, re.IGNORECASE)
        if match:
            return Cause(message=rule.message, hint=rule.hint, words=text[match.start() :])
    return None
