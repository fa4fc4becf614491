"""What one probe saw on one target: the values that are written down and compared."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from snapenv.model.conda import CondaEnvironment
from snapenv.model.hardware import Hardware
from snapenv.model.native import Native
from snapenv.model.python import Environment

PROBE_SCHEMA = 1

NEUTRAL_VARIABLES = {"PYTHONOPTIMIZE": "0", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"}
"""Values that do what unset does: an image can only overwrite what its base sets."""


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
