"""Every error a user can meet, with its exit code.

::

    SnapenvError
    ├── UsageError                2   the command line is wrong
    ├── InterpreterError          3   the named Python does not exist, or is not a Python
    ├── EnvironmentMissingError   3   no environment is active, or no such container is running
    ├── NotFoundError             3   no such tag, image or snapshot
    ├── BaseError                 3   no base image fits, or the base of an image is missing
    ├── TagTakenError             3   the tag names another image
    ├── KeyFileError              3   a key to sign or to check with cannot be used
    ├── PlaceTakenError           3   the output exists
    ├── PlaceBusyError            3   another snapenv process is writing there
    ├── ProbeError                4   the probe did not run, or answered in an unknown form
    ├── SshError                  4   the other machine cannot be reached, or the connection broke
    ├── EngineMissingError        4   no Docker engine answers
    ├── BuildKitMissingError      4   the engine has no BuildKit
    ├── EngineError               4   the engine failed
    ├── BuildError                4   a step of the build failed, or its result is not the lock
    ├── RegistryError             4   the registry does not answer, or refuses
    ├── PackageIndexError         4   a package index does not answer, refuses, or has other bytes
    ├── AdvisoryServiceError      4   a service with advisories does not answer, or refuses
    ├── InstallError              4   uv could not install the lock into the venv
    ├── SmokeTrainError           4   the smoke-train cannot run
    ├── TeamLedgerError           4   the team's ledger of usage does not answer, or refuses
    ├── UsageSourceError          4   what usage is imported from does not answer, or refuses
    ├── BenchError                4   a training that was to be measured did not train
    ├── ExportError               4   an export of a model could not be tried, or is no baseline
    ├── SigstoreError             4   there is no identity to sign with, or Sigstore does not answer
    ├── WriteError                4   the disk is full, or the place cannot be written
    ├── LockError                 5   something in the environment cannot be locked
    ├── LeakError                 5   something that would leave this machine holds a secret
    ├── ConflictError             5   an update does not fit what is to stay as it is
    ├── NotAsLockedError          5   --strict: an environment is no longer what its lock says
    ├── NotVerifiedError          5   --require-verified: no proof of an image fits
    ├── SnapshotDamagedError      6   files are missing or are not what SHA256SUMS says
    ├── SnapshotVersionError      6   the snapshot was written by a newer snapenv
    ├── ArchiveError              6   a file is damaged, or is not an archive
    ├── PriceListError            6   the price list is wrong, or has no price for a GPU and a day
    ├── LedgerError               6   the ledger of usage is damaged, or is not one
    ├── LedgerVersionError        6   the ledger of usage was written by a newer snapenv
    ├── StartError              125   the container or process was not started
    ├── CommandRefusedError     126   the command to run cannot be executed
    ├── CommandMissingError     127   there is no such command to run
    ├── HangupError             129   SIGHUP: the terminal or the connection was closed
    ├── InterruptionError       130   Ctrl-C
    └── TerminationError        143   SIGTERM: kill, timeout, a job's end

The exit code is the group that an error belongs to: 2 usage, 3 not found or taken, 4 something
outside of snapenv failed, 5 refused, 6 damaged, 125 to 127 not started, as of docker run, 128 + the
signal's number where one ended it. The slug says which error it is. 0 is done, 1 is "checked, and
the answer is no", 70 a bug in snapenv.
"""

from __future__ import annotations

from typing import ClassVar

_LONGEST = 3_000  # letters of a message


class SnapenvError(Exception):
    """A failure that the user can understand: one line of what, one of what to do next."""

    exit_code: ClassVar[int] = 70
    slug: ClassVar[str] = "bug"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = _shortened(message)
        self.hint = _shortened(hint)


def _shortened(text: str) -> str:
    """Leave out the middle of a text that holds too much of what somebody else wrote."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


class UsageError(SnapenvError):
    exit_code = 2
    slug = "usage"


class InterpreterError(SnapenvError):
    exit_code = 3
    slug = "interpreter"


class EnvironmentMissingError(SnapenvError):
    exit_code = 3
    slug = "environment-missing"


class NotFoundError(SnapenvError):
    exit_code = 3
    slug = "not-found"


class BaseError(SnapenvError):
    exit_code = 3
    slug = "base"


class TagTakenError(SnapenvError):
    exit_code = 3
    slug = "tag-taken"


class KeyFileError(SnapenvError):
    exit_code = 3
    slug = "key-file"


class PlaceTakenError(SnapenvError):
    exit_code = 3
    slug = "place-taken"


class PlaceBusyError(SnapenvError):
    exit_code = 3
    slug = "place-busy"


class ProbeError(SnapenvError):
    exit_code = 4
    slug = "probe"


class SshError(SnapenvError):
    exit_code = 4
    slug = "ssh"


class EngineMissingError(SnapenvError):
    exit_code = 4
    slug = "engine-missing"


class BuildKitMissingError(SnapenvError):
    exit_code = 4
    slug = "buildkit-missing"


class EngineError(SnapenvError):
    exit_code = 4
    slug = "engine"


class BuildError(SnapenvError):
    exit_code = 4
    slug = "build"


class RegistryError(SnapenvError):
    exit_code = 4
    slug = "registry"


class PackageIndexError(SnapenvError):
    exit_code = 4
    slug = "index"


class AdvisoryServiceError(SnapenvError):
    exit_code = 4
    slug = "advisory-service"


class InstallError(SnapenvError):
    exit_code = 4
    slug = "install"


class SmokeTrainError(SnapenvError):
    exit_code = 4
    slug = "smoke-train"


class TeamLedgerError(SnapenvError):
    exit_code = 4
    slug = "team-ledger"


class UsageSourceError(SnapenvError):
    exit_code = 4
    slug = "usage-source"


class BenchError(SnapenvError):
    exit_code = 4
    slug = "bench"


class ExportError(SnapenvError):
    exit_code = 4
    slug = "export"


class SigstoreError(SnapenvError):
    exit_code = 4
    slug = "sigstore"


class WriteError(SnapenvError):
    exit_code = 4
    slug = "write"


class LockError(SnapenvError):
    exit_code = 5
    slug = "lock"


class LeakError(SnapenvError):
    exit_code = 5
    slug = "leak"


class ConflictError(SnapenvError):
    exit_code = 5
    slug = "conflict"


class NotAsLockedError(SnapenvError):
    exit_code = 5
    slug = "not-as-locked"


class NotVerifiedError(SnapenvError):
    exit_code = 5
    slug = "not-verified"


class SnapshotDamagedError(SnapenvError):
    exit_code = 6
    slug = "snapshot-damaged"


class SnapshotVersionError(SnapenvError):
    exit_code = 6
    slug = "snapshot-version"


class ArchiveError(SnapenvError):
    exit_code = 6
    slug = "archive"


class PriceListError(SnapenvError):
    exit_code = 6
    slug = "price-list"


class LedgerError(SnapenvError):
    exit_code = 6
    slug = "ledger"


class LedgerVersionError(SnapenvError):
    exit_code = 6
    slug = "ledger-version"


class StartError(SnapenvError):
    exit_code = 125
    slug = "start"


class CommandRefusedError(SnapenvError):
    exit_code = 126
    slug = "command-refused"


class CommandMissingError(SnapenvError):
    exit_code = 127
    slug = "command-missing"


class HangupError(SnapenvError):
    exit_code = 129
    slug = "hung-up"


class InterruptionError(SnapenvError):
    exit_code = 130
    slug = "interrupted"


class TerminationError(SnapenvError):
    exit_code = 143
    slug = "terminated"
