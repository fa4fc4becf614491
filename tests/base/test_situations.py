"""The table of situations: what was captured, the base that it gets, and what is warned of."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.base.choose import choose_base
from snapenv.model.hardware import Driver, Gpu
from snapenv.model.python import Torch
from snapenv.nvidia.catalogue import REPOSITORY, load_catalogue
from snapenv.preflight.captured import check_captured
from tests.samples import (
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_hardware,
)

if TYPE_CHECKING:
    from snapenv.model.facts import Facts

CATALOGUE = load_catalogue()
GPUS = {
    "V100": ("Tesla V100-SXM2-32GB", (7, 0)),
    "GTX 1080 Ti": ("NVIDIA GeForce GTX 1080 Ti", (6, 1)),
    "T4": ("Tesla T4", (7, 5)),
    "A100": ("NVIDIA A100-SXM4-80GB", (8, 0)),
    "A10": ("NVIDIA A10", (8, 6)),
    "A10G": ("NVIDIA A10G", (8, 6)),
    "RTX A6000": ("NVIDIA RTX A6000", (8, 6)),
    "L4": ("NVIDIA L4", (8, 9)),
    "L40S": ("NVIDIA L40S", (8, 9)),
    "H100": ("NVIDIA H100 80GB HBM3", (9, 0)),
    "H200": ("NVIDIA H200", (9, 0)),
    "RTX 3060": ("NVIDIA GeForce RTX 3060", (8, 6)),
    "RTX 3070": ("NVIDIA GeForce RTX 3070", (8, 6)),
    "RTX 3080": ("NVIDIA GeForce RTX 3080", (8, 6)),
    "RTX 3090": ("NVIDIA GeForce RTX 3090", (8, 6)),
    "RTX 4070": ("NVIDIA GeForce RTX 4070", (8, 9)),
    "RTX 4090": ("NVIDIA GeForce RTX 4090", (8, 9)),
    "RTX 5070": ("NVIDIA GeForce RTX 5070", (12, 0)),
    "RTX 5080": ("NVIDIA GeForce RTX 5080", (12, 0)),
    "RTX 5090": ("NVIDIA GeForce RTX 5090", (12, 0)),
    "RTX PRO 6000": ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", (12, 0)),
    "B200": ("NVIDIA B200", (10, 0)),
    "B300": ("NVIDIA B300 SXM6 AC", (10, 3)),
    "GH200": ("NVIDIA GH200 480GB", (9, 0)),
    "GB200": ("NVIDIA GB200", (10, 0)),
    "GB10": ("NVIDIA GB10", (12, 1)),
    "Thor": ("NVIDIA Thor", (11, 0)),
    "Orin": ("Orin (nvgpu)", (8, 7)),
}
ARM64 = {"GH200", "GB200", "GB10", "Thor", "Orin", "arm64"}


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One row of the table, as its cells are."""

    gpus: tuple[str, ...]
    driver: str
    python: str
    torch: str
    inside: str
    base: str
    warning: str
    why: str


def read_situations() -> list[Situation]:
    text = Path(__file__).with_name("situations.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    found = []
    for row in rows:
        gpus, *cells = (cell.strip() for cell in row[1:-1].split("|"))
        names = ("driver", "python", "torch", "inside", "base", "warning", "why")
        given = dict(zip(names, cells, strict=True))
        found.append(Situation(gpus=tuple(gpus.split(", ")), **given))
    return found


def captured(situation: Situation) -> Facts:
    hardware = sample_hardware(driver=_driver(situation.driver))
    machine = "aarch64" if ARM64 & {*situation.gpus} else "x86_64"
    hardware = replace(
        hardware,
        system=replace(hardware.system, machine=machine),
        gpus=tuple(
            Gpu(name=GPUS[gpu][0], memory_mib=16_384, compute_capability=GPUS[gpu][1])
            for gpu in situation.gpus
            if gpu in GPUS
        ),
    )
    own = situation.inside and not situation.torch
    environment = sample_environment(
        python=situation.python,
        torch=_torch(situation.torch) if not own else Torch(version="2.0.0a0", cuda=None),
        distributions=sample_distributions(torch="base") if own else sample_distributions(),
    )
    image = {"NVIDIA_PYTORCH_VERSION": situation.inside} if situation.inside else None
    return sample_facts(hardware=hardware, environment=environment, image=image)


def _driver(cell: str) -> Driver | None:
    found = re.fullmatch(r"(\S+) \((\d+)\.(\d+)\)", cell)
    return Driver(version=found[1], cuda=(int(found[2]), int(found[3]))) if found else None


def _torch(cell: str) -> Torch | None:
    version, _, cuda = cell.partition(" ")
    local = re.search(r"\+cu(\d+)(\d)$", version)
    named = f"{local[1]}.{local[2]}" if local else cuda.strip("()") or None
    return None if cell == "none" else Torch(version=version, cuda=named)


def _image(cell: str) -> str:
    """Return the image of a release, ``25.05-igpu`` or ``r36.4.3``."""
    if cell.startswith("r"):
        return f"nvcr.io/nvidia/l4t-jetpack:{cell}"
    release, _, kind = cell.partition("-")
    return f"{REPOSITORY}:{release}-py3{f'-{kind}' if kind else ''}"


SITUATIONS = read_situations()


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: f"{one.gpus} {one.why}")
def test_a_situation_gets_its_base_and_its_warning(situation: Situation) -> None:
    facts = captured(situation)
    base = choose_base(facts, CATALOGUE)
    checks = check_captured(facts, CATALOGUE, site_packages=base.site_packages)

    assert base.image == _image(situation.base)
    told = (*base.warnings, *(check.id for check in checks if not check.ok))
    assert bool(told) == bool(situation.warning), told
    assert any(situation.warning in warning for warning in told) or not told


def test_the_table_covers_what_is_out_there() -> None:
    assert len(SITUATIONS) >= 60
    assert {gpu for one in SITUATIONS for gpu in one.gpus} >= {*GPUS}
    assert all(one.why.endswith(".") for one in SITUATIONS)


def test_no_situation_stands_twice() -> None:
    told = [dataclasses.replace(one, base="", warning="", why="") for one in SITUATIONS]

    assert len({*told}) == len(told)
