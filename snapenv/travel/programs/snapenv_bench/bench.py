"""Train for some steps in this process, time them, and print one JSON line.

Runs on the environment's own Python, from 3.8 on, in an empty working folder. stdout holds the
answer alone; what the packages print goes to stderr. Exit codes beyond 1 are those of
``snapenv_train.failures``.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapenv_bench.images import make_data
from snapenv_bench.inference import measure_inference
from snapenv_bench.steps import PHASES, Steps
from snapenv_train import failures, surroundings
from snapenv_train.gpu import Watch, watch_gpu
from snapenv_train.smoke import claim_stdout, explain
from snapenv_train.training import ultralytics_utils

if TYPE_CHECKING:
    from collections.abc import Container

_PREFIX = "snapenv-bench: "
_STEP = "snapenv-bench-step: "
_VALIDATED = 2  # batches
_AUGMENTATION = ("mosaic", "hsv_h", "hsv_s", "hsv_v", "translate", "scale", "fliplr", "erasing")


def main() -> int:
    """Measure what the one argument says, in JSON; return the exit code."""
    began = time.time()
    options = json.loads(sys.argv[1])
    answer = claim_stdout()
    try:
        run = measure(options, Path.cwd(), began)
    except Exception as error:  # noqa: BLE001 - whatever the packages raise is the answer
        return explain(error, _PREFIX)
    os.write(answer, f"\n{_PREFIX}{json.dumps(run)}\n".encode())
    sys.stderr.flush()
    os._exit(0)  # loaders that are left would hold the streams


def measure(options: dict[str, Any], folder: Path, began: float) -> dict[str, object]:
    """Train, and return what snapenv reads as ``Measured``.

    Raises:
        SmokeError: A reason that snapenv knows to explain.
    """
    surroundings.keep_inside(folder)
    surroundings.refuse_network()
    _say("import torch and ultralytics")
    surroundings.require_frameworks()
    wanted = options["device"]
    device, _ = surroundings.choose_device(wanted if wanted in {"auto", "cpu"} else "cuda")
    count = options["warmup_steps"] + options["steps"]
    batch = options["batch"]
    data = options["data"] or str(
        make_data(folder / "data", train=count * batch, val=_VALIDATED * batch)
    )
    steps = Steps(
        warmup=options["warmup_steps"], workers=options["workers"], device=device, say=_say
    )
    steps.on_step.append(lambda step_ms: _tell(step_ms, _setup_ms(steps, began)))
    watch = watch_gpu() if device != "cpu" else None
    if watch:
        steps.on_count.append(watch.start)
    _train(options, steps, data, device=device, count=count)
    if len(steps.step_ms) < options["steps"]:
        raise failures.PlanError(
            f"{len(steps.step_ms)} steps were measured, not {options['steps']}: the data holds "
            f"fewer than {count} batches of {batch}"
        )
    gpu = _gpu(watch, steps, batch) if device != "cpu" else None
    inference = None
    if options.get("inference"):
        _say("predict")
        ema, model = getattr(steps.trainer, "ema", None), steps.trainer.model
        network = (ema.ema if ema else model).to(device)
        inference = measure_inference(network, imgsz=options["imgsz"], device=device)
    run = {**_run(options, steps, device=device, began=began), "gpu": gpu}
    return {"run": run, "inference": inference}


def _run(options: dict[str, Any], steps: Steps, *, device: str, began: float) -> dict[str, object]:
    """Return what was measured beside the GPU, with the options as ultralytics took them."""
    trainer = steps.trainer
    return {
        "options": {
            **{name: value for name, value in options.items() if name != "inference"},
            "workers": trainer.train_loader.num_workers,
            "batch": trainer.batch_size,
            "amp": bool(trainer.amp),
            "device": "cpu" if device == "cpu" else options["device"],
            "channels_last": not all(each.is_contiguous() for each in trainer.model.parameters()),
        },
        "step_ms": [round(ms, 3) for ms in steps.step_ms],
        "images_per_s": round(trainer.batch_size * 1000 / statistics.median(steps.step_ms), 3),
        "losses": steps.losses,
        "phases": _shares(steps),
        "cpu": steps.cpu,
        "setup_ms": _setup_ms(steps, began),
        "validation_ms": _a_validated_image(steps, options),
        "host_memory_peak": steps.memory_peak,
    }


class _EnoughError(Exception):
    """All steps were measured; a dataset of the user's has more."""


def _train(options: dict[str, Any], steps: Steps, data: str, *, device: str, count: int) -> None:
    from ultralytics import YOLO

    utils = ultralytics_utils()
    utils.callbacks.add_integration_callbacks = lambda _trainer: None  # loggers of other packages
    model = YOLO(options["model"])
    steps.listen(model)

    def leave(trainer: Any) -> None:  # noqa: ANN401
        del trainer
        if len(steps.losses) >= count:
            steps.finish()
            if options["data"]:
                raise _EnoughError

    model.add_callback("on_train_batch_end", leave)
    with contextlib.suppress(_EnoughError):
        model.train(
            data=data,
            device="cpu" if device == "cpu" else "0",
            project=str(Path.cwd() / "runs"),
            **_arguments(options, utils.DEFAULT_CFG_DICT),
        )


def _arguments(options: dict[str, Any], known: Container[str]) -> dict[str, object]:
    """Return the arguments of the training that this ultralytics knows."""
    arguments: dict[str, object] = {
        "amp": options["amp"],
        "batch": options["batch"],
        "cache": False if options["cache"] == "none" else options["cache"],
        "close_mosaic": 0,
        "compile": options["compile"],
        "deterministic": False,
        "epochs": 1,
        "exist_ok": True,
        "imgsz": options["imgsz"],
        "nbs": options["batch"],  # so that every batch is a step
        "optimizer": "SGD",
        "plots": False,
        "pretrained": False,
        "save": False,
        "seed": options["seed"],
        "val": not options["data"],
        "verbose": False,
        "warmup_epochs": 0.0,
        "workers": options["workers"],
    }
    if options["channels_last"]:  # else as ultralytics decides: some do so on a GPU by themselves
        arguments["channels_last"] = True
    if not options["augment"]:
        arguments.update(dict.fromkeys(_AUGMENTATION, 0.0))
    return {name: value for name, value in arguments.items() if name in known}


def _setup_ms(steps: Steps, began: float) -> float:
    return round(((steps.first or began) - began) * 1000, 1)


def _tell(step_ms: float, setup_ms: float) -> None:
    """Tell a step while the training goes on: somebody may end it who has seen enough."""
    step = {"step_ms": round(step_ms, 3), "setup_ms": setup_ms}
    print(f"{_STEP}{json.dumps(step)}", file=sys.stderr, flush=True)


def _shares(steps: Steps) -> dict[str, float]:
    whole = sum(steps.step_ms)
    return {name: round(steps.phases_ms[name] / whole, 4) for name in PHASES}


def _a_validated_image(steps: Steps, options: dict[str, Any]) -> float | None:
    if steps.validation_ms is None:
        return None
    images: int = _VALIDATED * options["batch"]
    return round(steps.validation_ms / images, 3)


def _gpu(watch: Watch | None, steps: Steps, batch: int) -> dict[str, object]:
    """Return what was seen of the GPU, by the names of snapenv's ``GpuUse``."""
    import torch

    free, total = torch.cuda.mem_get_info(0)
    watched: dict[str, object] = {}
    if watch:
        watched = watch.stop(images=batch * len(steps.step_ms), seconds=sum(steps.step_ms) / 1000)
    reserved = int(torch.cuda.max_memory_reserved(0)) - int(torch.cuda.memory_reserved(0))
    utilization = watched.get("gpu_utilization")
    return {
        "name": torch.cuda.get_device_name(0),
        "memory_total": int(total),
        "memory_peak": int(torch.cuda.max_memory_allocated(0)),
        "memory_free": max(int(free) - reserved, 0),
        "utilization": utilization,
        "util_source": None if utilization is None else "nvml",
        "watts": watched.get("watts"),
        "joules_per_image": watched.get("joules_per_image"),
        "clock_mhz": watched.get("clock_mhz"),
        "max_clock_mhz": watched.get("max_clock_mhz"),
        "throttled": watched.get("throttled", []),
        "pcie": watched.get("pcie"),
        "pcie_max": watched.get("pcie_max"),
    }


def _say(text: str) -> None:
    print(f"{_PREFIX}{text}", file=sys.stderr, flush=True)
