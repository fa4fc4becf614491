"""Say whether this machine can run an environment, before anything large moves."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.docker_login import LoginError
from snapenv.errors import (
    EngineError,
    EngineMissingError,
    NotFoundError,
    RegistryError,
    SnapenvError,
)
from snapenv.lock.store import read_snapshot
from snapenv.model.host import Host, Needs, Unread
from snapenv.model.image import ImageRef, Layer, RemoteImage
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from snapenv.preflight.needs import (
    ask_registry,
    for_device,
    missing_layers,
    of_base,
    of_image,
    of_labels,
    of_lock,
    relatives,
)
from snapenv.probe.host import probe_host
from snapenv.workflows.archive import read_stored
from snapenv.workflows.reference import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.host import HostEngine
    from snapenv.model.image import Image
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside


_NONE = (None, None)


class Asked(Struct, frozen=True, kw_only=True):
    """What decides, beside what is named, what is needed of a machine."""

    device: str = "auto"  # "cpu", "all", GPU numbers such as "0,1", or UUIDs
    mirror: str | None = None
    venv: bool = False  # no container is to be made


@contextmanager
def looking(outside: Outside, *, engine: bool = True) -> Iterator[Callable[[], Host]]:
    """Look at this machine beside whatever is done meanwhile; what is given waits for it.

    Without ``engine``, none is asked. That none answers is no failure, but stands in the host.
    """
    with ThreadPoolExecutor(2) as pool:
        machine = pool.submit(probe_host, outside.local(sys.executable))
        # Before the next thread: two that import docker's modules at once may end in a deadlock.
        helpers = outside.missing_helpers() if engine else ()
        described = pool.submit(_describe, outside) if engine else None

        def result() -> Host:
            seen, (found, error) = machine.result(), described.result() if described else _NONE
            return Host(
                hardware=seen.hardware,
                gpu_states=seen.gpu_states,
                plumbing=seen.plumbing,
                engine=found,
                engine_error=error.message if error else None,
                engine_hint=error.hint if error else None,
                missing_helpers=helpers,
            )

        yield result


def look_at_host(outside: Outside, *, engine: bool = True) -> Host:
    """Look at the machine's hardware, how its GPUs get into containers, and its engine at once."""
    with looking(outside, engine=engine) as host:
        return host()


def judge_host(host: Host, needs: Needs) -> tuple[Check, ...]:
    """Check a machine against what is needed of it."""
    return preflight(host, needs, load_catalogue())


def _describe(
    outside: Outside,
) -> tuple[HostEngine | None, EngineMissingError | EngineError | None]:
    try:
        return outside.engine.describe(), None
    except (EngineMissingError, EngineError) as error:
        return None, error


def needs_of(
    ref: ImageRef | Path, outside: Outside, *, host: Host, asked: Asked, repository: str
) -> Needs:
    """Tell what a snapshot folder, an archive, a local image, or one in a registry needs.

    No layer moves.

    Raises:
        NotFoundError: It is nowhere.
        RegistryError: The registry does not answer, or refuses, and the engine does not reach it.
    """
    if isinstance(ref, Path):
        if ref.is_file():
            return needs_of_archive(read_stored(ref, outside), ref, outside, asked=asked)
        snapshot = read_snapshot(ref)
        named = ImageRef(repository=repository, tag=snapshot.lock.tag)
        image = None if asked.venv else _find(named, outside)
        if image and image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
            image = None
        return needs_of_snapshot(snapshot, str(ref), outside, image=image, asked=asked)
    image = _find(ref, outside)
    if image:
        return needs_of_local(image, ref, outside, asked=asked)
    try:
        there = ask_for(ref, outside, host=host)
    except LoginError:
        raise
    except RegistryError as error:
        if not _is_reached_by_engine(ref, outside):
            raise
        return needs_of_unread(error, ref, asked=asked)
    return needs_of_remote(there, ref, outside, asked=asked)


def needs_of_unread(error: RegistryError, ref: ImageRef, *, asked: Asked) -> Needs:
    """Give what is known of an image that its registry gives to the engine alone: nothing."""
    unread = Unread(image=str(ref), error=error.message, hint=error.hint, gone=False)
    return for_device(Needs(name=str(ref), unread=unread), asked.device, venv=asked.venv)


def _is_reached_by_engine(ref: ImageRef, outside: Outside) -> bool:
    try:
        with outside.progress.task(f"Asking for {ref} through the engine") as task:
            outside.engine.resolve(ref, task)
    except SnapenvError:
        return False
    return True


def needs_of_snapshot(
    snapshot: Snapshot, name: str, outside: Outside, *, image: Image | None, asked: Asked
) -> Needs:
    """Tell what a snapshot needs that ``image`` was built of, or that is to be built."""
    needs, catalogue = of_lock(snapshot.lock, name), load_catalogue()
    base = ImageRef.parse(snapshot.lock.base.image)
    if asked.venv:
        return for_device(needs, asked.device, venv=True)
    if image:
        needs = replace(of_image(needs, image, base, catalogue), here=True)
        return for_device(needs, asked.device)
    base = base.mirrored(asked.mirror) if asked.mirror else base
    here = _find(base, outside)
    there = here or _try_registry(base, outside, machine=str(needs.architecture))
    if isinstance(there, Unread):
        needs = replace(needs, base_unread=there)
    elif isinstance(there, RemoteImage):
        needs = replace(needs, missing=there.layers)
    known = None if isinstance(there, Unread) else there
    needs = of_base(needs, snapshot.lock, known, catalogue)
    return for_device(replace(needs, builds=True), asked.device)


def needs_of_archive(snapshot: Snapshot, file: Path, outside: Outside, *, asked: Asked) -> Needs:
    """Tell what an archive needs that holds a snapshot; its layers are as large as it is."""
    needs, catalogue = of_lock(snapshot.lock, str(file)), load_catalogue()
    if asked.venv:
        return for_device(needs, asked.device, venv=True)
    base = _find(ImageRef.parse(snapshot.lock.base.image), outside)
    needs = of_base(needs, snapshot.lock, base, catalogue)
    layers = (Layer(digest=snapshot.digest, size_bytes=file.stat().st_size),)
    return for_device(replace(needs, missing=layers), asked.device)


def needs_of_local(image: Image, ref: ImageRef, outside: Outside, *, asked: Asked) -> Needs:
    """Tell what an image needs that is here: by the lock in it, if it is one of snapenv's."""
    catalogue = load_catalogue()
    if SNAPSHOT_LABEL in image.labels:
        lock = read_image(image, ref, outside).lock
        needs = of_image(of_lock(lock, ref.tagged), image, ref, catalogue)
    else:
        needs = of_labels(image, ref, catalogue)
    return for_device(replace(needs, here=True), asked.device, venv=asked.venv)


def needs_of_remote(image: RemoteImage, ref: ImageRef, outside: Outside, *, asked: Asked) -> Needs:
    """Tell what an image in a registry needs, and which of its layers are not here."""
    needs = of_labels(image, ref, load_catalogue())
    missing = missing_layers(image, relatives(image.labels, ref, outside))
    return for_device(replace(needs, missing=missing), asked.device, venv=asked.venv)


def ask_for(ref: ImageRef, outside: Outside, *, host: Host) -> RemoteImage:
    """Read what a registry says of an image, for this kind of machine if it can.

    Raises:
        NotFoundError: It has none, or the name is one of this machine alone.
        RegistryError: It does not answer, or refuses.
    """
    if "/" not in ref.repository:
        raise NotFoundError(
            f"there is no local image {ref}",
            hint="See snapenv list, or name a repository: --repository example.com/team/env",
        )
    machine = host.engine.architecture if host.engine else host.hardware.system.architecture
    with outside.progress.task(f"Asking for {ref}"):
        return ask_registry(ref, outside, machine=machine)


def _find(ref: ImageRef, outside: Outside) -> Image | None:
    try:
        return outside.engine.find(str(ref))
    except (EngineMissingError, EngineError):
        return None  # a check of its own says so


def _try_registry(ref: ImageRef, outside: Outside, *, machine: str) -> RemoteImage | Unread:
    """Ask for a base image; that nothing comes of it is a finding, and no end of the look."""
    try:
        return outside.registry.read(ref, machine=machine)
    except (NotFoundError, RegistryError) as error:
        gone = isinstance(error, NotFoundError)
        return Unread(image=str(ref), error=error.message, hint=error.hint, gone=gone)
