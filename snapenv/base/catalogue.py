"""NVIDIA's PyTorch images as they were known on 2026-11-21.

``catalogue.csv`` has a row for each release; an empty cell is unknown, never a guess, and
``source`` says where a row comes from (``index:N`` is a public file known by number only).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib.resources import files

REPOSITORY = "nvcr.io/nvidia/pytorch"


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueImage:
    """One release; None is unknown."""

    tag: str  # "25.01-py3"
    python: str | None  # "3.12"
    cuda: tuple[int, int] | None  # (major, minor)
    torch: tuple[int, int] | None  # (major, minor)

    @property
    def reference(self) -> str:
        """The image's name in NVIDIA's registry."""
        return f"{REPOSITORY}:{self.tag}"


def load_catalogue() -> tuple[CatalogueImage, ...]:
    """Read the catalogue that came with snapenv, oldest release first."""
    text = files("snapenv.base").joinpath("catalogue.csv").read_text(encoding="utf-8")
    return tuple(
        CatalogueImage(
            tag=row["tag"],
            python=_minor(row["python"]),
            cuda=major_minor(row["cuda"]),
            torch=major_minor(row["torch"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


def major_minor(version: str) -> tuple[int, int] | None:
    """Read the first two numbers of a version, or None where it does not begin with them."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def _minor(version: str) -> str | None:
    found = major_minor(version)
    return f"{found[0]}.{found[1]}" if found else None
