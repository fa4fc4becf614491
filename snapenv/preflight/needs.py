"""What an environment needs of a machine: by its lock, by its image, or by what a registry tells.

A registry is asked for a manifest and a config, which are a few kB; no layer moves.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import EngineMissingError, NotFoundError, RegistryError
from snapenv.model.hardware import Driver
from snapenv.model.host import NEEDS_LABEL, Needs
from snapenv.model.image import ImageRef
from snapenv.model.native import Kernels
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, SNAPSHOT_LABEL
from snapenv.nvidia.catalogue import dotted, read_kernels
from snapenv.preflight.compatibility import read_requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.model.image import Image, Layer, RemoteImage
    from snapenv.model.snapshot import Lock
    from snapenv.nvidia.catalogue import Catalogue, CatalogueImage
    from snapenv.nvidia.catalogue import Kernels as Capabilities
    from snapenv.ports import Outside

_MOST_BYTES = 1800  # of the label
_MOST_READ_BYTES = 16_384  # of one that somebody else may have written
_SHM_BYTES = 1 << 30  # that workers of a DataLoader share
_ASKED = 8  # local images that may have layers in common
_MACHINES = ("amd64", "arm64")
_NVIDIA = "nvidia/pytorch"
_NAME_LABEL = "org.opencontainers.image.ref.name"
_VERSION_LABEL = "org.opencontainers.image.version"
# Source: https://packages.ubuntu.com/source/focal/glibc and the same of the others
_GLIBC_OF_UBUNTU = {"18.04": "2.27", "20.04": "2.31", "22.04": "2.35", "24.04": "2.39"}


class Told(Struct, frozen=True, kw_only=True):
    """What the label of an image tells of its environment; a row of ``kernels`` is one package's.

    A row has the package (empty for files of none), the architectures, and those that most of its
    code is for, each with spaces between; the last is empty where it would say the same.
    """

    python: str | None = None
    torch: str | None = None
    cuda: str | None = None
    ultralytics: str | None = None
    packages: int | None = None
    driver: Driver | None = None
    gpus: tuple[str, ...] = ()
    kernels: tuple[tuple[str, str, str], ...] = ()


def make_label(lock: Lock) -> str:
    """Write what an image's environment needs, in less than 2 kB.

    Where the kernels of very many packages do not fit, torch's and the first by name stand there.
    """
    told = _tell(lock)
    while (size := len(msgspec.json.encode(told))) > _MOST_BYTES and told.kernels:
        told = replace(told, kernels=told.kernels[:-1])
    return msgspec.json.encode(told).decode() if size <= _MOST_BYTES else "{}"


def read_label(labels: Mapping[str, str]) -> Told | None:
    """Read the label of an image; None where there is none, or one that cannot be believed."""
    text = labels.get(NEEDS_LABEL, "")
    if not text or len(text) > _MOST_READ_BYTES:
        return None
    try:
        return msgspec.json.decode(text, type=Told)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _tell(lock: Lock) -> Told:
    environment, hardware = lock.environment, lock.hardware
    torch = environment.torch
    versions = {one.name: one.version for one in environment.distributions}
    return Told(
        python=environment.interpreter.version,
        torch=torch.version if torch else None,
        cuda=torch.cuda if torch else None,
        ultralytics=versions.get("ultralytics"),
        packages=len(versions),
        driver=hardware.driver,
        gpus=tuple(dict.fromkeys(gpu.name for gpu in hardware.gpus)),
        kernels=tuple(_row(one) for one in sorted(_kernels(lock), key=_torch_first)),
    )


def _kernels(lock: Lock) -> tuple[Kernels, ...]:
    return lock.native.kernels if lock.native else ()


def _torch_first(kernels: Kernels) -> tuple[bool, bool, str]:
    name = kernels.distribution or ""
    return name != "torch", name != "torchvision", name


def _row(kernels: Kernels) -> tuple[str, str, str]:
    common = kernels.common if kernels.common != kernels.architectures else ()
    return kernels.distribution or "", " ".join(kernels.architectures), " ".join(common)


def _of_row(row: tuple[str, str, str]) -> Kernels:
    name, architectures, common = row
    return Kernels(
        distribution=name or None,
        architectures=tuple(architectures.split()),
        common=tuple((common or architectures).split()),
    )


def of_lock(lock: Lock, name: str) -> Needs:
    """Give what a lock tells; of the image it is to be in, nothing."""
    torch = lock.environment.torch
    return Needs(
        name=name,
        architecture=lock.hardware.system.architecture,
        torch=torch.version if torch else None,
        cuda=torch.cuda if torch else None,
        kernels=_kernels(lock),
        captured_driver=lock.hardware.driver,
        captured_gpus=tuple(dict.fromkeys(gpu.name for gpu in lock.hardware.gpus)),
        glibc=lock.hardware.system.glibc,
    )


def of_base(needs: Needs, lock: Lock, base: Image | RemoteImage | None, known: Catalogue) -> Needs:
    """Add what the base image of a lock brings, as it says itself, else as the catalogue has it."""
    ref = ImageRef.parse(lock.base.image)
    variables = dict(base.variables) if base else {}
    if lock.base.world == "exact":
        variables.pop("LD_LIBRARY_PATH", None)  # the image sets its own
    needs = replace(needs, image_glibc=_glibc(base.labels if base else {}, _find(ref, known)))
    return _with_image(needs, variables, _find(ref, known))


def of_image(
    needs: Needs, image: Image | RemoteImage, ref: ImageRef, catalogue: Catalogue
) -> Needs:
    """Add what an image itself says; one of snapenv's names its base."""
    name = image.labels.get(BASE_NAME_LABEL)
    try:
        base = ImageRef.parse(name) if name else ref
    except ValueError:
        base = ref
    known = _find(base, catalogue)
    needs = replace(needs, architecture=image.machine, image_glibc=_glibc(image.labels, known))
    return _with_image(needs, image.variables, known)


def of_labels(image: Image | RemoteImage, ref: ImageRef, catalogue: Catalogue) -> Needs:
    """Give what an image tells without a look into it: by our label, else by its variables."""
    told, name = read_label(image.labels), str(ref.tagged)
    if told:
        needs = Needs(
            name=name,
            torch=told.torch,
            cuda=told.cuda,
            kernels=tuple(map(_of_row, told.kernels)),
            captured_driver=told.driver,
            captured_gpus=told.gpus,
        )
    else:
        needs = _of_variables(image, ref, catalogue)
    return of_image(needs, image, ref, catalogue)


def for_device(needs: Needs, device: str, *, venv: bool = False) -> Needs:
    """Add what the user asks: ``auto`` takes a GPU for what was built for CUDA.

    ``venv`` is for an environment without a container.
    """
    asked = device not in {"auto", "cpu"}
    named = asked and device != "all"
    return replace(
        needs,
        gpu=asked or (device == "auto" and needs.cuda is not None),
        gpu_required=asked,
        devices=tuple(device.split(",")) if named else (),
        venv=venv,
        shm_bytes=_SHM_BYTES,
    )


def missing_layers(image: RemoteImage, here: Sequence[Image]) -> tuple[Layer, ...]:
    """Give the layers of a registry's image that no local image has below the same layers."""
    held = max((_common(image.diff_ids, one.diff_ids) for one in here), default=0)
    return image.layers[held:]


def ask_registry(ref: ImageRef, outside: Outside, *, machine: str) -> RemoteImage:
    """Read an image for a kind of machine, else for another one, so that this can be told.

    Raises:
        NotFoundError: The registry has no such image at all.
        RegistryError: It does not answer, or refuses.
    """
    try:
        return outside.registry.read(ref, machine=machine)
    except NotFoundError:
        for other in _MACHINES:
            if other != machine and (found := _read(ref, outside, other)):
                return found
        raise


def relatives(labels: Mapping[str, str], ref: ImageRef, outside: Outside) -> tuple[Image, ...]:
    """Find local images that may have layers of an image: its base, and those of its repository."""
    try:
        names = [*_base_names(labels), *_newest_names(ref, outside)]
        found = [outside.engine.find(name) for name in dict.fromkeys(names)]
    except EngineMissingError:
        return ()
    return tuple(image for image in found if image)


def _read(ref: ImageRef, outside: Outside, machine: str) -> RemoteImage | None:
    try:
        return outside.registry.read(ref, machine=machine)
    except (NotFoundError, RegistryError):
        return None


def _base_names(labels: Mapping[str, str]) -> Iterator[str]:
    name, digest = labels.get(BASE_NAME_LABEL), labels.get(BASE_DIGEST_LABEL)
    if name and digest:
        yield f"{name}@{digest}"
    if name:
        yield name


def _newest_names(ref: ImageRef, outside: Outside) -> list[str]:
    named = outside.engine.list_names(label=SNAPSHOT_LABEL)
    ours = [(at, name) for name, at in named if name.startswith(f"{ref.repository}:")]
    return [name for _, name in sorted(ours, reverse=True)[:_ASKED]]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _with_image(needs: Needs, variables: Mapping[str, str], known: CatalogueImage | None) -> Needs:
    cuda = dotted(known.cuda) if known and known.cuda else None
    return replace(
        needs,
        image_cuda=variables.get("CUDA_VERSION") or cuda,
        requires=read_requirements(variables),
        image_driver=variables.get("CUDA_DRIVER_VERSION"),
        compat="/compat" in variables.get("LD_LIBRARY_PATH", ""),
        datacenter_branches=known.datacenter_branches if known else (),
    )


def _glibc(labels: Mapping[str, str], known: CatalogueImage | None) -> str | None:
    """Give an image's C library by its Ubuntu, as Ubuntu's labels name it, else the catalogue."""
    told = labels.get(_VERSION_LABEL) if labels.get(_NAME_LABEL) == "ubuntu" else None
    return _GLIBC_OF_UBUNTU.get(told or (known.ubuntu if known else None) or "")


def _of_variables(image: Image | RemoteImage, ref: ImageRef, catalogue: Catalogue) -> Needs:
    """Read an image that snapenv did not build; its CUDA counts as that of what runs in it."""
    variables, known = image.variables, _find(ref, catalogue)
    cuda = variables.get("CUDA_VERSION") or (dotted(known.cuda) if known and known.cuda else None)
    told = read_kernels(variables.get("TORCH_CUDA_ARCH_LIST", ""), separator=" ")
    capabilities = told or ((known.kernels or {}).get(image.machine) if known else None)
    names = _architectures(capabilities, catalogue) if capabilities else ()
    return Needs(
        name=ref.tagged,
        torch=variables.get("PYTORCH_VERSION"),
        cuda=cuda,
        kernels=(Kernels(distribution="torch", architectures=names),) if names else (),
    )


def _find(ref: ImageRef, catalogue: Catalogue) -> CatalogueImage | None:
    """Give what is known of one of NVIDIA's images, by whatever mirror it is named."""
    return catalogue.find(ref.tag) if ref.tag and ref.repository.endswith(_NVIDIA) else None


def _architectures(capabilities: Capabilities, catalogue: Catalogue) -> tuple[str, ...]:
    """Write compute capabilities as compiled code has them: ``sm_90``, ``compute_120``."""
    lowest = capabilities.at_least
    codes = capabilities.codes or tuple(
        one.capability for one in catalogue.architectures if lowest and one.capability >= lowest
    )
    ptx = capabilities.ptx
    return (
        *(f"sm_{major}{minor}" for major, minor in sorted(codes)),
        *((f"compute_{ptx[0]}{ptx[1]}",) if ptx else ()),
    )
