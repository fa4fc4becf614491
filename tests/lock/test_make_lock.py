from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.lock.make_lock import list_sources, name_environment
from snapenv.model.python import Interpreter, Torch
from snapenv.model.wheels import FromBase, Pinned, Vendored, VendoredWheel
from tests.samples import EXACT_BASE, sample_distribution, sample_environment, sample_wheel

if TYPE_CHECKING:
    from snapenv.model.snapshot import Base
    from snapenv.model.wheels import Locked


def name(*, torch: Torch | None = None, ultralytics: str | None = None, level: str = "base") -> str:
    packages = [sample_distribution("ultralytics", ultralytics)] if ultralytics else []
    environment = sample_environment(torch=torch, distributions=packages)
    return str(name_environment(environment, purpose="train", level=level))


def test_ultralytics_names_the_framework_and_torch_the_compute() -> None:
    torch = Torch(version="2.1.0+cu118", cuda="11.8")

    assert name(torch=torch, ultralytics="8.4.190", level="amp") == "train-yolov8.4.190-amp-cu118"


def test_without_ultralytics_torch_names_the_framework() -> None:
    assert name(torch=Torch(version="2.6.0+debian")) == "train-torch2.6.0_debian-base-cpu"


def test_without_torch_python_names_it() -> None:
    assert name() == "train-py3.11-base-cpu"


def test_a_level_that_cannot_stand_in_a_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="tag") as caught:
        name(level="a-b")

    assert str(caught.value) == wording(
        "'train-py3.11-a-b-cpu' is not a tag of the form purpose-framework-level-compute"
    )


NUMPY, UV = sample_wheel("numpy", "2.4.6"), sample_wheel("uv", "0.9.3")
OURS = Vendored(wheel=VendoredWheel(file="vendor/ours-1-py3-none-any.whl", sha256="0" * 64))


PYTHON = "github.com: Python 3.11.7, if it is not installed,"


def told(*others: Locked, base: Base = EXACT_BASE, travels: bool = False) -> list[str]:
    file = f"vendor/{NUMPY.filename}" if travels else None
    packages = (Pinned(wheel=NUMPY, proof="record", file=file), FromBase(), Vendored(), *others)
    python = Interpreter(implementation="cpython", version="3.11.7")
    found = list_sources(base, packages, [UV], python=python, travels=travels)
    assert all(source.when_gone for source in found)
    return [f"{source.place}: {source.holds}" for source in found]


def test_each_host_of_wheels_is_named_with_what_it_holds_and_the_registry_of_the_base() -> None:
    assert told() == [
        "files.example.com: 2 wheels, 2.0 MB",
        PYTHON,
        wording("nvcr.io: the base image nvcr.io/nvidia/pytorch:25.10-py3"),
    ]


def test_what_no_index_has_lies_in_the_snapshot() -> None:
    assert told(OURS)[1] == "vendor/: 1 wheel"


def test_where_all_travel_no_host_is_needed_but_that_of_the_base() -> None:
    assert told(OURS, travels=True) == [
        "vendor/: 3 wheels",
        PYTHON,
        wording("nvcr.io: the base image nvcr.io/nvidia/pytorch:25.10-py3"),
    ]


def test_where_the_base_has_the_packages_it_has_the_python_too() -> None:
    assert PYTHON not in told(base=replace(EXACT_BASE, site_packages="inherited"))
