"""Train YOLOv8 for a few steps on data made here; print the losses as one JSON line.

Runs on the environment's own Python, from 3.8 on, with its numpy, cv2, torch and ultralytics, in
an empty working folder and without network. stdout holds the answer alone; what the packages
print goes to stderr. Exit codes beyond 1 are those of ``failures``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path

from snapenv_train import failures, surroundings
from snapenv_train.images import make_data
from snapenv_train.libraries import Paths, list_mapped
from snapenv_train.operators import fingerprint_operators
from snapenv_train.training import IMAGES, tell, train

_PREFIX = "snapenv-smoke-train: "


def main() -> int:
    """Run the smoke-train and return the exit code."""
    parser = argparse.ArgumentParser(prog="snapenv_train")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    wanted = parser.parse_args().device
    answer = claim_stdout()
    try:
        fingerprint = smoke_train(wanted, Path.cwd())
    except Exception as error:  # noqa: BLE001 - whatever the packages raise is the answer
        return explain(error, _PREFIX)
    os.write(answer, f"\n{_PREFIX}{json.dumps(fingerprint)}\n".encode())
    return 0


def smoke_train(wanted: str, folder: Path) -> dict[str, object]:
    """Train on a device in a folder; return the fingerprint as snapenv reads it.

    Raises:
        SmokeError: A reason that snapenv knows to explain.
    """
    paths = Paths(work=str(folder))
    surroundings.keep_inside(folder)
    surroundings.let_torch_decide()
    places = tuple(sys.path)  # setuptools adds to it what it carries
    packages = surroundings.list_packages(places)
    surroundings.refuse_network()
    _say("import torch and ultralytics")
    surroundings.require_frameworks()
    device, cuda = surroundings.choose_device(wanted)
    operators = _try_operators(device)
    data, images_sha256 = make_data(folder / "data", IMAGES)
    heard, arguments, afterwards = train(device, data, say=_say)
    changed = packages ^ surroundings.list_packages(places)
    if changed:
        raise failures.PackagesChangedError(", ".join(sorted(changed)))
    return {
        "losses": [loss.hex() for loss in heard.losses],
        "conditions": {**heard.conditions, "arguments": arguments, "images_sha256": images_sha256},
        "operators": operators,
        "libraries": list_mapped(paths),
        "afterwards": afterwards and paths.censor(afterwards),
        "speed": heard.speed,
        "cuda": cuda,
    }


def _try_operators(device: str) -> list[dict[str, object]]:
    """Fingerprint the operators, and leave all as a training finds it without them."""
    _say("try each operator")
    surroundings.settle_arithmetic()
    operators: list[dict[str, object]] = fingerprint_operators(device)
    surroundings.forget_memory(device)
    return operators


def claim_stdout() -> int:
    """Keep stdout for the answer and send what anyone else prints, from C too, to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def explain(error: Exception, prefix: str) -> int:
    """Put the reason on the last line of stderr: a CUDA error's own last line says nothing."""
    known = isinstance(error, failures.SmokeError)
    if not known:
        traceback.print_exc()
    print(f"{prefix}{error if known else tell(error)}", file=sys.stderr, flush=True)
    return int(error.exit_code) if isinstance(error, failures.SmokeError) else 1


def _say(text: str) -> None:
    print(f"{_PREFIX}{text}", file=sys.stderr, flush=True)
