"""The machine that is to run an image, and what an image needs of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from snapenv.model.facts import Kernels
from snapenv.model.hardware import Driver, Hardware
from snapenv.model.image import Layer

NVIDIA_DEVICE = "nvidia.com/gpu="
"""What the names of NVIDIA's CDI devices begin with."""

NVIDIA_RUNTIME = "nvidia"
"""The name under which its toolkit registers NVIDIA's runtime."""

_TELLS_DEVICES = (28, 2)  # the first Docker that lists the CDI devices it has found
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})")


class CdiSpec(Struct, frozen=True, kw_only=True):
    """A CDI specification: a file that says how a device gets into a container.

    Source: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
    """

    path: str  # of its file
    devices: tuple[str, ...]  # "nvidia.com/gpu=0", "nvidia.com/gpu=all", in the file's order
    driver: str | None = None  # "550.54.15", from the names of the libraries that it mounts


class GpuPlumbing(Struct, frozen=True, kw_only=True):
    """How GPUs get from a host into containers, as the host's files show it."""

    wsl: bool = False  # Windows Subsystem for Linux
    devices: tuple[str, ...] = ()  # "/dev/nvidia0", "/dev/nvidia-uvm", sorted
    char_links: bool = True  # /dev/char has links to the GPUs' nodes
    toolkit: str | None = None  # the version of nvidia-container-cli; "unknown" where it is silent
    no_cgroups: bool | None = None  # of nvidia-container-runtime's config.toml
    cdi: tuple[CdiSpec, ...] = ()  # the CDI specifications of the machine
    jetson: bool = False  # /etc/nv_tegra_release
    disable_require: bool = False  # the toolkit asks no image what it requires


class GpuState(Struct, frozen=True, kw_only=True):
    """What a GPU is doing now, and its UUIDs: no snapshot holds any of it. None is untold."""

    number: int  # the driver's
    uuid: str | None = None  # "GPU-…"
    mig_uuids: tuple[str | None, ...] = ()  # "MIG-…", in the order of ``Gpu.mig_devices``
    free_mib: int | None = None  # memory that nobody holds
    compute_mode: str | None = None  # "default", "prohibited", "exclusive process"


class HostEngine(Struct, frozen=True, kw_only=True):
    """A container engine as it describes itself; ``free_bytes`` is None where it is elsewhere."""

    version: str  # "28.5.2"
    api: tuple[int, int]  # that the engine speaks at most
    oldest_api: tuple[int, int] = (1, 12)  # that it still takes
    address: str  # "unix:///var/run/docker.sock"
    local: bool  # on this machine: what host files show holds for it
    buildkit: bool = True  # it builds with BuildKit
    architecture: str = "amd64"  # that its images run on, in the words of OCI
    root: str = "/var/lib/docker"  # its data
    free_bytes: int | None = None  # on the file system of its data
    free_inodes: int | None = None  # there too; None where the file system has no limit
    runtimes: tuple[str, ...] = ("runc",)  # by name, sorted
    cdi: bool = False  # it takes CDI devices
    cdi_devices: tuple[str, ...] = ()  # those that it has found itself, where it says so
    cgroup_driver: str = "cgroupfs"  # "cgroupfs" or "systemd"
    rootless: bool = False  # it runs without root
    userns_remap: bool = False  # root of its containers is another user outside
    seccomp: bool = True  # its filter of system calls is on
    selinux: bool = False  # it labels containers
    containerd_store: bool = False  # images lie in containerd's store
    shm_bytes: int | None = None  # what a container gets that asks for nothing
    memory_bytes: int | None = None  # of the machine
    cpus: int | None = None  # of the machine
    limits_memory: bool = True  # it can hold a container to a limit; without cgroups it cannot
    limits_cpus: bool = True  # likewise

    @property
    def has_runtime(self) -> bool:
        """Whether NVIDIA's runtime is registered."""
        return NVIDIA_RUNTIME in self.runtimes

    @property
    def tells_devices(self) -> bool:
        """Whether it says which CDI devices it has found."""
        version = _VERSION.match(self.version)
        if self.cdi_devices:
            return True
        return version is not None and (int(version[1]), int(version[2])) >= _TELLS_DEVICES

    @property
    def injects(self) -> Literal["cdi", "runtime"] | None:
        """How it hands on a GPU, as far as it says itself: by CDI, or by NVIDIA's runtime.

        CDI where that serves, and the runtime does not, or not well: rootless, its hook may not
        write device rules. Elsewhere the runtime goes first, as ``docker run --gpus`` uses it. An
        engine from 25 to 28.1 does not say which devices it knows; but CDI is on there only where
        somebody turned it on.
        """
        has_device = any(device.startswith(NVIDIA_DEVICE) for device in self.cdi_devices)
        serves = self.cdi and (has_device or not self.tells_devices)
        if serves and (self.rootless or not self.has_runtime):
            return "cdi"
        return "runtime" if self.has_runtime else None


class Host(Struct, frozen=True, kw_only=True):
    """What was seen of a machine."""

    hardware: Hardware  # of the machine that snapenv runs on
    gpu_states: tuple[GpuState, ...] = ()  # what its GPUs are doing
    plumbing: GpuPlumbing = GpuPlumbing()  # of that machine, too
    engine: HostEngine | None = None  # None where none answers
    engine_error: str | None = None  # why none answers
    engine_hint: str | None = None  # what to do about that
    missing_helpers: tuple[str, ...] = ()  # docker-credential-… that a configuration names
    rattler: bool = True  # py-rattler is installed beside snapenv


class Unread(Struct, frozen=True, kw_only=True):
    """Why a registry told nothing of an image."""

    image: str  # its reference
    error: str  # why it could not be read
    hint: str  # what to do about that
    gone: bool  # it answered, and has none


class Needs(Struct, frozen=True, kw_only=True):
    """What an environment needs of a machine, from its lock or from the labels of its image.

    An image that was not built by snapenv says less: what is None or empty is unknown.
    """

    name: str  # what the user named
    architecture: str | None = None  # "amd64"
    gpu: bool = True  # it is to run on a GPU
    gpu_required: bool = False  # the user asked for GPUs: a CPU will not do
    devices: tuple[str, ...] = ()  # that the user named, numbers or UUIDs; empty for all
    builds: bool = False  # an image is to be built
    venv: bool = False  # it is to be made as a venv: no engine takes part
    conda: bool = False  # it has packages of conda
    torch: str | None = None  # its version
    cuda: str | None = None  # that torch was built for: "13.0"
    kernels: tuple[Kernels, ...] = ()  # of torch and of every compiled extension
    image_cuda: str | None = None  # CUDA_VERSION of the image
    # What the image asks of a driver, by variable: {"NVIDIA_REQUIRE_CUDA": "cuda>=12.8"}
    requires: Mapping[str, str] = field(default_factory=dict)
    image_driver: str | None = None  # CUDA_DRIVER_VERSION of the image: what its compat layer is
    compat: bool = False  # the image's LD_LIBRARY_PATH leads to a forward-compatibility package
    datacenter_branches: tuple[int, ...] = ()  # older drivers that the base's notes allow there
    captured_driver: Driver | None = None  # of the machine of the capture
    captured_gpus: tuple[str, ...] = ()  # names
    glibc: str | None = None  # of the captured system
    image_glibc: str | None = None  # of the image, or of the base that it is built on
    missing: tuple[Layer, ...] = ()  # layers that are to be pulled; their sizes are packed
    local: bool = False  # nothing is to be fetched
    base_unread: Unread | None = None  # of a build
    unread: Unread | None = None  # the image itself: what it needs is not known
    shm_bytes: int | None = None  # that the run asks for


NEEDS_LABEL = "io.snapenv.needs"
"""The label of an image that holds what ``Needs`` is read from, as JSON: a few hundred bytes."""
