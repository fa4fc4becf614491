"""Try exports of a model in an environment, with packages that it lacks in a throw-away layer.

The layer is resolved and unpacked on this machine, and travels with the program: an image's
container has no network, and the environment itself stays as it is. It holds what the environment
has not, in versions that fit what it has, and is looked into after the environment's own packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import ExportError, InstallError, UsageError
from snapenv.lock.ask import not_locked, uv_here
from snapenv.lock.fetch import temporary_folder
from snapenv.model.uv import first_words
from snapenv.places import is_file
from snapenv.travel.answer import is_cpu
from snapenv.verify.exports import ON_GPU, REQUIREMENTS, export_checks, try_exports
from snapenv.workspace.layer import (
    CONSTRAINTS,
    Installed,
    constraints,
    for_python,
    kernel_words,
    lock_words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.model.exports import Export, ExportFormat
    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.ports import Services
    from snapenv.steps.runnable import Runnable


def require_gpu(formats: Sequence[ExportFormat], facts: Facts, runnable: Runnable) -> None:
    """See that what is made on a GPU has one, before anything is tried.

    Raises:
        UsageError: It has none.
    """
    on_gpu = [name for name in formats if name in ON_GPU]
    on_cpu = is_cpu(runnable.device)
    if on_gpu and (on_cpu or not facts.hardware.gpus):
        why = f"--device {runnable.device} gives none" if on_cpu else "none is seen in"
        where = "" if on_cpu else f" {runnable.name}"
        raise UsageError(
            f"an export to {on_gpu[0]} is made on a GPU, and {why}{where}",
            hint=f"Leave {on_gpu[0]} out of --exports, or name it on a machine with a GPU.",
        )


def try_exports_of(
    runnable: Runnable, formats: Sequence[ExportFormat], facts: Facts, services: Services
) -> tuple[Export, ...]:
    """Fetch what the environment lacks for these formats, and try each.

    Raises:
        ExportError: The environment cannot make a model.
        InstallError: A wheel cannot be had.
        LockError: No version of a package fits the environment.
        PackageIndexError: The index does not answer.
    """
    with temporary_folder(services) as folder, services.progress.task("Exports") as task:
        wanted = list(dict.fromkeys(one for name in formats for one in REQUIREMENTS[name]))
        if wanted:
            task.note("fetching " + ", ".join(formats))
            _install(wanted, _installed(facts), folder / "layer", services)
        files = {
            str(path.relative_to(folder / "layer")): path
            for path in folder.glob("layer/**/*")
            if is_file(path)
        }
        return try_exports(runnable.target, formats, files, device=runnable.device, task=task)


def with_exports(
    baseline: Fingerprint,
    runnable: Runnable,
    formats: Sequence[ExportFormat],
    facts: Facts,
    services: Services,
) -> Fingerprint:
    """Try exports too, for a baseline to compare later ones with.

    Raises:
        ExportError: One of them is not torch's model, so that nothing can be compared with it.
        InstallError, LockError, PackageIndexError: None can be tried.
    """
    exports = try_exports_of(runnable, formats, facts, services)
    failed = next((check for check in export_checks(exports, None) if check.fails), None)
    if failed:
        name = failed.id.removeprefix("export.")
        raise ExportError(
            f"an export to {name} is no baseline: {failed.actual} (expected: {failed.expected})",
            hint=f"{failed.fix} Or leave {name} out of --exports.",
        )
    return replace(baseline, exports=exports)


def _installed(facts: Facts) -> Installed:
    environment = facts.environment
    return Installed(
        python=".".join(environment.interpreter.version.split(".")[:2]),
        machine=facts.hardware.system.machine,
        versions={one.name: one.version for one in environment.distributions},
    )


def _install(
    requirements: Sequence[str], installed: Installed, into: Path, services: Services
) -> None:
    """Unpack what is asked for, without what the environment has, which decides versions."""
    uv = uv_here(services)
    locked = uv.compile(
        "\n".join(requirements),
        *lock_words(installed),
        *kernel_words(installed),
        files={CONSTRAINTS: constraints(installed).encode()},
    )
    if locked.exit_code != 0:
        raise not_locked(" ".join(locked.stderr.split()))
    if not locked.stdout.strip():
        return
    done = uv.install(locked.stdout, "--target", str(into), *for_python(installed))
    if done.exit_code != 0:
        raise InstallError(
            f"what an export needs could not be installed: {first_words(done.stderr)}",
            hint="See that the index of pip's or uv's configuration answers, and df -h.",
        )
