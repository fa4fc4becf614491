from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import Cuda
from snapenv.model.hardware import DriverFault
from snapenv.verify.device import check_device
from tests.samples import sample_fingerprint, sample_hardware
from tests.steady import steady

if TYPE_CHECKING:
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.hardware import Hardware

GPU = sample_hardware()
NONE = sample_hardware(driver=None)
NO_GPUS = replace(GPU, gpus=())
UNLOADED = DriverFault(error="Driver Not Loaded")
LOADED = replace(UNLOADED, error="Driver/library version mismatch", kernel_module="580.95.05")


def on_cpu(error: str | None = None, **changed: str | None) -> Fingerprint:
    cuda = replace(Cuda(available=False, built_for="13.0", error=error), **changed)
    return replace(sample_fingerprint(device="cpu"), cuda=cuda)


def test_a_training_on_a_gpu_or_where_there_is_none_leaves_nothing_unused() -> None:
    trained = replace(sample_fingerprint(), cuda=Cuda(available=True, built_for="13.0"))

    assert check_device(trained, [GPU]) is None
    assert check_device(on_cpu("Found no NVIDIA driver"), [NONE, NONE]) is None


def test_a_training_that_was_told_to_use_the_cpu_leaves_nothing_unused() -> None:
    assert check_device(sample_fingerprint(device="cpu"), [GPU]) is None


@pytest.mark.parametrize("hardware", [[GPU], [NONE, GPU], [GPU, NONE]])
@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("Error 802: system not yet initialized", "nvidia-fabricmanager"),
        ("Error 803: system has unsupported display driver", "Reboot"),
        ("Error 804: forward compatibility was attempted", "compat off LD_LIBRARY_PATH"),
        ("Found no NVIDIA driver on your system", "libnvidia-compute"),
        ("something new", "torch.cuda.init()"),
        (None, "torch.cuda.init()"),
    ],
)
def test_a_gpu_that_is_not_used_is_a_no_in_torchs_own_words(
    error: str | None, fix: str, hardware: list[Hardware]
) -> None:
    check = check_device(on_cpu(error), hardware)

    assert check
    assert (check.id, check.fails, check.part) == ("gpu.used", True, "host")
    assert check.expected == f"training on {GPU.gpus[0].name}"
    assert (error or "torch.cuda.is_available() is False") in check.actual
    assert fix in (check.fix or "")
    assert (check.fix or "").endswith("Or use --device cpu.")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            (
                "Unexpected error from cudaGetDeviceCount(). Did you run some functions before? "
                "Error 802: system not yet initialized"
            ),
            "Error 802: system not yet initialized",
        ),
        (
            (
                "Found no NVIDIA driver on your system. Please check that you have a GPU and "
                "installed a driver from http://www.nvidia.com/Download/index.aspx"
            ),
            "Found no NVIDIA driver on your system",
        ),
    ],
)
def test_of_what_torch_says_the_error_itself_is_told(error: str, told: str) -> None:
    check = check_device(on_cpu(error), [GPU])

    assert check
    assert steady(check.actual, told=told) == wording("it trained on the CPU: TOLD")


@pytest.mark.parametrize("visible", ["", "-1", "7"])
def test_a_variable_that_hides_the_gpu_is_named(visible: str) -> None:
    check = check_device(on_cpu("No CUDA GPUs are available", visible=visible), [GPU])

    assert check
    assert check.actual == (
        f"it trained on the CPU: No CUDA GPUs are available, with CUDA_VISIBLE_DEVICES={visible!r}"
    )
    assert "Unset CUDA_VISIBLE_DEVICES" in (check.fix or "")


@pytest.mark.parametrize(
    ("fault", "severity"), [(LOADED, "error"), (UNLOADED, "warning")], ids=["loaded", "not loaded"]
)
def test_a_driver_that_does_not_answer_is_told_and_a_no_where_it_is_loaded(
    fault: DriverFault, severity: str
) -> None:
    check = check_device(on_cpu("Error 3: x"), [NONE, replace(NO_GPUS, driver_fault=fault)])

    assert check
    assert (check.ok, check.severity) == (False, severity)
    assert fault.error in (check.fix or "")


def test_a_driver_that_shows_no_gpu_is_a_warning() -> None:
    check = check_device(on_cpu("No CUDA GPUs are available"), [NO_GPUS])

    assert check
    assert (check.ok, check.severity) == (False, "warning")


def test_a_torch_without_cuda_is_a_warning_that_says_so() -> None:
    check = check_device(on_cpu("Torch not compiled with CUDA enabled", built_for=None), [GPU])

    assert check
    assert (check.ok, check.severity) == (False, "warning")
    assert check.actual == wording(
        "it trained on the CPU: torch 2.11.0+cu130 is built without CUDA"
    )


def test_why_an_engine_hands_on_no_gpu_is_told() -> None:
    check = check_device(on_cpu("Found no NVIDIA driver"), [NONE], refused="nvml error: unknown")

    assert check
    assert (check.severity, check.actual) == (
        "warning",
        wording("it trained on the CPU: nvml error: unknown"),
    )
