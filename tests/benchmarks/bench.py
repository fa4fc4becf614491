"""What the parts of the benchmarks share: how often, where, and the real parts that several use."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from snapenv.index.wheels import IndexWheels
from tests.benchmarks.everyday import make_everyday
from tests.benchmarks.measure import Work, by_turns
from tests.benchmarks.results import Table, make_row
from tests.engines.engine import start_engine
from tests.engines.exact import make_exact
from tests.engines.place import Place, call
from tests.engines.registry import start_registry
from tests.engines.small_base import push_small_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

SNAPENV = (sys.executable, "-m", "snapenv")
UV = uv.find_uv_bin()


@dataclass
class Bench:
    """One run of the benchmarks; ``folder`` goes when it ends."""

    folder: Path
    asked_rounds: int | None = None
    large: bool = False
    versions: dict[str, str] = field(default_factory=dict)  # of what was measured
    place: Place = field(default_factory=Place.default)

    def rounds(self, usual: int) -> int:
        return self.asked_rounds or usual

    def table(
        self,
        title: str,
        works: Sequence[Work],
        *,
        rounds: int,
        against: str | None = None,
        warm: bool = True,
    ) -> Table:
        """Run works by turns; ``warm`` is whether a round that is not counted comes first."""
        costs = by_turns(works, rounds=self.rounds(rounds), warm=warm)
        rows = tuple(make_row(name, found) for name, found in costs.items())
        return Table(title=title, rows=rows, against=against)

    def each(self, *steps: Callable[[], Iterable[Table]]) -> Iterator[Table]:
        """Yield what each step finds; one that fails keeps no other back.

        Raises:
            RuntimeError: One has failed, after all.
        """
        failed = 0
        for step in steps:
            try:
                yield from step()
            except Exception:  # noqa: BLE001, PERF203 - whatever it is, the others go on
                traceback.print_exc()
                failed += 1
        if failed:
            raise RuntimeError(f"{failed} of {len(steps)} tables could not be measured")

    @cached_property
    def exact(self) -> str:
        """The Python of an environment with torch and ultralytics."""
        return str(make_exact(self.place))

    @cached_property
    def everyday(self) -> str:
        """The Python of an environment of 378 packages."""
        return str(make_everyday(self.place))

    @cached_property
    def engine(self) -> str:
        """The address of the tests' own engine, which programs find in DOCKER_HOST from now on."""
        os.environ["DOCKER_HOST"] = start_engine(self.place)
        return os.environ["DOCKER_HOST"]

    @cached_property
    def registry(self) -> str:
        return start_registry(self.place)

    @cached_property
    def base(self) -> str:
        """A base image in the registry, without torch."""
        return push_small_base(self.place, engine=self.engine, registry=self.registry)

    def tool(self, name: str, *packages: str) -> Path:
        """Return a program of PyPI, installed into an environment of its own and kept there."""
        folder = self.place.folder / "tools" / name
        program = folder / "bin" / name
        if not program.exists():
            shutil.rmtree(folder, ignore_errors=True)
            call(UV, "venv", "--quiet", "--no-config", "--python", "3.11", str(folder))
            install = (UV, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"))
            index = IndexWheels(None).variables()
            call(*install, *(packages or (name,)), environment=index)
        self.versions[name] = installed_version(folder, name)
        return program


def installed_version(folder: Path, name: str) -> str:
    """Return the version of a distribution in an environment."""
    stem = name.replace("-", "_")
    (info,) = folder.glob(f"lib/python*/site-packages/{stem}-*.dist-info")
    return info.name.removeprefix(f"{stem}-").removesuffix(".dist-info")


def forget(*paths: Path) -> None:
    """Remove what a run before has left."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def home_of(folder: Path) -> Mapping[str, str]:
    """Return variables that lead all caches and states into one folder."""
    return {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
        "SNAPENV_SAMPLE_INTERVAL": "0",
    }
