"""Make the image of a snapshot: pin the base, build, prove, name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.base.choose import rebase
from snapenv.errors import BuildError, EngineError, LeakError, TagTakenError
from snapenv.lock.fetch import Staged, stage_private_wheels, temporary_folder
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import BuildContext, Compression, ImageRef
from snapenv.model.needs_label import make_label
from snapenv.model.snapshot import (
    BASE_DIGEST_LABEL,
    BASE_NAME_LABEL,
    CHECK_FILES,
    IMAGE_PYTHON,
    MEASURED_FILE,
    PARENT_LABEL,
    SNAPSHOT_LABEL,
    STAGED,
    TAG_LABEL,
    VERSION_LABEL,
    BaseFamily,
)
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.ownership.claim import claim
from snapenv.render.dockerfile import render_dockerfile
from snapenv.render.layers import is_layer_file, split_lock
from snapenv.secrets.refuse import refuse_leaking_image
from snapenv.steps.names import name_image
from snapenv.steps.outside import keep_as_built
from snapenv.steps.prove import prove_image
from snapenv.steps.still_locked import keep_as_locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.image import Image
    from snapenv.model.outcome import Check
    from snapenv.model.snapshot import Base, Snapshot
    from snapenv.ports import Services

_PINNED_DOCKERFILE = "pinned.Dockerfile"
_NAMED = 3  # differences in one message


class BuildOptions(Struct, frozen=True, kw_only=True):
    """How an image is made; without ``base`` and ``base_family``, on the base of the lock."""

    base: str | None = None
    base_family: BaseFamily | None = None
    mirror: str | None = None
    replace: bool = False  # move a name that another image has
    compression: Compression = "gzip"  # of the layers that are built


def find_image(
    snapshot: Snapshot, ref: ImageRef, options: BuildOptions, services: Services
) -> Image | None:
    """Return the local image that was built of this snapshot under this name, if it is there.

    Raises:
        UsageError: The environment uses packages of NVIDIA's image, and another family is asked.
        BaseError: No image of the family fits.
        TagTakenError: Another image has the name, and ``replace`` is not asked for.
    """
    there = services.engine.find(ref.tagged)
    if there is None or options.replace:
        return None
    if there.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
        raise tag_taken(ref, there.id, f"snapshot {snapshot.digest}")
    if options.base or options.base_family:
        wanted = ImageRef.parse(wanted_base(snapshot, options).image).tagged
        actual = there.labels.get(BASE_NAME_LABEL)
        if actual != wanted:
            raise tag_taken(ref, f"{there.id} on {actual}", f"on {wanted}")
    return there


def wanted_base(snapshot: Snapshot, options: BuildOptions) -> Base:
    """Return the base to build on, by name.

    Raises:
        UsageError: The environment uses packages of NVIDIA's image, and another family is asked.
        BaseError: No image of the family fits.
    """
    return rebase(
        snapshot.lock,
        load_catalogue(),
        image=options.base,
        family=options.base_family,
        mirror=options.mirror,
    )


def make_image(
    snapshot: Snapshot, ref: ImageRef, options: BuildOptions, services: Services
) -> Image:
    """Build a snapshot's image, compare it with the lock, and only then name it.

    Raises:
        BuildError: A step failed, or the image is not what the lock says; it gets no name.
        PlaceBusyError: Another command makes an image of this name.
    """
    engine = services.engine.check()
    with claim(services.kept("locks"), ref.tagged, key=f"{engine} {ref.tagged}"):
        return _make_image(snapshot, ref, options, services)


def _make_image(
    snapshot: Snapshot, ref: ImageRef, options: BuildOptions, services: Services
) -> Image:
    pinned, image = _build(snapshot, options, services)
    different = image_differences(image, snapshot, services)
    if different:
        services.engine.remove(image.id)
        last = sorted(different, key=lambda check: check.topic in ("variables", "startup"))[
            -_NAMED:
        ]
        named = "; ".join(f"{check.id}: {check.expected} became {check.actual}" for check in last)
        raise BuildError(
            f"the image is not what the lock says: {named}",
            hint="It was not named. Choose a base that fits with --base, or capture again.",
        )
    _refuse_leaks(image, pinned, services)
    name_image(image, ref, services)
    keep_as_locked(image.id, services)
    keep_as_built(image, snapshot.lock, services)
    return image


def build_unnamed(snapshot: Snapshot, options: BuildOptions, services: Services) -> Image:
    """Build the image of a snapshot, compare it with nothing, and give it no name.

    Raises:
        BuildError: A step failed.
    """
    services.engine.check()
    return _build(snapshot, options, services)[1]


def _build(snapshot: Snapshot, options: BuildOptions, services: Services) -> tuple[Snapshot, Image]:
    """Build, and return the snapshot as it was built: with its base pinned."""
    emulated = _emulated(snapshot, options, services)
    if options.compression == "zstd":
        _refuse_zstd(services)
    pinned = _pin_base(snapshot, options, services)
    with temporary_folder(services) as fetched:
        context = replace(
            _context(pinned, stage_private_wheels(pinned, fetched, services), services),
            compression=options.compression,
            machine=emulated,
        )
        with services.progress.task(f"Building {snapshot.lock.tag}") as task:
            return pinned, services.engine.build(context, task)


def _emulated(snapshot: Snapshot, options: BuildOptions, services: Services) -> str | None:
    """Return the kind of machine that the engine is to emulate, before anything is fetched for it.

    Who has pulled the base for that kind, with ``docker pull --platform``, has an engine that
    emulates it, and means it.

    Raises:
        BuildError: The engine's images are of another kind than the lock.
    """
    needed, engine = snapshot.lock.hardware.system.architecture, services.engine.describe()
    if needed == engine.architecture:
        return None
    base = wanted_base(snapshot, options).image
    there = services.engine.find(base)
    if there is None or there.machine != needed:
        raise BuildError(
            f"the environment was captured on {needed}, and this engine runs {engine.architecture}",
            hint=f"Build it on a machine of {needed}; or emulate one, and pull its base first: "
            f"docker pull --platform linux/{needed} {base}",
        )
    return needed


def _refuse_zstd(services: Services) -> None:
    """Refuse to pack with zstd where the engine would pack with gzip and not say so.

    Raises:
        EngineError: It does not keep its images in containerd's store.
    """
    engine = services.engine.describe()
    if not engine.containerd_store:
        raise EngineError(
            f"Docker {engine.version} packs layers with gzip alone: "
            "it does not keep images in containerd's store",
            hint='Put {"features": {"containerd-snapshotter": true}} into the daemon.json of '
            "Docker 24 or newer and restart it, or leave out --compression.",
        )


def _refuse_leaks(image: Image, pinned: Snapshot, services: Services) -> None:
    base = services.engine.find(pinned.lock.base.image)
    if base is None:
        raise BuildError(
            f"the base image {pinned.lock.base.image} is gone", hint="Build once more."
        )
    try:
        with services.progress.task("Looking for secrets in the image") as task:
            total = max(0, image.size_bytes - base.size_bytes)
            refuse_leaking_image(
                services.engine.read_leaving(image, base=base),
                services.secrets(),
                allow=pinned.lock.allowed,
                count=lambda done: task.count(done, total),
            )
    except LeakError:
        services.engine.remove(image.id)
        raise


def _pin_base(snapshot: Snapshot, options: BuildOptions, services: Services) -> Snapshot:
    """Fetch the base that is asked for, and return the snapshot with its digest in the lock."""
    lock, base = snapshot.lock, wanted_base(snapshot, options)
    engine = services.engine
    with services.progress.task(f"Base image {base.image}") as task:
        ref = engine.resolve(ImageRef.parse(base.image), task)
        if engine.find(str(ref)) is None:
            engine.pull(ref, task)
    return replace(snapshot, lock=replace(lock, base=replace(base, image=str(ref))))


def _context(snapshot: Snapshot, staged: Staged, services: Services) -> BuildContext:
    """Return the snapshot as captured, with a Dockerfile whose base is pinned, and what is staged.

    The lock files of the layers are made anew: those of the snapshot, where it has them, do not
    know what is staged.
    """
    lock, base = staged.lock, services.engine.find(snapshot.lock.base.image)
    layers = split_lock(lock, folder=STAGED if staged.files else "")
    files = {
        **snapshot.files,
        **staged.files,
        **{layer.file: layer.content for layer in layers},
        _PINNED_DOCKERFILE: render_dockerfile(
            lock,
            layers,
            kept=_kept(snapshot),
            resets_entrypoint=base is not None and not services.engine.starts_commands(base),
        ),
    }
    if services.certificates:
        files["ca.pem"] = services.certificates
    labels = _labels(snapshot, ImageRef.parse(lock.base.image))
    return BuildContext(files=files, labels=labels, dockerfile=_PINNED_DOCKERFILE)


def _kept(snapshot: Snapshot) -> tuple[str, ...]:
    """Return what the image holds of the snapshot, where this has it, beside what each has."""
    others = (*CHECK_FILES, MEASURED_FILE)
    kept = (name for name in snapshot.files if is_layer_file(name) or name in others)
    return tuple(sorted(kept))


def _labels(snapshot: Snapshot, base: ImageRef) -> Mapping[str, str]:
    """Return our own labels, and those of https://specs.opencontainers.org/image-spec/annotations/."""
    return {
        SNAPSHOT_LABEL: snapshot.digest,
        VERSION_LABEL: snapshot.lock.snapenv,
        TAG_LABEL: snapshot.lock.tag,
        BASE_NAME_LABEL: base.tagged,
        BASE_DIGEST_LABEL: base.digest or "",
        NEEDS_LABEL: make_label(snapshot.lock),
        **({PARENT_LABEL: snapshot.lock.parent} if snapshot.lock.parent else {}),
    }


def image_differences(image: Image, snapshot: Snapshot, services: Services) -> list[Check]:
    """Return the checks that fail when an image is compared with its lock."""
    target = services.engine.image_target(image, python=IMAGE_PYTHON, gpus=None)
    return [check for check in prove_image(image, target, snapshot.lock, services) if check.fails]


def tag_taken(ref: ImageRef, there: str, here: str) -> TagTakenError:
    """Return the error that a name is another image's."""
    return TagTakenError(
        f"{ref.tagged} is {there} already, and this is {here}",
        hint="Give another --level at capture or another --repository, or move it: --replace.",
    )
