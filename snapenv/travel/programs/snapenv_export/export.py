"""Export a model to each format, run it, compare it with torch, and print one JSON line.

Runs on the environment's own Python, from 3.8 on, in a working folder that holds nothing but
``layer``: packages that the environment lacks, which come after its own. Nothing is fetched.
stdout holds the answer alone; what the packages print goes to stderr. Exit codes beyond 1 are
those of ``snapenv_train.failures``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict

from snapenv_export.compare import compare
from snapenv_export.model import SIDE, fixed_images, make_model, predict
from snapenv_export.runtimes import FORMATS
from snapenv_train import surroundings
from snapenv_train.smoke import claim_stdout, explain
from snapenv_train.training import tell, ultralytics_utils

if TYPE_CHECKING:
    from snapenv_export.runtimes import Format

    Export = Dict[str, object]

_PREFIX = "snapenv-export: "
_LAYER = "layer"  # a folder


def main() -> int:
    """Try what the one argument says, in JSON; return the exit code."""
    options = json.loads(sys.argv[1])
    answer = claim_stdout()
    try:
        exports = try_exports(options["formats"], options["device"], Path.cwd())
    except Exception as error:  # noqa: BLE001 - whatever the packages raise is the answer
        return explain(error, _PREFIX)
    os.write(answer, f"\n{_PREFIX}{json.dumps(exports)}\n".encode())
    return 0


def try_exports(formats: list[str], wanted: str, folder: Path) -> list[Export]:
    """Return what snapenv reads as ``Export``, in the order of ``formats``.

    Raises:
        SmokeError: A reason that snapenv knows to explain.
    """
    surroundings.keep_inside(folder)
    surroundings.let_torch_decide()
    sys.path.append(str(folder / _LAYER))
    importlib.invalidate_caches()
    surroundings.refuse_network()
    _say("import torch and ultralytics")
    surroundings.require_frameworks()
    ultralytics_utils()
    device, _ = surroundings.choose_device(wanted)
    surroundings.settle_arithmetic()
    _say("calibrate a model")
    model = make_model()
    return [_try_export(model, name, device) for name in formats]


def _try_export(model: Any, name: str, device: str) -> Export:  # noqa: ANN401
    kind = FORMATS[name]
    export: Export = {"format": name}
    missing = [module for module in kind.modules if importlib.util.find_spec(module) is None]
    if missing:
        return {**export, "missing": missing}
    if kind.gpu and device == "cpu":
        return {**export, "error": "torch sees no GPU, which this format is made on"}
    images = fixed_images()
    try:
        _say(f"export to {name}")
        path = Path(model.export(format=name, imgsz=SIDE, device="0" if kind.gpu else "cpu"))
        surroundings.settle_arithmetic()  # which ultralytics has changed
        _say(f"run {name}")
        outputs = kind.run(path, images)
    except Exception as error:  # noqa: BLE001 - whatever the packages raise is the answer
        traceback.print_exc()
        return {**export, "error": tell(error)}
    return {
        **export,
        "runtime": kind.describe(),
        "device": _device_of(kind),
        "size_bytes": _size_bytes(path),
        **compare(predict(model, images), outputs, side=SIDE),
    }


def _device_of(kind: Format) -> str:
    if not kind.gpu:
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name(0))


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _say(text: str) -> None:
    print(f"{_PREFIX}{text}", file=sys.stderr, flush=True)
