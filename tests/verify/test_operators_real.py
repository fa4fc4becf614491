"""The operators of the smoke-train on a real torch: what repeats, what is seen, what stays."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.travel.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.exact

# Torch is imported once; each attempt is a child of its own.
TRY = """
import json, os, sys; sys.path.insert(0, {program!r})
import torch
from snapenv_train import operators as program, surroundings
for line in sys.stdin:
    before, after = json.loads(line)
    child = os.fork()
    if not child:
        exec(before)
        surroundings.settle_arithmetic()
        told = program.fingerprint_operators("cpu")
        exec(after)
        print(json.dumps(told), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print("null", flush=True)
"""
STATE = """
import hashlib
def state():
    return [
        hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        str(torch.get_default_dtype()),
        torch.is_grad_enabled(),
    ]
"""

WRONG_PRODUCT = """
original = torch.Tensor.__matmul__
torch.Tensor.__matmul__ = lambda self, other: original(self, other) * 1.0000001
"""
LOST_BOX = """
import torchvision; original = torchvision.ops.nms
torchvision.ops.nms = lambda *words: original(*words)[:-1]
"""
WRONG_NORM = """
original = torch.nn.functional.batch_norm
torch.nn.functional.batch_norm = lambda *words, **more: original(*words, **more) * 1.0000001
"""
FAULTS = (
    (WRONG_PRODUCT, "matmul fp32"),
    (LOST_BOX, "nms fp32"),
    (WRONG_NORM, "reduction fp32"),
)


@pytest.fixture(scope="module")
def attempt(
    exact_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Any]]:
    """Run the operators with code before and after; give what they tell."""
    program = tmp_path_factory.mktemp("program") / "smoke_train.pyz"
    program.write_bytes(pack("snapenv_train"))
    words = (str(exact_python), "-B", "-c", TRY.format(program=str(program)))
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin
        assert process.stdout
        asked, told = process.stdin, process.stdout

        def run(before: str = "", after: str = "") -> Any:  # noqa: ANN401
            asked.write(json.dumps([before, after]) + "\n")
            answer = json.loads(told.readline())
            assert answer is not None
            return answer

        yield run
        asked.close()


@pytest.fixture(scope="module")
def reference(attempt: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    return {operator["name"]: operator for operator in attempt()}


def test_operators_repeat_bit_for_bit_whatever_was_drawn_before(
    reference: dict[str, dict[str, Any]], attempt: Callable[..., Any]
) -> None:
    again = attempt(before="torch.manual_seed(7); torch.rand(100)")

    assert {operator["name"]: operator for operator in again} == reference
    assert not [operator for operator in again if "error" in operator]
    assert len({operator["sha256"] for operator in again}) == len(again) == 7


def test_operators_leave_torch_as_it_was(attempt: Callable[..., Any]) -> None:
    began = f"{STATE}\nsurroundings.settle_arithmetic()\nbefore = state()"

    before, after = attempt(before=began, after="told = [before, state()]")

    assert before == after


def test_switches_for_tf32_are_put_back_after_each_operator(attempt: Callable[..., Any]) -> None:
    inside = """
seen = [state()[1:4]]
for allowed in (True, False):
    with program._tf32(allowed=allowed):
        seen.append(state()[1:4])
    seen.append(state()[1:4])
told = seen
"""

    seen = attempt(before=STATE, after=inside)

    off, on = ["highest", False, False], ["high", True, True]
    assert seen == [off, on, off, off, off]


def test_bf16_is_near_fp32_and_not_the_same(reference: dict[str, dict[str, Any]]) -> None:
    for family in ("matmul", "convolution", "reduction"):
        exact, rough = (reference[f"{family} {numbers}"] for numbers in ("fp32", "bf16"))
        values = [
            [float.fromhex(value) for value in operator["values"]] for operator in (exact, rough)
        ]

        assert exact["sha256"] != rough["sha256"]
        assert values[1][1:3] == pytest.approx(values[0][1:3], rel=1e-2)
        assert values[1] != values[0]


@pytest.mark.parametrize(("fault", "family"), FAULTS, ids=["matmul", "nms", "reduction"])
def test_a_difference_points_to_its_family(
    fault: str, family: str, reference: dict[str, dict[str, Any]], attempt: Callable[..., Any]
) -> None:
    seen = attempt(before=fault)

    assert [operator["name"] for operator in seen if operator != reference[operator["name"]]] == [
        family
    ]


def test_an_operator_that_fails_says_why_and_the_others_are_tried(
    reference: dict[str, dict[str, Any]], attempt: Callable[..., Any]
) -> None:
    seen = attempt(before="import sys; sys.modules['torchvision'] = None")

    failed = [operator for operator in seen if "error" in operator]
    assert [(operator["name"], sorted(operator)) for operator in failed] == [
        ("nms fp32", ["error", "name"])
    ]
    assert failed[0]["error"].startswith("ModuleNotFoundError: ")
    assert [operator for operator in seen if "error" not in operator] == [
        operator for operator in reference.values() if operator["name"] != "nms fp32"
    ]


def test_a_result_that_is_no_number_is_an_error(attempt: Callable[..., Any]) -> None:
    seen = attempt(before="torch.Tensor.__matmul__ = lambda self, other: self * float('nan')")

    errors = {operator["name"]: operator["error"] for operator in seen if "error" in operator}
    assert errors == dict.fromkeys(
        ("matmul fp32", "matmul bf16"), "ArithmeticError: the result is not finite"
    )
