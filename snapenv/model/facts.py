"""What one probe saw on one target: the values that are written down and compared."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from snapenv.model.conda import CondaEnvironment
from snapenv.model.hardware import Hardware
from snapenv.model.python import Environment

PROBE_SCHEMA = 1
NEUTRAL_VARIABLES = {"PYTHONOPTIMIZE": "0", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"}
"""Values that do what unset does: an image can only overwrite what its base sets."""


class Kernels(Struct, frozen=True, kw_only=True):
    """The GPU architectures that one distribution's compiled files hold kernels for.

    ``sm_90`` is machine code: it runs on a GPU of the same major and an equal or higher minor
    compute capability. ``sm_90a`` runs on 9.0 alone, ``sm_100f`` on its family. ``compute_120``
    is PTX, which the driver translates for any newer GPU. Sorted by number, PTX last.
    """

    distribution: str | None = None  # None: files that belong to no distribution
    architectures: tuple[str, ...]  # of any kernel
    common: tuple[str, ...] = ()  # of at least half of the fat binaries: what it was built for


class NativeLibrary(Struct, frozen=True, kw_only=True):
    """A shared library of the operating system that compiled files name, glibc left out."""

    soname: str  # "libGL.so.1"
    package: str | None = None  # of apt, that owns the file here; None where unknown
    found: bool  # whether the loader finds it here
    required: bool = True  # an import loads it; else only a plugin names it
    needed_by: tuple[str, ...] = ()  # distributions, sorted
    outside: bool = False  # an import loads it, from where neither packages nor this one put it


class Native(Struct, frozen=True, kw_only=True):
    """What was read from the environment's shared objects, without loading them."""

    kernels: tuple[Kernels, ...] = ()  # sorted by distribution, those of none first
    libraries: tuple[NativeLibrary, ...] = ()  # sorted by soname
    cublas: str | None = None  # "13.1.0", of the library that torch would load


class Facts(Struct, frozen=True, kw_only=True):
    """One look at one environment.

    ``variables`` are the environment variables that change training, by allow-list. ``startup``
    names what others (PYTHONPATH, LD_PRELOAD and the like) put before the environment's own:
    modules, libraries; their values stay where they are, and None is where nobody has looked.
    ``image`` are those by which an NVIDIA image names itself (NVIDIA_PYTORCH_VERSION and the
    like); empty outside of one. ``settings`` are the integrations that ultralytics' own
    settings file switches on or off. ``native`` is None where nobody has looked.
    """

    schema: int
    hardware: Hardware
    environment: Environment
    variables: Mapping[str, str] = field(default_factory=dict)
    image: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, bool] = field(default_factory=dict)
    native: Native | None = None
    startup: Mapping[str, tuple[str, ...]] | None = None
    conda: CondaEnvironment | None = None  # where the environment is a prefix of conda
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Folders that a text must not name to be of use elsewhere, by what they are; never written."""
