from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.machine import THIS_MACHINE, describe_machine
from tests.preflight.hosts import (
    A100,
    ARM28,
    B200,
    BARE28,
    CDI28,
    E28,
    FAR,
    GB10,
    GTX1080,
    H200,
    JETSON,
    NOTHING,
    ORIN,
    RTX4090,
    RTX5090,
    T4,
    UNKNOWN,
    V100,
    WSL,
    host,
    spec,
)

if TYPE_CHECKING:
    from snapenv.model.hardware import Gpu
    from snapenv.model.host import GpuPlumbing, HostEngine

KNOWN = load_catalogue()
PYTORCH = "nvcr.io/nvidia/pytorch"


def test_a_newcomer_is_told_what_a_machine_is_and_runs() -> None:
    machine = host(H200, "580.95.05", replace(E28, free_bytes=123_400_000_000))

    assert describe_machine(machine, KNOWN).lines == wording(
        (
            "NVIDIA H200, 141 GiB, compute capability 9.0",
            "driver 580.95.05 serves CUDA 13.0",
            "newest NVIDIA PyTorch image that runs here: nvcr.io/nvidia/pytorch:26.09-py3",
            "torch builds that run here: cu118, cu126, cu128, cu130, cu132",
            "containers get the GPU by NVIDIA's container toolkit 1.17.8",
            "123.4 GB free for images",
        )
    )


def test_a_machine_without_a_gpu_runs_what_there_is_on_its_cpu() -> None:
    report = describe_machine(host(plumbing=UNKNOWN), KNOWN)

    assert report.lines == wording(
        (
            "no NVIDIA GPU: everything here trains on the CPU",
            "newest NVIDIA PyTorch image that runs here: nvcr.io/nvidia/pytorch:26.09-py3",
            "200.0 GB free for images",
        )
    )


@pytest.mark.parametrize(
    ("gpu", "driver", "image", "builds"),
    [
        (RTX4090, "580.95.05", "26.09-py3", "cu118 cu126 cu128 cu130 cu132"),
        (RTX4090, "570.124.06", "25.06-py3", "cu118 cu126 cu128"),
        (RTX4090, "535.183.01", "25.06-py3", "cu118 cu126 cu128"),
        (RTX4090, "470.82.01", "22.12-py3", "cu118"),
        (A100, "535.183.01", "26.09-py3", "cu118 cu126 cu128"),  # images bring cuda-compat
        (RTX5090, "580.95.05", "26.09-py3", "cu128 cu130 cu132"),
        (B200, "580.95.05", "26.09-py3", "cu128 cu130 cu132"),
        (V100, "580.95.05", "25.06-py3", "cu118 cu126 cu128"),
        (T4, "580.95.05", "26.09-py3", "cu118 cu126 cu128 cu130 cu132"),
        (GTX1080, "580.95.05", "25.06-py3", "cu118 cu126"),
    ],
)
def test_what_runs_follows_from_driver_and_gpu(
    gpu: Gpu, driver: str, image: str, builds: str
) -> None:
    report = describe_machine(host(gpu, driver), KNOWN)

    assert report.machine.image == f"{PYTORCH}:{image}"
    assert report.machine.torch_builds == tuple(builds.split())


def test_every_gpu_of_a_machine_must_run_what_is_named() -> None:
    report = describe_machine(host((RTX5090, GTX1080), "580.95.05"), KNOWN)

    assert report.machine.torch_builds == ()
    assert "torch builds that run here: none is known" in report.lines


def test_a_driver_that_is_too_old_for_everything_is_told_so() -> None:
    report = describe_machine(host(GTX1080, "390.157"), KNOWN)

    assert report.machine.cuda == "9.1"
    assert report.machine.torch_builds == ()


def test_on_arm64_only_images_are_named_that_are_known_to_exist_for_it() -> None:
    report = describe_machine(host(GB10, "580.95.05", ARM28), KNOWN)

    assert report.machine.image == f"{PYTORCH}:26.07-py3"
    assert report.machine.torch_builds == ("cu128", "cu130", "cu132")


def test_a_jetson_is_promised_none_of_torch_s_own_builds() -> None:
    report = describe_machine(host(ORIN, "540.4.0", ARM28, JETSON), KNOWN)

    assert report.machine.torch_builds == ()


@pytest.mark.parametrize(
    ("engine", "plumbing", "way"),
    [
        (CDI28, spec("580.95.05"), "CDI"),
        (E28, NOTHING, "NVIDIA's runtime"),
        (BARE28, NOTHING, None),
        (None, NOTHING, None),
        (FAR, NOTHING, None),
    ],
)
def test_the_way_of_the_gpu_into_a_container_is_named(
    engine: HostEngine | None, plumbing: GpuPlumbing, way: str | None
) -> None:
    machine = replace(host(A100, "580.95.05"), engine=engine, plumbing=plumbing)

    assert describe_machine(machine, KNOWN).machine.containers == way


def test_without_a_way_into_containers_the_checks_say_what_to_do() -> None:
    report = describe_machine(host(A100, "580.95.05", BARE28, NOTHING), KNOWN)

    assert "containers get the GPU by nothing yet: see the checks" in report.lines
    assert [check.id for check in report.checks if check.fails] == ["gpu.plumbing"]


def test_of_containers_nothing_is_said_to_someone_who_wants_a_venv() -> None:
    machine = host(A100, "580.95.05", BARE28, NOTHING)

    report = describe_machine(machine, KNOWN, needs=replace(THIS_MACHINE, builds=False, venv=True))

    assert not [line for line in report.lines if "container" in line]
    assert [check.id for check in report.checks if check.fails] == []


def test_the_checks_are_those_that_need_no_environment() -> None:
    report = describe_machine(host(RTX4090, "580.95.05", E28, WSL), KNOWN)

    assert [check.id for check in report.checks] == [
        "engine",
        "engine.api",
        "engine.buildkit",
        "driver.mismatch",
        "gpu.wsl",
        "gpu.present",
        "gpu.plumbing",
    ]
