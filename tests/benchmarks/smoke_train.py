"""``snapenv verify`` and its smoke-train, beside the same training that is started by hand.

Each is a fresh process with the same arguments and the same end; the images of the one by hand lie
there already. ``snapenv verify`` also compares every file.

Ours starts without any cache of the user's, so matplotlib lists the fonts (0.3 s where there are
some) and ultralytics writes its settings. A fresh container makes a training by hand do the same:
that is ``by hand``. ``by hand, caches kept`` finds both from the round before, as on a machine at home.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack
from snapenv.verify.smoke_train import ENVIRONMENT, smoke_train
from tests.benchmarks.bench import SNAPENV, home_of
from tests.benchmarks.measure import Work, run
from tests.engines.place import call
from tests.verify.told import Told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.results import Table

BY_HAND_NAME = "by hand"
BY_HAND = """
from ultralytics import YOLO
YOLO("yolov8n.yaml").train(data={data!r}, project={project!r}, device="cpu", **{arguments!r})
"""
MAKE_IMAGES = """
import sys; sys.path.insert(0, sys.argv[1])
import pathlib, snapenv_train.images as images, snapenv_train.training as plan
print(images.make_data(pathlib.Path(sys.argv[2]), plan.IMAGES)[0])
"""


def measure(bench: Bench) -> Iterator[Table]:
    folder = bench.folder / "training"
    folder.mkdir()
    program = folder / "smoke_train.pyz"
    program.write_bytes(pack("snapenv_train"))
    works = (snapenvs(bench.exact, program, folder), *by_hand(bench.exact, program, folder))
    title = "Ten steps of YOLOv8n on the CPU, in an environment of 5 GB"
    yield bench.table(title, [*works, verify(bench)], rounds=2, against=BY_HAND_NAME, warm=False)


def verify(bench: Bench) -> Work:
    """Return a verification of the environment against its own snapshot."""
    home, snapshot = home_of(bench.folder / "home"), bench.folder / "verified"
    python = ("--python", bench.exact)
    run(
        Work(
            name="capture",
            argv=(*SNAPENV, "capture", *python, "--device", "cpu", "-o", str(snapshot)),
            environment=home,
        )
    )
    where = ("--engine", "venv", "--into", str(Path(bench.exact).parents[1]))
    words = ("verify", str(snapshot), *where, "--device", "cpu")
    return Work(name="snapenv verify", argv=(*SNAPENV, *words), environment=home)


def snapenvs(python: str, program: Path, folder: Path) -> Work:
    """Return our own program as a target runs it: in a folder of its own each time."""
    work = folder / "ours"
    words = f"rm -rf {work} && mkdir {work} && cd {work} && exec {python} -B {program} --device cpu"
    return Work(name="snapenv's smoke-train", argv=("sh", "-c", words), environment=ENVIRONMENT)


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
        Work(name=BY_HAND_NAME, argv=("sh", "-c", again), environment=_at_home(new)),
        Work(name="by hand, caches kept", argv=("sh", "-c", words), environment=_at_home(kept)),
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
