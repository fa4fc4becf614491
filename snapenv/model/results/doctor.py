"""What this machine is, and what it can run."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.host import Host, Needs
from snapenv.model.outcome import Result


class Machine(Struct, frozen=True, kw_only=True):
    """What this machine can run; ``image`` is the newest of NVIDIA's images that is known to."""

    gpus: tuple[str, ...]
    driver: str | None
    cuda: str | None
    image: str | None
    torch_builds: tuple[str, ...]  # "cu126"
    containers: str | None  # how a container gets the GPU
    free_bytes: int | None


class DoctorResult(Result, Struct, frozen=True, kw_only=True):
    """What was seen of this machine, with what REF needs, or else what the machine can run."""

    ref: str | None
    host: Host
    needs: Needs | None = None
    machine: Machine | None = None
