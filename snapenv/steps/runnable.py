"""What a program runs in once it is back: an image or a venv, and the devices that it gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import EngineError
from snapenv.model.hardware import Hardware
from snapenv.model.image import Image
from snapenv.model.outcome import Check
from snapenv.model.results import ProofResult
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.ports import Target
from snapenv.probe.host import probe_host
from snapenv.steps.interpreter import venv_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.host import Host
    from snapenv.model.image import ImageRef
    from snapenv.ports import Services


class Runnable(Struct, frozen=True, kw_only=True):
    """What stands again: how to run in it, and how to name it to people and programs."""

    target: Target
    device: str
    name: str
    ranks: int | None = None  # GPUs that were named, where ``device`` says no more than all
    result: ProofResult = ProofResult()  # as far as it is known before the proof
    image: Image | None = None
    base_python: Path | None = None  # the folder of the Python that a venv was made with
    checked: tuple[Check, ...] = ()  # what the preflight found to be looked out for
    below: Hardware | None = None  # of the machine that a container runs on
    refused: str | None = None  # why its engine handed on no GPU, although it says that it can


def in_image(
    image: Image, ref: ImageRef, device: str, host: Callable[[], Host], services: Services
) -> Runnable:
    """Return an image to run in, with the GPUs asked for; ``auto`` is all, if there are any."""
    chosen = _choose_gpus(image, host(), services) if device == "auto" else _Gpus()
    gpus = chosen.named if device == "auto" else None if device == "cpu" else device
    return Runnable(
        target=services.engine.image_target(image, python=IMAGE_PYTHON, gpus=gpus),
        device=device if device in {"auto", "cpu"} else "all",
        ranks=None if device in {"auto", "cpu", "all"} else len(device.split(",")),
        name=str(ref),
        image=image,
        result=ProofResult(image=str(ref), digest=image.digest_in(ref.repository) or image.id),
        below=chosen.below,
        refused=chosen.refused,
    )


class _Gpus(Struct, frozen=True, kw_only=True):
    """What GPUs a container is given where that is left to us; ``named`` is None for none."""

    named: str | None = None
    below: Hardware | None = None  # of the engine's machine, where that is this one
    refused: str | None = None


def _choose_gpus(image: Image, host: Host, services: Services) -> _Gpus:
    """Find out whether the engine has GPUs: where they cannot be seen from here, ask it for them.

    That is so of an engine elsewhere, and where snapenv itself runs in a container beside it.
    """
    engine = host.engine
    below = host.hardware if engine is None or engine.local else None
    if below and below.gpus:
        return _Gpus(named="all", below=below)
    if engine is None or (engine.local and engine.injects is None):
        return _Gpus(below=below)
    target = services.engine.image_target(image, python=IMAGE_PYTHON, gpus="all")
    try:
        shown = probe_host(target).hardware.gpus
    except EngineError as error:
        return _Gpus(below=below, refused=error.message if engine.injects else None)
    return _Gpus(named="all" if shown else None, below=below)


def in_container(target: Target, name: str, *, device: str) -> Runnable:
    """Return a running container to run in; its GPUs are those that it was given."""
    return Runnable(
        target=target,
        device=device if device in {"auto", "cpu"} else "all",
        name=f"container {name}",
    )


def in_venv(target: Target, *, into: Path, device: str) -> Runnable:
    """Return a venv to run in."""
    return Runnable(
        target=target,
        device=device,
        name=str(into),
        result=ProofResult(path=str(into)),
        base_python=venv_home(into),
    )
