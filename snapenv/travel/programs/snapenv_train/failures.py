"""Why the smoke-train cannot run here. Each reason ends the program with its own exit code."""

from __future__ import annotations


class SmokeError(Exception):
    """A reason that snapenv knows to explain."""

    exit_code = 1


class NoUltralyticsError(SmokeError):
    exit_code = 3


class NoTorchError(SmokeError):
    exit_code = 4


class OpenCvError(SmokeError):
    exit_code = 5


class NoGpuError(SmokeError):
    exit_code = 6


class PlanError(SmokeError):
    """The training was not the one that was asked for."""

    exit_code = 7


class NotFiniteError(SmokeError):
    exit_code = 8


class PackagesChangedError(SmokeError):
    exit_code = 9
