"""The same environment with every wheel in its snapshot, so that no network is needed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.lock.fetch import fetch_wheels, fetched_wheels, with_places
from snapenv.lock.make_lock import list_sources
from snapenv.lock.store import make_snapshot
from snapenv.model.snapshot import CHECK_FILES, MEASURED_FILE, VENDOR
from snapenv.model.wheels import FromBase, IndexWheel
from snapenv.pylock import write_pylock
from snapenv.render.dockerfile import render_dockerfile
from snapenv.render.layers import split_lock
from snapenv.sizes import counted

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.snapshot import Lock, Snapshot
    from snapenv.ports import Services


def vendor_all(snapshot: Snapshot, into: Path, services: Services) -> Snapshot:
    """Return a snapshot with all wheels of its lock, as ``capture --vendor=all`` would write it.

    They are fetched into a folder. It is a snapshot of its own, with its own digest, that makes
    the same environment; one that has them all already comes back as it is.

    Raises:
        PackageIndexError: A wheel cannot be had, or is not what its hash says.
        WriteError: The disk is full or the folder cannot be written.
    """
    wanted = {wheel.url: wheel for wheel in fetched_wheels(snapshot.lock)}
    if not wanted:
        return snapshot
    with services.progress.task(f"Fetching {counted(len(wanted), 'wheel')}") as task:
        fetched = fetch_wheels(tuple(wanted.values()), into, services, task)
    places = {url: f"{VENDOR}/{wheel.filename}" for url, wheel in wanted.items()}
    lock = _with_sources(with_places(snapshot.lock, places))
    layers = split_lock(lock)
    texts = {layer.file: layer.content for layer in layers}
    others = [name for name in (MEASURED_FILE, *CHECK_FILES) if name in snapshot.files]
    return make_snapshot(
        lock,
        pylock=_pylock(lock),
        dockerfile=render_dockerfile(lock, layers, kept=(*texts, *others)),
        captured_at=snapshot.captured_at,
        carried={
            **{
                name: file
                for name, file in snapshot.files.items()
                if "/" in name or name in CHECK_FILES
            },
            **texts,
            **{f"{VENDOR}/{name}": path for name, path in fetched.items()},
        },
    )


def _with_sources(lock: Lock) -> Lock:
    """Name anew the places that a lock needs."""
    tools = (("uv", lock.installer), ("py-rattler", lock.conda_installer))
    sources = list_sources(
        lock.base,
        lock.packages.values(),
        [
            IndexWheel(name=name, version=tool.version, url=tool.url, sha256=tool.sha256)
            for name, tool in tools
            if tool
        ],
        conda=lock.conda,
        python=lock.environment.interpreter,
        travels=lock.installer.file is not None,
    )
    return replace(lock, sources=sources)


def _pylock(lock: Lock) -> bytes:
    distributions = lock.environment.distributions
    return write_pylock(
        lock.packages,
        machine=lock.hardware.system.machine,
        python=lock.environment.interpreter.minor,
        provided=[
            f"{each.name}=={each.version}"
            for each in distributions
            if isinstance(lock.packages.get(each.name), FromBase)
        ],
    )
