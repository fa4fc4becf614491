"""Whether what is to be fetched can be, and fits on the disk, and shared memory is large enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.preflight.case import Case, failed, passed, warning
from snapenv.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Check

LEAST = 2.0
"""Packed and unpacked at once, of layers that do not shrink: less than this cannot be enough."""

ENOUGH = 2.5
"""What a pull needs of the size of its packed layers; 1.75 GB of an image are packed 758 MB."""

KEPT = 1.0
"""What containerd's store needs more, which keeps the packed layers too."""

LEAST_FILES = 10_000
ENOUGH_FILES = 100_000
"""An environment of 378 packages has 61,000 files, an NVIDIA base image some 60,000 more."""


def check_helpers(case: Case) -> Iterator[Check]:
    """Warn of helpers that are named and not there: a registry that needs one cannot be asked.

    It is a warning, since a helper may be for other registries than the one that is asked.
    """
    missing = case.host.missing_helpers
    if missing and not case.needs.local:
        yield warning(
            "credentials.helper",
            f"{', '.join(missing)} on PATH, as docker's configuration says",
            "not found",
            f"Install {missing[0]}, or take its name out of credsStore and credHelpers in "
            "~/.docker/config.json, then: docker login",
            part="transport",
        )


def check_base(case: Case) -> Iterator[Check]:
    """Say that the base image of a build is gone; warn where its registry told nothing.

    The engine may reach a registry that this machine does not.
    """
    unread = case.needs.base_unread
    if unread:
        say = failed if unread.gone else warning
        expected = f"the base image {unread.image}, here or in its registry"
        yield say("base", expected, unread.error, unread.hint, part="transport")


def check_registry(case: Case) -> Iterator[Check]:
    """Warn where the registry of an image told this machine nothing, and may tell the engine."""
    unread = case.needs.unread
    if unread:
        expected = f"what {unread.image} needs, read from its registry"
        yield warning("registry", expected, unread.error, unread.hint, part="transport")


def check_disk(case: Case) -> Iterator[Check]:
    """Return whether the layers that are missing fit on the file system of the engine's data."""
    packed = sum(layer.size_bytes for layer in case.needs.missing)
    engine = case.engine
    if engine is None or engine.free_bytes is None or packed <= 0:
        return
    kept = KEPT if engine.containerd_store else 0.0
    least, enough = ((factor + kept) * packed for factor in (LEAST, ENOUGH))
    expected = f"{size(enough)} free for {size(packed)} of layers"
    actual = f"{size(engine.free_bytes)} free at {engine.root}"
    if engine.free_bytes >= enough:
        yield passed("disk", expected, actual)
        return
    say = failed if engine.free_bytes < least else warning
    short = size(enough - engine.free_bytes)
    yield say(
        "disk", expected, actual, f"Free {short} more; docker system df shows what images hold."
    )


def check_inodes(case: Case) -> Iterator[Check]:
    """Return whether the file system of the engine's data can hold the files of an image.

    No image that trains has fewer than ``LEAST_FILES``, which torch alone has.
    """
    engine, torch = case.engine, case.needs.torch
    if engine is None or engine.free_inodes is None or not case.needs.missing:
        return
    expected = f"{ENOUGH_FILES:,} free inodes, one for each file of an image"
    actual = f"{engine.free_inodes:,} free at {engine.root}"
    if engine.free_inodes >= ENOUGH_FILES:
        yield passed("disk.inodes", expected, actual)
        return
    say = failed if engine.free_inodes < LEAST_FILES and torch else warning
    fix = "Remove small files there, such as unused images (docker image prune); df -i shows it."
    yield say("disk.inodes", expected, actual, fix)


def check_shm(case: Case) -> Iterator[Check]:
    """Warn where workers of a venv share memory that is too small; a container gets its own."""
    required = case.needs.shm_bytes
    current = case.host.hardware.system.shm_bytes
    if not case.needs.venv or required is None or current is None:
        return
    expected = f"{size(required)} of /dev/shm"
    if current >= required:
        yield passed("shm", expected, size(current))
    else:
        yield warning(
            "shm",
            expected,
            f"{size(current)}: workers of a DataLoader may end with a bus error",
            f"sudo mount -o remount,size={required} /dev/shm",
        )
