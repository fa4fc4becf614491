"""Stands in for the bench in an environment: the same options, lines and answer, and no torch.

Its steps take as long as ``STAND_IN`` says, which is JSON: milliseconds by "batch/workers/cache".
Beside it runs a child, as a loader does. Both write down their ids, in ``STARTED``.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    options = json.loads(sys.argv[1])
    name = "{batch}/{workers}/{cache}".format(**options)
    step_ms = json.loads(os.environ["STAND_IN"])[name]
    child = subprocess.Popen(("sleep", "60"))
    with Path(os.environ["STARTED"]).open("a") as file:
        file.write(f"{os.getpid()} {child.pid}\n")
    times = (step_ms * options["steps"])[: options["steps"]]
    for number, ms in enumerate(times, start=1):
        time.sleep(ms / 1000)
        say("", f"step {number}")
        say("-step", json.dumps({"step_ms": ms, "setup_ms": 1000}))
    child.kill()
    answer = {"run": run(options, times, options["batch"]), "inference": None}
    sys.stdout.write(f"snapenv-bench: {json.dumps(answer)}\n")


def say(kind: str, text: str) -> None:
    sys.stderr.write(f"snapenv-bench{kind}: {text}\n")
    sys.stderr.flush()


def run(options: dict[str, object], times: list[float], batch: int) -> dict[str, object]:
    """Return what a bench answers; only the times are true."""
    options = {name: value for name, value in options.items() if name != "inference"}
    phases = ("wait", "preprocess", "forward", "backward", "optimizer")
    unknown = ("quota", "periods", "throttled_periods", "load_average")
    cpu = {"wall_ms": sum(times), "process_ms": 0, "loaders_ms": 0, "available": 2}
    return {
        "options": options,
        "step_ms": times,
        "images_per_s": batch * 1000 / statistics.median(times),
        "losses": [3.0] * len(times),
        "phases": dict.fromkeys(phases, 0.2),
        "cpu": {**cpu, **dict.fromkeys(unknown)},
        "gpu": None,
        "setup_ms": 1000,
        "validation_ms": None,
        "host_memory_peak": 0,
    }


main()
