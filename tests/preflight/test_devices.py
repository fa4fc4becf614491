"""Which GPUs count where the user named some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.model.hardware import Gpu, GpuFault, Hardware, System
from snapenv.model.host import GpuState
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
from snapenv.preflight.devices import choose
from tests.preflight.hosts import A100, CU130, MIG_EMPTY, MIG_MANY, V100, host

if TYPE_CHECKING:
    from snapenv.model.host import Host

MIG = "MIG-4b2cd5a1-6c8b-5b6c-9d64-3b1f2f6b2a10"
BOTH = host((A100, V100), "580.95.05")  # the wheel has no code for the second
MANY = host(MIG_MANY, "580.95.05")
LAST_EMPTY = host((A100, MIG_EMPTY), "580.95.05")


@pytest.mark.parametrize(
    ("there", "device", "wrong"),
    [
        (BOTH, "", ["gpu.kernels"]),
        (BOTH, "0,1", ["gpu.kernels"]),
        (BOTH, "0", []),
        (BOTH, "1", ["gpu.kernels"]),
        (BOTH, "2", ["gpu.present"]),
        (BOTH, "0,2", ["gpu.present"]),
        (BOTH, "GPU-8de47821", ["gpu.kernels"]),
        (MANY, "", ["gpu.mig-several"]),
        (MANY, MIG, []),
        (LAST_EMPTY, "0", []),
        (LAST_EMPTY, "1", ["gpu.mig"]),
    ],
)
def test_the_gpus_that_are_named_by_number_are_judged_alone(
    there: Host, device: str, wrong: list[str]
) -> None:
    named = tuple(device.split(",")) if device else ()
    needs = replace(CU130, devices=named, gpu_required=bool(named))

    found = preflight(there, needs, load_catalogue())

    assert [check.id for check in found if not check.ok] == wrong


def test_a_gpu_keeps_the_number_that_the_driver_gives_it() -> None:
    needs = replace(CU130, devices=("1",), gpu_required=True)

    (check,) = (one for one in preflight(LAST_EMPTY, needs, load_catalogue()) if not one.ok)

    assert "nvidia-smi -i 1 " in str(check.fix)


SYSTEM = System(os="ubuntu 24.04", machine="x86_64", cpu_count=8)


@st.composite
def machines(draw: st.DrawFn) -> tuple[Hardware, tuple[GpuState, ...]]:
    """Return one to five GPUs, some of which are lost, and some of which MIG divides."""
    count = draw(st.integers(1, 5))
    lost = draw(st.sets(st.integers(0, count - 1)))
    divided = draw(st.sets(st.integers(0, count - 1)))
    there = [number for number in range(count) if number not in lost]
    profiles = {number: ("1g.10gb", "2g.20gb") if number in divided else () for number in there}
    hardware = Hardware(
        system=SYSTEM,
        gpus=tuple(
            Gpu(name=f"GPU {number}", mig=bool(profiles[number]), mig_devices=profiles[number])
            for number in there
        ),
        gpu_faults=tuple(GpuFault(number=number, error="GPU is lost") for number in sorted(lost)),
    )
    states = tuple(
        GpuState(
            number=number,
            uuid=f"GPU-{number}a",
            mig_uuids=tuple(f"MIG-{number}{index}" for index in range(len(profiles[number]))),
        )
        for number in there
    )
    return hardware, states


@given(machine=machines(), number=st.integers(0, 6))
def test_a_number_names_that_gpu_alone_or_is_absent(
    machine: tuple[Hardware, tuple[GpuState, ...]], number: int
) -> None:
    hardware, states = machine
    lost = {fault.number for fault in hardware.gpu_faults}
    there = dict(hardware.numbered_gpus)

    chosen = choose((str(number),), hardware, states)

    assert dict(chosen.gpus) == {n: gpu for n, gpu in there.items() if n == number}
    assert chosen.absent == (() if number in {*lost, *there} else (str(number),))


@given(machine=machines(), data=st.data())
def test_a_uuid_names_what_its_number_names_and_of_mig_that_instance(
    machine: tuple[Hardware, tuple[GpuState, ...]], data: st.DataObject
) -> None:
    hardware, states = machine
    if not states:
        return
    state = data.draw(st.sampled_from(states))
    gpu = dict(hardware.numbered_gpus)[state.number]

    assert choose((str(state.uuid),), hardware, states) == choose(
        (str(state.number),), hardware, states
    )
    for uuid, profile in zip(state.mig_uuids, gpu.mig_devices, strict=True):
        chosen = choose((str(uuid),), hardware, states)
        assert chosen.gpus == ((state.number, replace(gpu, mig_devices=(profile,))),)


@given(machine=machines(), word=st.sampled_from(["GPU-ffff", "MIG-ffff", "odd", "gpu0"]))
def test_a_word_that_cannot_be_told_leaves_every_gpu(
    machine: tuple[Hardware, tuple[GpuState, ...]], word: str
) -> None:
    hardware, states = machine
    told = word.startswith(("GPU-", "MIG-")) and not hardware.gpu_faults

    chosen = choose((word,), hardware, states)

    assert chosen.absent == ((word,) if told else ())
    assert chosen.gpus == (() if told else hardware.numbered_gpus)
