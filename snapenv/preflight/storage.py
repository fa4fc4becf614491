"""Whether what is to be fetched fits on the disk, and shared memory is large enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.preflight.finding import failed, held, warned
from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Check
    from snapenv.preflight.case import Case

LEAST = 2.0
"""Packed and unpacked at once, of layers that do not shrink: less than this cannot be enough."""

ENOUGH = 2.5
"""What a pull needs of the size of its packed layers; 1.75 GB of an image are packed 758 MB."""

KEPT = 1.0
"""What containerd's store needs more, which keeps the packed layers too."""

LEAST_FILES = 10_000
ENOUGH_FILES = 100_000
"""An environment of 378 packages has 61,000 files, an NVIDIA base image some 60,000 more."""


def check_disk(case: Case) -> Iterator[Check]:
    """Say whether the layers that are missing fit on the file system of the engine's data."""
    packed = sum(layer.size_bytes for layer in case.needs.missing)
    engine = case.engine
    if engine is None or engine.free_bytes is None or packed <= 0:
        return
    kept = KEPT if engine.containerd_store else 0.0
    least, enough = ((factor + kept) * packed for factor in (LEAST, ENOUGH))
    expected = f"{size(enough)} free for {size(packed)} of layers"
    actual = f"{size(engine.free_bytes)} free at {engine.root}"
    if engine.free_bytes >= enough:
        yield held("disk", expected, actual)
        return
    say = failed if engine.free_bytes < least else warned
    short = size(enough - engine.free_bytes)
    yield say(
        "disk", expected, actual, f"Free {short} more; docker system df shows what images hold."
    )


def check_inodes(case: Case) -> Iterator[Check]:
    """Say whether the file system of the engine's data can hold the files of an image.

    No image that trains has fewer than ``LEAST_FILES``, which torch alone has.
    """
    engine, torch = case.engine, case.needs.torch
    if engine is None or engine.free_inodes is None or not case.needs.missing:
        return
    expected = f"{ENOUGH_FILES:,} free inodes, one for each file of an image"
    actual = f"{engine.free_inodes:,} free at {engine.root}"
    if engine.free_inodes >= ENOUGH_FILES:
        yield held("disk.inodes", expected, actual)
        return
    say = failed if engine.free_inodes < LEAST_FILES and torch else warned
    fix = "Remove small files there, such as unused images (docker image prune); df -i shows it."
    yield say("disk.inodes", expected, actual, fix)


def check_shm(case: Case) -> Iterator[Check]:
    """Warn where workers of a venv share memory that is too small; a container gets its own."""
    wanted = case.needs.shm_bytes
    here = case.host.hardware.system.shm_bytes
    if not case.needs.venv or wanted is None or here is None:
        return
    expected = f"{size(wanted)} of /dev/shm"
    if here >= wanted:
        yield held("shm", expected, size(here))
    else:
        yield warned(
            "shm",
            expected,
            f"{size(here)}: workers of a DataLoader may end with a bus error",
            f"sudo mount -o remount,size={wanted} /dev/shm",
        )
