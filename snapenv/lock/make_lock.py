"""The lock of an environment: its name, and all that was found out and chosen for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv import __version__
from snapenv.lock.conda import channel_sources
from snapenv.model.image import ImageRef, Tag, tag_part
from snapenv.model.snapshot import VENDOR, Base, Lock, Source
from snapenv.model.wheels import IndexWheel, Pinned, Vendored, VendoredWheel
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from snapenv.lock.carry import VendorOptions
    from snapenv.lock.packages import Packages
    from snapenv.model.conda import CondaLock
    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.python import Environment, Interpreter
    from snapenv.model.wheels import Locked

_GONE_INDEX = (
    "No image can be built and no venv made; an image that is built already stays. "
    "Capture with --vendor=all to carry these wheels."
)
_GONE_BASE = (
    "No image can be built, unless a mirror has the base (--mirror); one that is built stays."
)
_GONE_ARCHIVE = "No image can be built; one that is built stays, and a venv needs none of it."
_PYTHONS = "github.com"  # https://docs.astral.sh/uv/concepts/python-versions/#cpython-distributions
_NEVER_GONE = "They travel with this snapshot."


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
        conda_installer=packages.conda_installer,
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
            _tools(packages),
            conda=packages.conda,
            python=facts.environment.interpreter,
            travels=packages.installer.file is not None,
        ),
        environment=replace(facts.environment, notes=()),
        packages=packages.locked,
        conda=packages.conda,
        allowed=packages.allowed,
        overlay=packages.overlay,
    )


def _tools(packages: Packages) -> tuple[IndexWheel, ...]:
    rattler = packages.conda_installer
    if rattler is None:
        return (packages.uv,)
    of_conda = IndexWheel(
        name="py-rattler", version=rattler.version, url=rattler.url, sha256=rattler.sha256
    )
    return packages.uv, of_conda


def list_sources(  # noqa: PLR0913 - all but three by name
    base: Base,
    packages: Collection[Locked],
    tools: Sequence[IndexWheel],
    *,
    python: Interpreter,
    travels: bool,
    conda: CondaLock | None = None,
) -> tuple[Source, ...]:
    """Name each place: hosts of wheels and channels by name, the snapshot, Python's, the registry.

    ``tools`` are needed to build; they ``travel`` where the wheels of the index do. Python is a
    package of ``conda`` where that is given. The registry of the base image is the last.
    """
    by_host: dict[str, list[IndexWheel]] = {}
    carried = len(tools) if travels else 0
    for tool in () if travels else tools:
        by_host.setdefault(tool.host, []).append(tool)
    for locked in packages:
        match locked:
            case Pinned(wheel=wheel, file=None):
                by_host.setdefault(wheel.host, []).append(wheel)
            case Pinned() | Vendored(wheel=VendoredWheel()):
                carried += 1
            case _:
                pass
    return (
        *(
            Source(place=host, holds=_describe(wheels), when_gone=_GONE_INDEX)
            for host, wheels in sorted(by_host.items())
        ),
        *(channel_sources(conda) if conda else ()),
        *_carried_sources(carried, conda),
        *((_python_source(python),) if base.site_packages == "isolated" and not conda else ()),
        *((_apt_source(base.packages),) if base.packages else ()),
        base_source(ImageRef.parse(base.image)),
    )


def base_source(base: ImageRef) -> Source:
    """Name the place of a base image; in a lock, it is the last source."""
    return Source(
        place=base.registry or "the engine's default registry",
        holds=f"the base image {base}",
        when_gone=_GONE_BASE,
    )


def _python_source(python: Interpreter) -> Source:
    return Source(
        place=_PYTHONS,
        holds=f"Python {python.version}, if it is not installed,",
        when_gone=f"Another Python {python.minor} is taken where there is one, and a restore "
        "says so; else no image can be built and no venv made.",
    )


def _apt_source(packages: Sequence[str]) -> Source:
    return Source(
        place="the base image's apt archive",
        holds=f"the packages {', '.join(packages)}",
        when_gone=_GONE_ARCHIVE,
    )


def _carried_sources(wheels: int, conda: CondaLock | None) -> Iterator[Source]:
    packages = [archive for archive in conda.archives.values() if archive.file] if conda else []
    held = ((wheels, "wheel"), (len(packages), "conda package"))
    holds = " and ".join(counted(number, noun) for number, noun in held if number)
    if holds:
        yield Source(place=f"{VENDOR}/", holds=holds, when_gone=_NEVER_GONE)


def _describe(wheels: Sequence[IndexWheel]) -> str:
    size_bytes = sum(wheel.size_bytes or 0 for wheel in wheels)
    is_known = all(wheel.size_bytes is not None for wheel in wheels)
    return counted(len(wheels), "wheel") + (f", {size(size_bytes)}" if is_known else "")
