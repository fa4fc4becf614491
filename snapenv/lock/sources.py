"""From where everything can be had that makes the environment again, and what if it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.image import ImageRef
from snapenv.model.snapshot import VENDOR, Base, Source
from snapenv.model.wheels import Pinned, Vendored, VendoredWheel
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from snapenv.model.python import Interpreter
    from snapenv.model.wheels import IndexWheel, Locked

_GONE_INDEX = (
    "No image can be built and no venv made; an image that is built already stays. "
    "Capture with --vendor=all to carry these wheels."
)
_GONE_BASE = (
    "No image can be built, unless a mirror has the base (--mirror); one that is built stays."
)
_PYTHONS = "github.com"  # https://docs.astral.sh/uv/concepts/python-versions/#cpython-distributions
_NEVER_GONE = "They travel with this snapshot."


def list_sources(
    base: Base, packages: Collection[Locked], uv: IndexWheel, *, python: Interpreter, travels: bool
) -> tuple[Source, ...]:
    """Name each place: hosts of wheels by name, the snapshot, of Python, then the base's registry.

    ``uv`` is needed to build; it ``travels`` where the wheels of the index do.
    """
    by_host: dict[str, list[IndexWheel]] = {}
    carried = int(travels)
    if not travels:
        by_host[uv.host] = [uv]
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
        *((_carried(carried),) if carried else ()),
        *((_python(python),) if base.site_packages == "isolated" else ()),
        base_source(ImageRef.parse(base.image)),
    )


def base_source(base: ImageRef) -> Source:
    """Name the place of a base image; in a lock, it is the last source."""
    return Source(
        place=base.registry or "the engine's default registry",
        holds=f"the base image {base}",
        when_gone=_GONE_BASE,
    )


def _python(python: Interpreter) -> Source:
    return Source(
        place=_PYTHONS,
        holds=f"Python {python.version}, if it is not installed,",
        when_gone=f"Another Python {python.minor} is taken where there is one, and a restore "
        "says so; else no image can be built and no venv made.",
    )


def _carried(count: int) -> Source:
    return Source(place=f"{VENDOR}/", holds=_wheels(count), when_gone=_NEVER_GONE)


def _describe(wheels: Sequence[IndexWheel]) -> str:
    size_bytes = sum(wheel.size_bytes or 0 for wheel in wheels)
    is_known = all(wheel.size_bytes is not None for wheel in wheels)
    return _wheels(len(wheels)) + (f", {size(size_bytes)}" if is_known else "")


def _wheels(count: int) -> str:
    return counted(count, "wheel")
