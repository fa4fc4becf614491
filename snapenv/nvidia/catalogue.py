"""What is known of base images (NVIDIA's above all), of CUDA and of torch, as of one day.

``data/`` has a table for each; an empty cell is unknown, never a guess, and ``source`` says where
a row comes from.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from snapenv.model.image import ImageRef
from snapenv.model.snapshot import BaseFamily

CATALOGUE_DATE = "2026-11-28"
REPOSITORY = "nvcr.io/nvidia/pytorch"

Pair = tuple[int, int]
"""The first two numbers of a version, or a GPU's compute capability."""

_DATA = Path(__file__).with_name("data")
_ONE_MACHINE = {"arch": "amd64", "arch-aarch64": "arm64"}


class Kernels(Struct, frozen=True, kw_only=True):
    """The compute capabilities that an image's torch holds code for.

    ``codes`` are those of machine code, ``ptx`` that of what a driver translates for newer GPUs.
    Where only a lowest capability is told, it is ``at_least``, and ``codes`` is empty.
    """

    codes: tuple[Pair, ...] = ()
    ptx: Pair | None = None
    at_least: Pair | None = None


class CatalogueImage(Struct, frozen=True, kw_only=True):
    """One release; None is unknown, and so is a machine that ``machines`` does not name."""

    tag: str  # "25.01-py3"
    python: str | None = None  # "3.12"
    ubuntu: str | None = None  # "24.04"
    cuda: Pair | None = None
    torch: Pair | None = None
    machines: tuple[str, ...] = ("amd64",)  # that it is known to exist for
    absent_for: tuple[str, ...] = ()  # machines that its registry has no such image for
    kernels: Mapping[str, Kernels] | None = None  # by machine
    datacenter_branches: tuple[int, ...] = ()  # older drivers that its notes allow there
    repository: str = REPOSITORY

    @property
    def reference(self) -> str:
        """The image's name in its registry."""
        return f"{self.repository}:{self.tag}"

    @property
    def release(self) -> str:
        """What NVIDIA calls it: ``25.01``."""
        return self.tag.partition("-")[0]


class SystemImage(Struct, frozen=True, kw_only=True):
    """An image that holds a distribution and no Python, or that and CUDA's libraries."""

    reference: str  # "debian:13-slim"
    family: BaseFamily
    os: str  # "debian 13", as the probe names systems
    python: str  # "3.13", what apt calls python3 there
    glibc: Pair
    cuda: Pair | None = None


class CudaRelease(Struct, frozen=True, kw_only=True):
    """A CUDA toolkit, and the drivers that serve it; versions as tuples of numbers."""

    cuda: Pair
    driver: tuple[int, ...] | None  # that it came with
    lowest_driver: tuple[int, ...]  # by minor-version compatibility


class TorchRelease(Struct, frozen=True, kw_only=True):
    """A released torch as its index has it by default."""

    version: str  # "2.11.0"
    cuda: Pair | None
    kernels: Kernels | None  # of the wheel for amd64


class Architecture(Struct, frozen=True, kw_only=True):
    """A compute capability, and the CUDA toolkits that compile for it."""

    capability: Pair
    first_cuda: Pair | None  # None: any of the catalogue
    dropped_in: Pair | None
    last_branch: int | None = None  # of the driver; None: it is supported still


class Catalogue(Struct, frozen=True, kw_only=True):
    """All that is known, images and releases oldest first.

    ``forward`` gives for a CUDA the branches of the drivers that NVIDIA's forward-compatibility
    package for it runs on, on GPUs that have it. Of the branches in ``forward_listed`` NVIDIA says
    so for every CUDA; those in ``never_forward`` are none for any.
    """

    date: str
    images: tuple[CatalogueImage, ...]
    systems: tuple[SystemImage, ...] = ()  # newest distribution, then newest CUDA, first
    cuda: tuple[CudaRelease, ...] = ()
    torch: tuple[TorchRelease, ...] = ()
    architectures: tuple[Architecture, ...] = ()
    forward: Mapping[Pair, tuple[range, ...]] | None = None
    forward_listed: tuple[int, ...] = ()
    never_forward: tuple[int, ...] = ()

    def find(self, tag: str) -> CatalogueImage | None:
        """Return the release of this tag, if it is known."""
        return next((image for image in self.images if image.tag == tag), None)

    def find_system(self, ref: ImageRef) -> SystemImage | None:
        """Return what is known of an image with nothing but a system, by whatever mirror."""
        name = f"/{ref.tagged}"
        return next(
            (system for system in self.systems if name.endswith(f"/{_own_path(system)}")), None
        )


@functools.cache
def load_catalogue() -> Catalogue:
    """Read the catalogue that came with snapenv."""
    forward = _rows("forward")
    return Catalogue(
        date=CATALOGUE_DATE,
        images=tuple(_image(row) for row in _rows("images")),
        systems=tuple(_system(row) for row in _rows("systems")),
        cuda=tuple(sorted((_cuda(row) for row in _rows("cuda")), key=lambda row: row.cuda)),
        torch=tuple(_torch(row) for row in _rows("torch")),
        architectures=tuple(_architecture(row) for row in _rows("architectures")),
        forward={
            pair: _branches(row["branches"])
            for row in forward
            if (pair := major_minor(row["cuda"]))
        },
        forward_listed=tuple(map(int, forward[0]["listed"].split("|"))),
        never_forward=tuple(map(int, forward[0]["never"].split("|"))),
    )


def major_minor(version: str) -> Pair | None:
    """Read the first two numbers of a version, or None where it does not begin with them."""
    parts = re.match(r"(\d{1,6})\.(\d{1,6})", version, re.ASCII)
    return (int(parts[1]), int(parts[2])) if parts else None


def dotted(pair: Pair) -> str:
    """Write two numbers as a version."""
    return f"{pair[0]}.{pair[1]}"


def numbers(version: str) -> tuple[int, ...] | None:
    """Read a version of numbers alone: ``525.60.13`` is ``(525, 60, 13)``."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})*", version, re.ASCII):
        return None
    return tuple(int(part) for part in version.split("."))


def read_kernels(text: str, *, separator: str = "|") -> Kernels | None:
    """Read a list as TORCH_CUDA_ARCH_LIST has it, such as ``8.0|9.0+PTX``; None where empty."""
    codes, ptx = [], None
    for word in text.split(separator):
        pair = major_minor(word)
        if pair is None:
            continue
        codes.append(pair)
        ptx = pair if word.endswith("+PTX") else ptx
    return Kernels(codes=tuple(codes), ptx=ptx) if codes else None


def _rows(table: str) -> list[dict[str, str]]:
    text = (_DATA / f"{table}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _image(row: Mapping[str, str]) -> CatalogueImage:
    python = major_minor(row["python"])
    return CatalogueImage(
        tag=row["tag"],
        python=f"{python[0]}.{python[1]}" if python else None,
        ubuntu=row["ubuntu"] or None,
        cuda=major_minor(row["cuda"]),
        torch=major_minor(row["torch"]),
        machines=("amd64", "arm64") if row["arm64"] else ("amd64",),
        kernels=_kernels(row["compute_capabilities"]),
        datacenter_branches=tuple(
            int(branch.partition(".")[0])
            for branch in row["min_driver_datacenter"].split("|")
            if branch
        ),
    )


def _system(row: Mapping[str, str]) -> SystemImage:
    return SystemImage(
        reference=row["image"],
        family=msgspec.convert(row["family"], BaseFamily),
        os=row["os"],
        python=row["python"],
        glibc=major_minor(row["glibc"]) or (0, 0),
        cuda=major_minor(row["cuda"]),
    )


def _own_path(image: SystemImage) -> str:
    """Return a name without its registry: ``nvidia/cuda:13.0.2-runtime-ubuntu24.04``."""
    ref = ImageRef.parse(image.reference)
    return f"{ref.path}:{ref.tag}"


def _kernels(cell: str) -> Mapping[str, Kernels] | None:
    """Read ``7.5+``, which holds for every machine, or ``arch:…``, each of which holds for one."""
    if not cell:
        return None
    if ":" in cell:
        each = (part.partition(":") for part in cell.split(";"))
        read = ((_ONE_MACHINE[machine], read_kernels(listed)) for machine, _, listed in each)
        return {machine: kernels for machine, kernels in read if kernels}
    lowest = Kernels(at_least=major_minor(cell))
    return {"amd64": lowest, "arm64": lowest}


def _cuda(row: Mapping[str, str]) -> CudaRelease:
    return CudaRelease(
        cuda=major_minor(row["cuda"]) or (0, 0),
        driver=numbers(row["min_linux_driver"]),
        lowest_driver=numbers(row["minor_compat_min_driver"]) or (),
    )


def _torch(row: Mapping[str, str]) -> TorchRelease:
    return TorchRelease(
        version=row["torch"],
        cuda=major_minor(row["pypi_cuda"]),
        kernels=read_kernels(row["sm_list"]),
    )


def _architecture(row: Mapping[str, str]) -> Architecture:
    return Architecture(
        capability=major_minor(row["capability"]) or (0, 0),
        first_cuda=major_minor(row["first_cuda"]),
        dropped_in=major_minor(row["dropped_in"]),
        last_branch=int(row["last_branch"]) if row["last_branch"] else None,
    )


def _branches(cell: str) -> tuple[range, ...]:
    """Read ``535|570`` or ``535-610``, both ends included."""
    ends = (part.partition("-") for part in cell.split("|") if part)
    return tuple(range(int(first), int(last or first) + 1) for first, _, last in ends)
