from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.lock.sources import list_sources
from snapenv.model.python import Interpreter
from snapenv.model.wheels import FromBase, Pinned, Vendored, VendoredWheel
from tests.samples import EXACT_BASE, sample_wheel

if TYPE_CHECKING:
    from snapenv.model.snapshot import Base
    from snapenv.model.wheels import Locked

NUMPY, UV = sample_wheel("numpy", "2.4.6"), sample_wheel("uv", "0.9.3")
OURS = Vendored(wheel=VendoredWheel(file="vendor/ours-1-py3-none-any.whl", sha256="0" * 64))


PYTHON = "github.com: Python 3.11.7, if it is not installed,"


def told(*others: Locked, base: Base = EXACT_BASE, travels: bool = False) -> list[str]:
    file = f"vendor/{NUMPY.filename}" if travels else None
    packages = (Pinned(wheel=NUMPY, proof="record", file=file), FromBase(), Vendored(), *others)
    python = Interpreter(implementation="cpython", version="3.11.7")
    found = list_sources(base, packages, UV, python=python, travels=travels)
    assert all(source.when_gone for source in found)
    return [f"{source.place}: {source.holds}" for source in found]


def test_each_host_of_wheels_is_named_with_what_it_holds_and_the_registry_of_the_base() -> None:
    assert told() == [
        "files.example.com: 2 wheels, 2.0 MB",
        PYTHON,
        f"nvcr.io: the base image {EXACT_BASE.image}",
    ]


def test_what_no_index_has_lies_in_the_snapshot() -> None:
    assert told(OURS)[1] == "vendor/: 1 wheel"


def test_where_all_travel_no_host_is_needed_but_that_of_the_base() -> None:
    assert told(OURS, travels=True) == [
        "vendor/: 3 wheels",
        PYTHON,
        f"nvcr.io: the base image {EXACT_BASE.image}",
    ]


def test_where_the_base_has_the_packages_it_has_the_python_too() -> None:
    assert PYTHON not in told(base=replace(EXACT_BASE, site_packages="inherited"))
