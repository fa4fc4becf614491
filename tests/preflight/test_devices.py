"""Which GPUs count where the user named some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from snapenv.nvidia.catalogue import load_catalogue
from snapenv.preflight.checks import preflight
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
