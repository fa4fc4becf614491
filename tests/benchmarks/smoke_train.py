"""Measure snapenv's smoke-train against the same training that is started by hand.

``python -m tests.benchmarks.smoke_train [ROUNDS]``; each is a fresh process with the same
arguments and the same end, by turns; the images of the one by hand lie there already. Medians.

Ours starts without any cache of the user's, so matplotlib lists the fonts (0.3 s where there are
some) and ultralytics writes its settings. A fresh container makes a training by hand do the same:
that is ``by hand``. ``by hand, kept`` finds both from the round before, as on a machine at home.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack
from snapenv.verify.smoke_train import ENVIRONMENT, smoke_train
from tests.benchmarks.measure import Work, run
from tests.engines.exact import make_exact
from tests.engines.place import Place, call
from tests.verify.told import Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.measure import Cost

BY_HAND = """
from ultralytics import YOLO
YOLO("yolov8n.yaml").train(data={data!r}, project={project!r}, device="cpu", **{arguments!r})
"""
MAKE_IMAGES = """
import sys; sys.path.insert(0, sys.argv[1])
import pathlib, snapenv_train.images as images, snapenv_train.training as plan
print(images.make_data(pathlib.Path(sys.argv[2]), plan.IMAGES)[0])
"""


def main(rounds: int) -> None:
    python = str(make_exact(Place.default()))
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "smoke_train.pyz")
        program.write_bytes(pack("snapenv_train"))
        works = (snapenvs(python, program, Path(folder)), *by_hand(python, program, Path(folder)))
        costs = [{work.name: run(work) for work in works} for _ in range(rounds + 1)][1:]
    print(f"medians of {rounds} rounds, at a load of {os.getloadavg()[0]:.1f}")
    for work in works:
        print(_row(costs, work.name, ours=works[0].name))


def _row(costs: list[dict[str, Cost]], name: str, *, ours: str) -> str:
    """Say what one took, and what ours took as a multiple of it in the same round."""
    seconds = statistics.median(cost[name].seconds for cost in costs)
    cpu_s = statistics.median(cost[name].cpu_s for cost in costs)
    wall = statistics.median(cost[ours].seconds / cost[name].seconds for cost in costs)
    cpu = statistics.median(cost[ours].cpu_s / cost[name].cpu_s for cost in costs)
    took = f"{seconds:6.2f} s, {cpu_s:6.2f} s of the processor"
    return f"{name:14} {took}; ours is {wall:.3f} x, {cpu:.3f} x of the processor"


def snapenvs(python: str, program: Path, folder: Path) -> Work:
    """Return our own program as a target runs it: in a folder of its own each time."""
    work = folder / "ours"
    words = f"rm -rf {work} && mkdir {work} && cd {work} && exec {python} -B {program} --device cpu"
    return Work(name="snapenv", argv=("sh", "-c", words), environment=ENVIRONMENT)


def by_hand(python: str, program: Path, folder: Path) -> tuple[Work, Work]:
    """Return a plain script with the arguments that our training had: a new home, or a kept one."""
    data = call(python, "-c", MAKE_IMAGES, str(program), str(folder / "data")).strip()
    script, runs = folder / "by_hand.py", folder / "runs"
    code = BY_HAND.format(data=data, project=str(runs), arguments=arguments(python))
    script.write_text(code)
    forget = f"rm -rf {runs} {folder}/data/*.cache"
    words = f"{forget} && cd {folder} && exec {python} -B {script}"
    new, kept = folder / "new", folder / "kept"
    again = f"rm -rf {new} && mkdir {new} && {words}"
    kept.mkdir()
    return (
        Work(name="by hand", argv=("sh", "-c", again), environment=_at_home(new)),
        Work(name="by hand, kept", argv=("sh", "-c", words), environment=_at_home(kept)),
    )


def _at_home(home: Path) -> dict[str, str]:
    """Return the variables that lead the packages' caches into one folder."""
    return {
        **ENVIRONMENT,
        "HOME": str(home),
        "MPLCONFIGDIR": str(home),
        "XDG_CACHE_HOME": str(home),
        "YOLO_CONFIG_DIR": str(home),
    }


def arguments(python: str) -> Mapping[str, object]:
    seen = smoke_train(LocalTarget(python), device="cpu", task=Told()).conditions.arguments
    return {name: json.loads(value) for name, value in seen.items()}


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 7)
