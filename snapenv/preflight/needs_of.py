"""What a snapshot, an archive or an image needs of a machine, asked of the engine and a registry.

A registry is asked for a manifest and a config, which are a few kB; no layer moves.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import EngineError, EngineMissingError, NotFoundError, RegistryError
from snapenv.model.host import Needs, Unread
from snapenv.model.image import ImageRef, Layer, RemoteImage
from snapenv.model.needs_label import read_label
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, SNAPSHOT_LABEL
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from snapenv.preflight.needs import (
    for_device,
    of_base,
    of_image,
    of_label,
    of_labels,
    of_lock,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from snapenv.model.artifact import RemoteSnapshot
    from snapenv.model.host import Host
    from snapenv.model.image import Image
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services

_ASKED = 8  # local images that may have layers in common
_MACHINES = ("amd64", "arm64")


class Fit(Struct, frozen=True, kw_only=True):
    """Whether a machine runs something, why it does not, and what it would have to fetch."""

    runs: Literal["yes", "no", "unknown"]
    reason: str | None = None  # where it does not, or nobody knows
    missing: tuple[Layer, ...] = ()


class RunOptions(Struct, frozen=True, kw_only=True):
    """What decides, beside what is named, what is needed of a machine."""

    device: str = "auto"  # "cpu", "all", GPU numbers such as "0,1", or UUIDs
    mirror: str | None = None
    venv: bool = False  # no container is to be made


def needs_of_snapshot(
    snapshot: Snapshot, name: str, services: Services, *, image: Image | None, options: RunOptions
) -> Needs:
    """Return what a snapshot needs that ``image`` was built of, or that is to be built."""
    needs, catalogue = of_lock(snapshot.lock, name), load_catalogue()
    base = ImageRef.parse(snapshot.lock.base.image)
    if options.venv:
        return for_device(needs, options.device, venv=True)
    if image:
        needs = replace(of_image(needs, image, base, catalogue), local=True)
        return for_device(needs, options.device)
    base = base.mirrored(options.mirror) if options.mirror else base
    base_image = find_local(base, services) or _try_registry(
        base, services, machine=str(needs.architecture)
    )
    if isinstance(base_image, Unread):
        needs = replace(needs, base_unread=base_image)
    elif isinstance(base_image, RemoteImage):
        needs = replace(needs, missing=base_image.layers)
    known = None if isinstance(base_image, Unread) else base_image
    needs = of_base(needs, snapshot.lock, known, catalogue)
    return for_device(replace(needs, builds=True), options.device)


def needs_of_archive(
    snapshot: Snapshot, file: Path, services: Services, *, options: RunOptions
) -> Needs:
    """Return what an archive needs that holds a snapshot; its layers are as large as it is."""
    needs, catalogue = of_lock(snapshot.lock, str(file)), load_catalogue()
    if options.venv:
        return for_device(needs, options.device, venv=True)
    base = find_local(ImageRef.parse(snapshot.lock.base.image), services)
    needs = of_base(needs, snapshot.lock, base, catalogue)
    layers = (Layer(digest=snapshot.digest, size_bytes=file.stat().st_size),)
    return for_device(replace(needs, missing=layers), options.device)


def needs_of_local(
    image: Image, ref: ImageRef, snapshot: Snapshot | None, *, options: RunOptions
) -> Needs:
    """Return what a local image needs: by the snapshot in it, if it is one of snapenv's."""
    catalogue = load_catalogue()
    if snapshot:
        needs = of_image(of_lock(snapshot.lock, ref.tagged), image, ref, catalogue)
    else:
        needs = of_labels(image, ref, catalogue)
    return for_device(replace(needs, local=True), options.device, venv=options.venv)


def needs_of_remote(
    image: RemoteImage, ref: ImageRef, services: Services, *, options: RunOptions
) -> Needs:
    """Return what an image in a registry needs, and which of its layers are not here."""
    needs = of_labels(image, ref, load_catalogue())
    missing = missing_layers(image, relatives(image.labels, ref, services))
    return for_device(replace(needs, missing=missing), options.device, venv=options.venv)


def needs_of_unread(error: RegistryError, ref: ImageRef, *, options: RunOptions) -> Needs:
    """Return what is known of an image that its registry gives to the engine alone: nothing."""
    unread = Unread(image=str(ref), error=error.message, hint=error.hint, gone=False)
    return for_device(Needs(name=str(ref), unread=unread), options.device, venv=options.venv)


def ask_for(ref: ImageRef, services: Services, *, host: Host) -> RemoteImage:
    """Read what a registry says of an image, for this kind of machine, else for another one.

    Raises:
        NotFoundError: The registry has no such image at all.
        RegistryError: It does not answer, or refuses.
    """
    machine = host.engine.architecture if host.engine else host.hardware.system.architecture
    with services.progress.task(f"Asking for {ref}"):
        try:
            return services.registry.read(ref, machine=machine)
        except NotFoundError:
            for other in _MACHINES:
                with suppress(NotFoundError, RegistryError):
                    if other != machine:
                        return services.registry.read(ref, machine=other)
            raise


def find_local(ref: ImageRef, services: Services) -> Image | None:
    """Return a local image, if an engine answers and has it."""
    try:
        return services.engine.find(str(ref))
    except (EngineMissingError, EngineError):
        return None  # a check of its own says so


def missing_layers(image: RemoteImage, local_images: Sequence[Image]) -> tuple[Layer, ...]:
    """Return the layers of a registry's image that no local image has below the same layers."""
    held = max((_count_common(image.diff_ids, local.diff_ids) for local in local_images), default=0)
    return image.layers[held:]


def relatives(labels: Mapping[str, str], ref: ImageRef, services: Services) -> tuple[Image, ...]:
    """Find local images that may have layers of an image: its base, and those of its repository."""
    base, digest = labels.get(BASE_NAME_LABEL), labels.get(BASE_DIGEST_LABEL)
    names = [f"{base}@{digest}", base] if base and digest else [base] if base else []
    try:
        named = services.engine.list_names(label=SNAPSHOT_LABEL)
        ours = [(at, name) for name, at in named if name.startswith(f"{ref.repository}:")]
        names += [name for _, name in sorted(ours, reverse=True)[:_ASKED]]
        images = [services.engine.find(name) for name in dict.fromkeys(names)]
    except EngineMissingError:
        return ()
    return tuple(image for image in images if image)


def judge_remote(
    remote: RemoteImage | RemoteSnapshot,
    host: Host,
    *,
    local_images: Sequence[Image],
    options: RunOptions,
) -> Fit:
    """Return whether this machine runs what lies in a registry, from its labels and facts alone.

    A snapshot alone is to become a venv, or, where its packages are a base image's, an image.
    Without our label nothing is known.
    """
    labels = remote.labels if isinstance(remote, RemoteImage) else remote.annotations
    label = read_label(labels)
    missing = _missing(remote, local_images)
    if label is None:
        return Fit(runs="unknown", reason="its labels do not say what it needs", missing=missing)
    if isinstance(remote, RemoteImage):
        needs = of_labels(remote, remote.ref, load_catalogue())
        needs = for_device(replace(needs, missing=missing), options.device)
    else:
        venv = label.site_packages == "isolated"
        needs = replace(of_label(label, str(remote.ref)), builds=not venv)
        needs = for_device(needs, options.device, venv=venv)
    failing = [check for check in preflight(host, needs, load_catalogue()) if check.fails]
    if not failing:
        return Fit(runs="yes", missing=missing)
    reason = f"{failing[0].id}: {failing[0].actual}, needed: {failing[0].expected}"
    return Fit(runs="no", reason=reason, missing=missing)


def _missing(
    remote: RemoteImage | RemoteSnapshot, local_images: Sequence[Image]
) -> tuple[Layer, ...]:
    if isinstance(remote, RemoteImage):
        return missing_layers(remote, local_images)
    return tuple(Layer(digest=layer.digest, size_bytes=layer.size) for layer in remote.layers)


def _count_common(left: Sequence[str], right: Sequence[str]) -> int:
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    )


def _try_registry(ref: ImageRef, services: Services, *, machine: str) -> RemoteImage | Unread:
    """Ask for a base image; that nothing comes of it is a finding, and no end of the look."""
    try:
        return services.registry.read(ref, machine=machine)
    except (NotFoundError, RegistryError) as error:
        gone = isinstance(error, NotFoundError)
        return Unread(image=str(ref), error=error.message, hint=error.hint, gone=gone)
