"""Install a snapshot that was changed, for as long as it is looked at: as a venv or an image."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import InstallError
from snapenv.lock.fetch import stage_private_wheels
from snapenv.model.facts import Facts
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import Snapshot
from snapenv.ports import Target
from snapenv.probe.probe import probe
from snapenv.sizes import counted
from snapenv.steps.build_image import BuildOptions, build_unnamed
from snapenv.steps.host import inspecting_host
from snapenv.steps.runnable import in_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from snapenv.model.carried import Content
    from snapenv.model.python import Distribution
    from snapenv.ports import Completed, Services

# What would put modules and libraries of this machine before the environment's own.
_OF_THIS_SHELL = ("PYTHONPATH", "PYTHONWARNINGS", "LD_PRELOAD", "LD_AUDIT")


class Installation(Struct, frozen=True, kw_only=True):
    """How a snapshot is installed to be looked at."""

    snapshot: Snapshot
    scratch: Path  # an empty folder that is about to be removed
    python: str | None = None  # the version that a venv must have; None: another patch will do
    device: str = "auto"
    mirror: str | None = None


class Installed(Struct, frozen=True, kw_only=True):
    """An environment that was made a moment ago, and what the probe sees in it."""

    target: Target
    facts: Facts


@contextlib.contextmanager
def installed(installation: Installation, services: Services) -> Iterator[Installed]:
    """Install a snapshot until the block ends: on its base image where it inherits packages.

    Raises:
        InstallError: A package cannot be had, or no such Python.
        BuildError: A step of the build failed.
    """
    snapshot = installation.snapshot
    if snapshot.lock.base.site_packages == "inherited":
        with _in_image(installation, services) as target:
            yield _probed(target, services, hashes=None)
        return
    target = _in_venv(installation, services)
    probed = _probed(target, services, hashes=services.kept("hashes"))
    unset = (*_OF_THIS_SHELL, *(probed.facts.variables.keys() - snapshot.lock.variables.keys()))
    yield Installed(
        target=_Conditioned(
            target=target, unset=tuple(sorted(unset)), variables=snapshot.lock.variables
        ),
        facts=probed.facts,
    )


def as_held(facts: Facts, before: Facts) -> Facts:
    """Return what a probe sees, less what differs by the installer and by this shell alone.

    A package with the very files that it had is what it was, wherever it came from.
    """
    known = {each.name: each for each in before.environment.distributions}
    distributions = tuple(
        _as_known(each, known.get(each.name)) for each in facts.environment.distributions
    )
    return replace(
        facts,
        environment=replace(facts.environment, distributions=distributions),
        variables=before.variables,
        settings=before.settings,
        startup=before.startup,
        image=before.image,
    )


def _as_known(each: Distribution, known: Distribution | None) -> Distribution:
    same = known and (known.version, known.files) == (each.version, each.files)
    if same and known:
        return known
    if known and known.files and each.files and known.files.sha256 == each.files.sha256:
        return replace(known, files=each.files)
    return replace(each, installer=known.installer) if known else each


def _probed(target: Target, services: Services, *, hashes: Path | None) -> Installed:
    bare = _Conditioned(target=target, unset=_OF_THIS_SHELL, variables={}) if hashes else target
    with services.progress.task("Looking at the environment"):
        return Installed(target=target, facts=probe(bare, hashes=hashes, fresh=hashes is not None))


def _in_venv(installation: Installation, services: Services) -> Target:
    snapshot, into = installation.snapshot, installation.scratch / "environment"
    into.mkdir()
    lock = snapshot.lock
    fetched = installation.scratch / "fetched"
    fetched.mkdir()
    staged = stage_private_wheels(snapshot, fetched, services)
    what = counted(len(lock.packages), "package")
    python = lock.environment.interpreter
    with services.progress.task(f"Installing {what}") as task:
        target = services.venvs.create(
            {**snapshot.files, **staged.files}, python=python.request, into=into, task=task
        )
    if installation.python:
        _refuse_other_python(target, installation.python)
    return target


def _refuse_other_python(target: Target, wanted: str) -> None:
    """Check that a venv has the Python that was asked for, and not another patch of it.

    Raises:
        InstallError: It has not.
    """
    program = "import platform; print(platform.python_version())"
    version = target.run((target.python, "-c", program)).stdout.strip()
    if version != wanted and not version.startswith(f"{wanted}."):
        raise InstallError(
            f"there is no Python {wanted} here, only {version}",
            hint=f"Install it, or update with --python {version}.",
        )


@contextlib.contextmanager
def _in_image(installation: Installation, services: Services) -> Iterator[Target]:
    snapshot = installation.snapshot
    with inspecting_host(services) as host:
        options = BuildOptions(mirror=installation.mirror)
        image = build_unnamed(snapshot, options, services)
        try:
            ref = ImageRef(repository="snapenv", tag=snapshot.lock.tag)
            yield in_image(image, ref, installation.device, host, services).target
        finally:
            services.engine.remove(image.id)


class _Conditioned(Struct, frozen=True, kw_only=True):
    """A target whose programs run with some variables set and others not."""

    target: Target
    unset: tuple[str, ...]
    variables: Mapping[str, str]

    @property
    def python(self) -> str:
        return self.target.python

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        """Run a program as ``ports.Target`` says."""
        cleared = (word for name in self.unset for word in ("-u", name))
        return self.target.run(
            ("/usr/bin/env", *cleared, *argv),
            files=files,
            environment={**self.variables, **(environment or {})},
            on_line=on_line,
            stdout=stdout,
        )
