"""One question that NVML refuses, or one GPU that is lost, costs that answer and no other.

One process makes the look again and again, each time with other variables for the library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pynvml
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.travel.pack import PROGRAMS
from tests.probe.environments import compile_library
from tests.probe.nvml import NVML, QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Look = Callable[..., dict[str, Any]]

SERVE = """
import json, os, sys
sys.path[:0] = sys.argv[1:]
import pynvml
sys.modules["snapenv_pynvml"] = pynvml  # compiled once
from snapenv_probe import gpus, nvidia_driver
for line in sys.stdin:
    kept = dict(os.environ)
    os.environ.update(json.loads(line))
    silence_s = float(os.environ.pop("SILENCE_S"))
    seen = nvidia_driver.Driver(states=True, silence_s=silence_s).answer()
    print(json.dumps(seen), flush=True)
    os.environ.clear()
    os.environ.update(kept)
"""
GPUS = ("NVIDIA H200", "NVIDIA L4", "NVIDIA L4", "NVIDIA L4")
MODEST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """Yield a function that looks at four GPUs, of which MIG divides the first."""
    folder = tmp_path_factory.mktemp("nvml")
    compile_library(folder / "libnvidia-ml.so.1", NVML)
    paths = (str(PROGRAMS), str(Path(pynvml.__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", SERVE, *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
    ) as process:

        def ask(*, silence_s: float = 60, **variables: str) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            known = {"STUB_GPUS": "4", "STUB_MIG": "1", "STUB_UUIDS": "1"}
            limit = {"SILENCE_S": str(silence_s)}
            process.stdin.write(json.dumps({**known, **limit, **variables}) + "\n")
            process.stdin.flush()
            seen: dict[str, Any] = json.loads(process.stdout.readline())
            return seen

        yield ask
        process.stdin.close()  # type: ignore[union-attr]


def spaced(words: set[Any]) -> str:
    return f" {' '.join(map(str, sorted(words)))} "


NEEDED = {
    "name": {"Name"},
    "memory_mib": {"Memory"},
    "compute_capability": {"Capability"},
    "sm_count": {"Cores", "Capability"},
    "ecc": {"Ecc"},
    "mig": {"MigMode"},
    "mig_devices": {"Name"},
    "power_limit_w": {"Power"},
}
"""What is asked for each part of a GPU."""

REFUSALS = st.sampled_from(["1", "3", "4", "13", "999"])  # nvmlReturn_t


@MODEST
@given(refused=st.sets(st.sampled_from(QUESTIONS)), code=REFUSALS)
def test_what_is_refused_is_unknown_and_all_else_stays(
    look: Look, refused: set[str], code: str
) -> None:
    full, seen = look(), look(STUB_REFUSE=spaced(refused), STUB_CODE=code)

    silent = {"Name", "Capability"} <= refused
    assert len(seen["gpu_faults"]) == (len(GPUS) if silent else 0)
    assert len(seen["gpus"]) == (0 if silent else len(GPUS))
    for gpu, told in zip(seen["gpus"], full["gpus"], strict=False):
        lacking = {key for key, needed in NEEDED.items() if needed & refused}
        assert gpu == {**told, **{key: gpu[key] for key in lacking}}
        assert len(gpu["mig_devices"]) == len(told["mig_devices"])
    if not refused & {"DriverVersion", "CudaVersion"}:
        assert seen["driver"] == full["driver"]
    assert "driver_fault" not in seen


@MODEST
@given(
    lost=st.sets(st.integers(0, 3)),
    variable=st.sampled_from(["STUB_LOST", "STUB_CRASH_AT"]),
)
def test_a_gpu_that_is_lost_or_crashes_nvml_is_told_and_the_others_count(
    look: Look, lost: set[int], variable: str
) -> None:
    seen = look(**{variable: spaced(lost)})

    assert seen["driver"]["version"] == "550.54.15"
    assert "driver_fault" not in seen
    assert {fault["number"] for fault in seen["gpu_faults"]} == lost
    assert {fault["error"] for fault in seen["gpu_faults"]} <= {
        "GPU is lost",
        "NVML crashed with SIGABRT",
    }
    others = [number for number in range(4) if number not in lost]
    assert [gpu["name"] for gpu in seen["gpus"]] == [GPUS[number] for number in others]
    assert [state["number"] for state in seen["gpu_states"]] == others


def test_a_gpu_at_which_nvml_hangs_costs_that_gpu_alone(look: Look) -> None:
    seen = look(STUB_HANG_AT=" 1 ", silence_s=5)  # the others answer within that

    assert [gpu["name"] for gpu in seen["gpus"]] == [GPUS[0], *GPUS[2:]]
    assert seen["gpu_faults"] == [{"number": 1, "error": wording("NVML gave no answer within 5 s")}]


@pytest.mark.parametrize(
    ("variables", "kind", "error"),
    [
        ({"STUB_CRASH": "1"}, "crash", wording("NVML crashed with SIGABRT")),
        ({"STUB_HANG": "1"}, "hang", wording("NVML gave no answer within 1 s")),
        ({"STUB_ERROR": "18"}, None, "Driver/library version mismatch"),
        ({"STUB_ERROR": "4"}, None, "Insufficient Permissions"),
    ],
)
def test_a_driver_that_does_not_answer_says_in_which_way(
    look: Look, variables: dict[str, str], kind: str | None, error: str
) -> None:
    silence_s = 0.6 if kind == "hang" else 60
    seen = look(silence_s=silence_s, **variables)

    assert "driver" not in seen
    assert seen["gpus"] == seen["gpu_faults"] == []
    assert (seen["driver_fault"].get("kind"), seen["driver_fault"]["error"]) == (kind, error)


WITHOUT = """
import json, sys
sys.path[:0] = sys.argv[1:]
from snapenv_probe import nvidia_driver
nvidia_driver._NODES = ("/dev/null",)
for line in sys.stdin:
    print(json.dumps(nvidia_driver._without_library(line.strip())["kind"]))
"""


def test_a_library_that_is_missing_is_told_from_one_that_does_not_load() -> None:
    errors = ("x.so.1: cannot open: No such file or directory", "x.so.1: wrong ELF class")

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", WITHOUT, str(PROGRAMS)],
        input="\n".join(errors),
        capture_output=True,
        text=True,
        check=True,
    )

    assert [json.loads(line) for line in done.stdout.splitlines()] == ["missing", "library"]


def test_a_driver_without_a_gpu_is_no_fault(look: Look) -> None:
    seen = look(STUB_GPUS="0")

    assert seen["driver"]["version"] == "550.54.15"
    assert "driver_fault" not in seen


def test_gpus_that_may_not_be_counted_leave_the_driver_known(look: Look) -> None:
    seen = look(STUB_REFUSE=" Count ", STUB_CODE="4")

    assert seen["driver"]["version"] == "550.54.15"
    assert seen["driver_fault"]["error"] == "Insufficient Permissions"


def test_what_a_gpu_is_doing_is_told_beside_it(look: Look) -> None:
    seen = look(STUB_USED_GIB="20", STUB_COMPUTE_MODE="2")

    first, second, *_ = seen["gpu_states"]
    assert first["mig_uuids"] == ["MIG-101", "MIG-103"]
    assert second == {
        "number": 1,
        "uuid": "GPU-2",
        "mig_uuids": [],
        "free_mib": 4096,
        "compute_mode": "prohibited",
    }
