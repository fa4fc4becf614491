"""How an engine is asked for GPUs, decided from what it says of itself.

There are two ways into a container. The older one is a device request without a driver, as
``docker run --gpus`` makes it: NVIDIA's hook then adds the driver's files. The newer one is CDI: a
device request of the driver ``cdi`` names devices that a specification in ``/etc/cdi`` or
``/var/run/cdi`` describes, and the engine itself adds them.

Source: https://docs.docker.com/build/building/cdi/ ,
https://docs.docker.com/reference/cli/dockerd/#configure-cdi-devices ,
https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/cdi-support.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from docker.types import DeviceRequest, Ulimit
from msgspec import Struct, field
from msgspec.structs import replace

from snapenv.model.host import NVIDIA_DEVICE, NVIDIA_RUNTIME

if TYPE_CHECKING:
    from snapenv.model.host import HostEngine

_LOCKED = "memlock"
_STACK_BYTES = 64 << 20
_LEAST_SHM_BYTES = 1 << 30


class GpuAccess(Struct, frozen=True, kw_only=True):
    """What a container is made with to see GPUs, or none.

    A variable that is None is taken away, though the image sets it.
    """

    requests: tuple[DeviceRequest, ...] = ()
    runtime: str | None = None
    variables: Mapping[str, str | None] = field(default_factory=dict)
    ulimits: tuple[Ulimit, ...] = ()


def choose_gpus(wanted: str | None, engine: HostEngine) -> GpuAccess:
    """Choose how a container gets the wanted GPUs.

    ``wanted`` is None for none, ``all``, or names with commas between them: numbers, or the UUIDs
    of GPUs (``GPU-…``) or of MIG instances (``MIG-…``).

    Without any, images of NVIDIA still ask for all by a variable, which a default runtime of
    NVIDIA's hears; so it is overruled. With CDI it is overruled too, or the GPUs that it names
    would come beside those that were asked for. Inside, GPUs are numbered anew from 0, and those
    that were not asked for are not there: a CUDA_VISIBLE_DEVICES of the image names others than it
    means, or none, and is taken away.

    Where the request goes to the hook and NVIDIA's runtime is registered, the container runs with
    it, as in NVIDIA's own example: of a toolkit that is set to use CDI, the hook alone refuses.
    Source: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/sample-workload.html
    """
    if wanted is None:
        return GpuAccess(variables={"NVIDIA_VISIBLE_DEVICES": "void"})
    names, ulimits = wanted.split(","), _ulimits(rootless=engine.rootless)
    if engine.injects == "cdi":
        request = DeviceRequest(
            driver="cdi", device_ids=[f"{NVIDIA_DEVICE}{name}" for name in names]
        )
        hidden = {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": None}
        return GpuAccess(requests=(request,), variables=hidden, ulimits=ulimits)
    which = {"count": -1} if wanted == "all" else {"device_ids": names}
    return GpuAccess(
        requests=(DeviceRequest(capabilities=[["gpu"]], **which),),
        runtime=NVIDIA_RUNTIME if engine.has_runtime else None,
        variables={"CUDA_VISIBLE_DEVICES": None},
        ulimits=ulimits,
    )


def _ulimits(*, rootless: bool) -> tuple[Ulimit, ...]:
    """Return the limits that NVIDIA recommends for its PyTorch images.

    Pinned memory counts as locked; threads of libraries want a larger stack. An engine without
    root may not raise the limit of locked memory, and a container that asks for it does not start.
    Source: https://docs.nvidia.com/deeplearning/frameworks/user-guide/
    """
    stack = Ulimit(name="stack", soft=_STACK_BYTES, hard=_STACK_BYTES)
    return (stack,) if rootless else (Ulimit(name=_LOCKED, soft=-1, hard=-1), stack)


def unraised(gpus: GpuAccess) -> GpuAccess:
    """Leave out the limit that an engine may not be able to raise."""
    kept = tuple(limit for limit in gpus.ulimits if limit.name != _LOCKED)
    return replace(gpus, ulimits=kept)


def choose_shm(engine: HostEngine) -> int:
    """Return the size of /dev/shm in bytes: half of the memory, as Linux gives a machine itself.

    Workers of a DataLoader hand their batches over in it, and 64 MB, the default of engines, ends
    them with a bus error. It is a limit: what is not written takes no memory.
    Source: https://docs.kernel.org/filesystems/tmpfs.html
    """
    return max((engine.memory_bytes or 0) // 2, _LEAST_SHM_BYTES)
