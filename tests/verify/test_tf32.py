"""TF32 is off and told truly on a real torch, whatever switched it on before; no GPU is needed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.travel.pack import pack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.exact

# Torch is imported once, and every code runs in a child of its own.
SEE = """
import json, os, sys; sys.path.insert(0, {program!r})
import torch, snapenv_train.surroundings as tf32
def off():
    tf32.allow_tf32(allowed=False)
def see():
    seen.append([
        tf32.is_tf32_allowed(),
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.cudnn.conv.fp32_precision,
        torch.backends.cudnn.rnn.fp32_precision,
    ])
def see_old():  # these raise where they disagree with the new
    seen.append([
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
    ])
for code in json.load(sys.stdin):
    child = os.fork()
    if not child:
        seen = []
        try:
            exec(code)
        except Exception as error:
            seen = repr(error)
        print(json.dumps(seen), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
WAYS = {
    "nothing: cuDNN's are on from the start": "",
    "the old switches": """
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
""",
    "the precision of products": "torch.set_float32_matmul_precision('high')",
    "the switch above all": """
torch.backends.cudnn.allow_tf32 = False
torch.backends.fp32_precision = 'tf32'
""",
    "the switch above CUDA's": """
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.fp32_precision = 'tf32'
""",
    "each new switch": """
torch.backends.cuda.matmul.fp32_precision = 'tf32'
torch.backends.cudnn.conv.fp32_precision = 'tf32'
torch.backends.cudnn.rnn.fp32_precision = 'tf32'
""",
}
SWITCH_OFF = "see(); off(); see(); see_old()"
OFF, OFF_OLD = [False, "ieee", "ieee", "ieee"], ["highest", False, False]
ON, ON_OLD = [True, "tf32", "tf32", "tf32"], ["high", True, True]
FROM_OFF_TO_ON = "off(); tf32.allow_tf32(allowed=True); see(); see_old(); off(); see(); see_old()"
SWITCHES = ("cuda.matmul", "cudnn.conv", "cudnn.rnn")
ONE = "off(); torch.backends.{}.fp32_precision = 'tf32'; see()"


def see(python: Path, folder: Path, codes: Sequence[str]) -> list[Any]:
    """Run each code for itself; give what it saw."""
    program = folder / "smoke_train.pyz"
    program.write_bytes(pack("snapenv_train"))
    done = subprocess.run(
        (str(python), "-B", "-c", SEE.format(program=str(program))),
        input=json.dumps(list(codes)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def seen(exact_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what each code saw, by the code."""
    switched = [f"{way}\n{SWITCH_OFF}" for way in WAYS.values()]
    codes = [*switched, FROM_OFF_TO_ON, *(ONE.format(switch) for switch in SWITCHES)]
    return dict(zip(codes, see(exact_python, tmp_path_factory.mktemp("tf32"), codes), strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_tf32_is_told_and_can_be_switched_off_whatever_switched_it_on(
    way: str, seen: dict[str, Any]
) -> None:
    before, *after = seen[f"{WAYS[way]}\n{SWITCH_OFF}"]

    assert (before[0], *after) == (True, OFF, OFF_OLD)


def test_an_image_that_asks_for_tf32_by_its_environment_does_not_get_it(
    exact_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")

    (seen,) = see(exact_python, tmp_path, ["see(); off(); see(); see_old()"])

    assert seen == [ON, OFF, OFF_OLD]


def test_tf32_is_on_where_it_is_tried(seen: dict[str, Any]) -> None:
    assert seen[FROM_OFF_TO_ON] == [ON, ON_OLD, OFF, OFF_OLD]


@pytest.mark.parametrize("switch", SWITCHES)
def test_one_switch_alone_is_told(switch: str, seen: dict[str, Any]) -> None:
    ((allowed, *_),) = seen[ONE.format(switch)]

    assert allowed is True
