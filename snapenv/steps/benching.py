"""Measure the same training in an environment several times over."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv import __version__
from snapenv.errors import NotFoundError, UsageError
from snapenv.model.bench import Bench, BenchOptions, BenchRun
from snapenv.model.hardware import Hardware
from snapenv.model.snapshot import IMAGE_PYTHON, Snapshot
from snapenv.places import expanded, is_file
from snapenv.probe.host import probe_host
from snapenv.steps.host import inspect_host
from snapenv.steps.restored import find_local_image, read_local, venv_python
from snapenv.steps.runnable import Runnable, in_container, in_image, in_venv
from snapenv.steps.source import resolve_source
from snapenv.steps.unpack import unpacked
from snapenv.tuning.measure import measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.ports import Services
    from snapenv.steps.source import Source


class BenchRequest(Struct, frozen=True, kw_only=True):
    """What a user may ask of a bench."""

    ref: str  # a snapshot folder, an archive, a tag of the convention, or an image
    engine: Literal["docker", "venv"] = "docker"
    into: Path = Path(".venv")
    container: str | None = None  # a running one, in the place of a fresh one of the image
    repository: str
    options: BenchOptions = BenchOptions()
    repeat: int = 3


class Benched(Struct, frozen=True, kw_only=True):
    """What was measured, of which snapshot, and where."""

    snapshot: Snapshot
    runnable: Runnable
    hardware: Hardware  # that the environment sees
    bench: Bench


class Ready(Struct, frozen=True, kw_only=True):
    """An environment in which a training can be measured."""

    snapshot: Snapshot
    runnable: Runnable
    options: BenchOptions  # with paths and the device as the environment sees them


def bench(request: BenchRequest, services: Services) -> Benched:
    """Train for some steps, as often as asked for, each time in a process of its own.

    Raises:
        BenchError: It did not train.
        NotFoundError: There is no such environment, or no such data, here.
        UsageError: Data is named that a fresh container does not see.
    """
    with ready(request, services) as environment:
        return _bench(request, environment, services)


@contextmanager
def ready(request: BenchRequest, services: Services) -> Iterator[Ready]:
    """Find the environment of a bench.

    Raises:
        NotFoundError: There is no such environment, or no such data, here.
        UsageError: Data is named that a fresh container does not see.
    """
    options = _with_data(request)
    with ExitStack() as stack:
        source = resolve_source(request.ref, repository=request.repository, services=services)
        if request.engine == "venv":
            source = stack.enter_context(unpacked(source, services, packages=False))
        snapshot = read_local(source, services)
        runnable = _runnable(request, source, snapshot, services)
        options = replace(options, device=_device(request, runnable))
        yield Ready(snapshot=snapshot, runnable=runnable, options=options)


def _bench(request: BenchRequest, environment: Ready, services: Services) -> Benched:
    snapshot, runnable, options = environment.snapshot, environment.runnable, environment.options
    runs, inference = list[BenchRun](), None
    for number in range(1, request.repeat + 1):
        is_last = number == request.repeat
        with services.progress.task(f"Training {number} of {request.repeat}") as task:
            measured = measure(runnable.target, options, task, inference=is_last)
        runs.append(measured.run)
        inference = measured.inference or inference
    hardware = probe_host(runnable.target).hardware
    made = Bench(
        runs=tuple(runs),
        inference=inference,
        machine=machine_name(hardware, runs),
        snapenv=__version__,
        at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    return Benched(snapshot=snapshot, runnable=runnable, hardware=hardware, bench=made)


def _with_data(request: BenchRequest) -> BenchOptions:
    """Return the options with the dataset's path as the environment sees it."""
    data = request.options.data
    if data is None or request.container:
        return request.options
    if request.engine == "docker":
        raise UsageError(
            "a fresh container sees no folder of this machine, and so not the --data",
            hint="Name a running container that does with --container, or use --engine venv.",
        )
    path = expanded(data).absolute()
    if not is_file(path):
        raise NotFoundError(f"there is no dataset {data}", hint="Name its YAML file.")
    return replace(request.options, data=str(path))


def _runnable(
    request: BenchRequest, source: Source, snapshot: Snapshot, services: Services
) -> Runnable:
    device = request.options.device
    if request.container:
        target = services.engine.container_target(request.container, python=IMAGE_PYTHON)
        return in_container(target, request.container, device=device)
    if request.engine == "venv":
        target = services.local(str(venv_python(request.into)))
        return in_venv(target, into=request.into, device=device)
    local = find_local_image(source, snapshot, request.repository, services)
    return in_image(local.image, local.ref, device, partial(inspect_host, services), services)


def _device(request: BenchRequest, runnable: Runnable) -> str:
    """Return the device as the environment numbers it: a container's GPUs begin at 0."""
    if request.engine == "venv" and not request.container:
        return request.options.device
    return "0" if runnable.device == "all" else runnable.device


def machine_name(hardware: Hardware, runs: Sequence[BenchRun]) -> str:
    """Name what trains: a GPU, or the processors."""
    gpu = runs[0].gpu
    if gpu:
        return gpu.name
    return f"{runs[0].cpu.available} x {hardware.system.cpu or hardware.system.machine}"
