"""Every error a user can meet, with its exit code.

::

    SnapenvError
    ├── InterpreterError      3   the named Python is not there, or is no Python
    ├── EnvironmentMissingError 4  no environment is active; the container or host is not there
    ├── ProbeError            5   the probe did not run, or answered in an unknown form
    ├── LockError             6   something in the environment cannot be locked
    ├── SnapshotVersionError  7   written by a newer snapenv
    ├── SnapshotDamagedError  8   files are missing or are not what SHA256SUMS says
    ├── EngineMissingError    9   no Docker engine answers
    ├── BuildKitMissingError 10   the engine has no BuildKit
    ├── EngineError          11   the engine failed
    ├── BuildError           12   a step of the build failed, or its result is not the lock
    ├── RegistryError        13   the registry does not answer, or refuses
    ├── NotFoundError        14   no such tag, image or snapshot
    ├── TagTakenError        15   the tag names another image already
    ├── SmokeTrainError      16   the smoke-train cannot run
    ├── WriteError           17   the disk is full, or the place cannot be written
    ├── PlaceTakenError      18   the output folder exists
    ├── BaseError            19   no base image fits
    ├── InstallError         20   the venv engine could not install the lock
    ├── PackageIndexError    21   a package index does not answer, refuses, or serves other bytes
    ├── LeakError            22   something that would leave this machine holds a secret
    ├── ArchiveError         23   an archive is damaged, or is none
    ├── PlaceBusyError       24   another snapenv is writing there
    ├── UsageError            2   the words of the command line do not fit together
    ├── InterruptionError   130   Ctrl-C; the shell's convention is 128 + SIGINT
    ├── HangupError         129   SIGHUP: the terminal or the connection was closed
    └── TerminationError    143   SIGTERM: kill, timeout, a job's end

0 is done, 1 is "checked, and the answer is no", 70 a bug in snapenv.
"""

from __future__ import annotations

from typing import ClassVar


class SnapenvError(Exception):
    """A failure that the user can understand: one line of what, one of what to do next."""

    exit_code: ClassVar[int] = 70
    slug: ClassVar[str] = "bug"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InterpreterError(SnapenvError):
    exit_code = 3
    slug = "interpreter"


class EnvironmentMissingError(SnapenvError):
    exit_code = 4
    slug = "environment-missing"


class ProbeError(SnapenvError):
    exit_code = 5
    slug = "probe"


class LockError(SnapenvError):
    exit_code = 6
    slug = "lock"


class SnapshotVersionError(SnapenvError):
    exit_code = 7
    slug = "snapshot-version"


class SnapshotDamagedError(SnapenvError):
    exit_code = 8
    slug = "snapshot-damaged"


class EngineMissingError(SnapenvError):
    exit_code = 9
    slug = "engine-missing"


class BuildKitMissingError(SnapenvError):
    exit_code = 10
    slug = "buildkit-missing"


class EngineError(SnapenvError):
    exit_code = 11
    slug = "engine"


class BuildError(SnapenvError):
    exit_code = 12
    slug = "build"


class RegistryError(SnapenvError):
    exit_code = 13
    slug = "registry"


class NotFoundError(SnapenvError):
    exit_code = 14
    slug = "not-found"


class TagTakenError(SnapenvError):
    exit_code = 15
    slug = "tag-taken"


class SmokeTrainError(SnapenvError):
    exit_code = 16
    slug = "smoke-train"


class WriteError(SnapenvError):
    exit_code = 17
    slug = "write"


class PlaceTakenError(SnapenvError):
    exit_code = 18
    slug = "place-taken"


class BaseError(SnapenvError):
    exit_code = 19
    slug = "base"


class InstallError(SnapenvError):
    exit_code = 20
    slug = "install"


class PackageIndexError(SnapenvError):
    exit_code = 21
    slug = "index"


class LeakError(SnapenvError):
    exit_code = 22
    slug = "leak"


class ArchiveError(SnapenvError):
    exit_code = 23
    slug = "archive"


class PlaceBusyError(SnapenvError):
    exit_code = 24
    slug = "place-busy"


class UsageError(SnapenvError):
    exit_code = 2
    slug = "usage"


class InterruptionError(SnapenvError):
    exit_code = 130
    slug = "interrupted"


class HangupError(SnapenvError):
    exit_code = 129
    slug = "hung-up"


class TerminationError(SnapenvError):
    exit_code = 143
    slug = "terminated"
