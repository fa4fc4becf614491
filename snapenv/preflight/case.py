"""What every rule is asked of: a machine, what an environment needs of it, and what is known.

A rule answers with checks that passed, failed or warn.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.model.host import NVIDIA_DEVICE, GpuPlumbing, Host, Needs
from snapenv.model.outcome import Check
from snapenv.nvidia.catalogue import Catalogue, major_minor
from snapenv.nvidia.kernels import is_jetson
from snapenv.preflight.devices import Chosen, choose

if TYPE_CHECKING:
    from snapenv.model.hardware import Gpu, Hardware
    from snapenv.model.host import CdiSpec, GpuState, HostEngine
    from snapenv.model.outcome import Part
    from snapenv.nvidia.catalogue import Pair

Injection = Literal["cdi", "legacy", "none"]
"""How a GPU gets into a container: by a CDI specification, by NVIDIA's hook, or not at all."""

_SNAP = "/var/snap/"


class Case(Struct, frozen=True, kw_only=True, dict=True):
    """One question of the preflight."""

    host: Host
    needs: Needs
    catalogue: Catalogue

    @property
    def hardware(self) -> Hardware | None:
        """That of the machine that is to run it; None where that is another one, and not seen."""
        engine = self.engine
        return self.host.hardware if engine is None or engine.local else None

    @functools.cached_property
    def engine(self) -> HostEngine | None:
        """The engine that is to run it; None for a venv, and where none answers."""
        return None if self.needs.venv else self.host.engine

    @property
    def plumbing(self) -> GpuPlumbing:
        """How GPUs get into containers, as files show it; nothing is known of another machine."""
        return self.host.plumbing if self.hardware else GpuPlumbing()

    @functools.cached_property
    def gpu_hardware(self) -> Hardware | None:
        """The hardware where a GPU is wanted and it is known, with the GPUs that count; else None.

        Those that the user named count, else all.
        """
        if self.hardware is None or not self.needs.gpu:
            return None
        wanted = self._chosen
        return replace(
            self.hardware,
            gpus=tuple(gpu for _, gpu in wanted.gpus),
            gpu_faults=tuple(
                fault for fault in self.hardware.gpu_faults if wanted.has(fault.number)
            ),
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers that the driver gives to ``gpus``."""
        return tuple(number for number, _ in self._chosen.gpus) if self.gpu_hardware else ()

    @functools.cached_property
    def _chosen(self) -> Chosen:
        hardware = self.hardware
        if hardware is None:
            return Chosen()
        return choose(self.needs.devices, hardware, self.host.gpu_states)

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that it is to run on, in the driver's order; empty where none is wanted."""
        return self.gpu_hardware.gpus if self.gpu_hardware else ()

    @property
    def absent(self) -> tuple[str, ...]:
        """What the user named and no GPU is, where there are GPUs at all."""
        return self._chosen.absent

    @property
    def states(self) -> tuple[GpuState, ...]:
        """What the GPUs that it is to run on are doing now, as far as they tell."""
        return tuple(state for state in self.host.gpu_states if state.number in self.numbers)

    @property
    def gpu_engine(self) -> HostEngine | None:
        """The engine of this machine where it is to hand on a GPU that is there; else None."""
        return self.engine if self.gpus else None

    @property
    def cuda(self) -> Pair | None:
        """The CUDA that a driver must serve: that of torch, else that of the image."""
        return major_minor(self.needs.cuda or self.needs.image_cuda or "")

    @property
    def jetson(self) -> bool:
        """Whether it is to run on a Jetson, whose driver and images are its own."""
        return self.plumbing.jetson or bool(self.gpu_hardware and is_jetson(self.gpu_hardware))

    @property
    def snap(self) -> bool:
        """Whether the engine came as a snap, which sees little of this machine."""
        return bool(self.engine and self.engine.root.startswith(_SNAP))

    @property
    def specs(self) -> tuple[CdiSpec, ...]:
        """The CDI specifications of NVIDIA's GPUs."""
        return tuple(
            spec
            for spec in self.plumbing.cdi
            if any(device.startswith(NVIDIA_DEVICE) for device in spec.devices)
        )

    @property
    def unread_specs(self) -> tuple[str, ...]:
        """The paths of CDI specifications that this user may not read, or in an unknown form."""
        return tuple(spec.path for spec in self.plumbing.cdi if not spec.devices)

    @property
    def hook(self) -> bool:
        """Whether NVIDIA's runtime or hook is there for the engine to call."""
        toolkit = self.plumbing.toolkit is not None and not self.snap
        return bool(self.engine and (self.engine.has_runtime or toolkit))

    @property
    def injection(self) -> Injection:
        """How the engine hands on a GPU, as it says, or as this machine's files show it.

        One that does not tell its CDI devices has some where a specification is, read or not, or
        the toolkit that writes one.
        """
        engine = self.engine
        if engine and engine.injects == "cdi":
            known = engine.tells_devices or self.specs or self.unread_specs
            return "cdi" if known or self.hook else "none"
        return "legacy" if self.hook else "none"


def passed(name: str, expected: str, actual: str, *, part: Part = "host") -> Check:
    """Say that what is needed is there."""
    return Check(id=name, ok=True, expected=expected, actual=actual, part=part)


def failed(name: str, expected: str, actual: str, fix: str, *, part: Part = "host") -> Check:
    """Say that it cannot work, and the command or the sentence that mends it."""
    return Check(id=name, ok=False, expected=expected, actual=actual, fix=fix, part=part)


def warning(name: str, expected: str, actual: str, fix: str, *, part: Part = "host") -> Check:
    """Say that it may not work, or not as wanted."""
    return Check(
        id=name,
        ok=False,
        expected=expected,
        actual=actual,
        fix=fix,
        part=part,
        severity="warning",
    )
