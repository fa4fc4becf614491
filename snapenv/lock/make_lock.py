"""The lock of an environment: its name, and all that was found out and chosen for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv import __version__
from snapenv.lock.sources import list_sources
from snapenv.model.image import Tag, tag_part
from snapenv.model.snapshot import Lock

if TYPE_CHECKING:
    from snapenv.lock.packages import Packages, VendorOptions
    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.python import Environment
    from snapenv.model.snapshot import Base


def name_environment(environment: Environment, *, purpose: str, level: str) -> Tag:
    """Return an environment's tag by the convention.

    Raises:
        ValueError: ``purpose`` or ``level`` is no word of the convention.
    """
    torch, ultralytics = environment.torch, environment.find("ultralytics")
    if ultralytics:
        framework = f"yolov{tag_part(ultralytics.version)}"
    elif torch:
        framework = f"torch{tag_part(torch.version)}"
    else:
        framework = f"py{environment.interpreter.minor}"
    cuda = torch.cuda if torch else None
    compute = f"cu{cuda.replace('.', '')}" if cuda else "cpu"
    return Tag(purpose=purpose, framework=framework, level=level, compute=compute)


def make_lock(  # noqa: PLR0913 - all but three by name
    facts: Facts,
    packages: Packages,
    options: VendorOptions,
    *,
    tag: Tag,
    base: Base,
    baseline: Fingerprint | None,
) -> Lock:
    """Put together what a snapshot's ``snapenv.toml`` says; without a baseline none was trained."""
    return Lock(
        snapenv=__version__,
        tag=str(tag),
        base=base,
        installer=packages.installer,
        hardware=facts.hardware,
        variables=facts.variables,
        image=facts.image,
        settings=facts.settings,
        native=facts.native,
        startup=facts.startup,
        baseline=baseline,
        prove=options.prove,
        sources=list_sources(
            base,
            packages.locked.values(),
            packages.uv,
            python=facts.environment.interpreter,
            travels=packages.installer.file is not None,
        ),
        environment=replace(facts.environment, notes=()),
        packages=packages.locked,
        allowed=packages.allowed,
        overlay=packages.overlay,
    )
