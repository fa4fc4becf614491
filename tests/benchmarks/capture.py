"""A capture of what has not changed, beside other programs that say what an environment has.

In the environment of the tests with torch and ultralytics, and in an everyday one of 378 packages
(see ``everyday``). ``pip freeze`` is one process of the environment's own Python with this
environment's pip, as where pip is installed in there; ``pip --python`` starts two, and takes
longer. What is asked for: at most 0.8 of it.

What no capture can do without is measured too, by programs that do nothing else: two Pythons start
one after the other, and the second asks for the status of each file, on all processors.

venv-pack, conda-pack and reprozip write what they captured as a file, and take far longer: once
each. conda-pack takes conda environments alone, of which pip has changed nothing: it is given one
of the tests' own packages, which hold the Python of this machine.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.bench import SNAPENV, UV, forget, home_of
from tests.benchmarks.measure import Work
from tests.conda.channel import make_channel
from tests.conda.packages import usual
from tests.zoo.conda_cases import Prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.results import Table

PIP = "pip freeze"
IMPORTED = "import pandas, flask, wandb, mlflow"
START = "import os, sys; sys.exit(os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:]))"
LOOK = """
import os, site

def look(folders):
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    entry.stat(follow_symlinks=False)
                elif entry.name != "__pycache__":
                    folders.append(entry.path)

(top,) = site.getsitepackages()
with os.scandir(top) as entries:
    inside = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
queue, numbers = os.pipe()
os.write(numbers, b"".join(number.to_bytes(4, "little") for number in range(len(inside))))
os.close(numbers)
others = []
for _ in range(1, len(os.sched_getaffinity(0))):
    other = os.fork()
    if not other:
        break
    others.append(other)
while number := os.read(queue, 4):
    look([inside[int.from_bytes(number, "little")]])
if len(others) < len(os.sched_getaffinity(0)) - 1:
    os._exit(0)
for other in others:
    os.waitpid(other, 0)
"""


def measure(bench: Bench) -> Iterator[Table]:
    """Measure what has not changed, with bytecode and without, and then the packers."""
    steps = (with_torch, without_torch, without_bytecode, packed, packed_of_conda)
    yield from bench.each(*(partial(step, bench) for step in steps))


def with_torch(bench: Bench) -> Iterator[Table]:
    found = [*works(bench, bench.exact), *of_torch(bench.exact, bench.folder / "of-torch")]
    title = "Nothing changed: 59 packages with torch, 5 GB"
    yield bench.table(title, found, rounds=7, against=PIP)


def without_torch(bench: Bench) -> Iterator[Table]:
    title = "Nothing changed: 378 packages"
    yield bench.table(title, works(bench, bench.everyday), rounds=9, against=PIP)


def without_bytecode(bench: Bench) -> Iterator[Table]:
    found = works(bench, bench.everyday, bytecode=False)
    title = "Nothing changed: 378 packages, without bytecode"
    yield bench.table(title, found, rounds=9, against=PIP)


def packed(bench: Bench) -> Iterator[Table]:
    """Capture an environment of which nothing is known, beside programs that write a file."""
    yield bench.table(
        "First of all: 378 packages, nothing known of them",
        [first(bench, bench.everyday), *packers(bench, bench.everyday)],
        rounds=1,
        against="snapenv capture",
        warm=False,
    )


def packed_of_conda(bench: Bench) -> Iterator[Table]:
    """Capture a conda environment of which nothing is known, beside conda-pack."""
    folder = bench.folder / "conda"
    channel = make_channel(folder / "channel", usual())
    prefix = Prefix(folder / "env", (channel.as_uri(),), folder / "pkgs").make(
        "zoocext", "zoopure", "six"
    )
    archive = bench.folder / "env.tar.gz"
    conda_pack = str(bench.tool("conda-pack", "conda-pack", "setuptools"))
    yield bench.table(
        "First of all: a conda environment, nothing known of it",
        [
            first(bench, str(prefix.python)),
            Work(
                name="conda-pack",
                argv=(conda_pack, "-q", "-p", str(prefix.folder), "-o", str(archive)),
                before=lambda: forget(archive),
            ),
        ],
        rounds=3,
        against="snapenv capture",
        warm=False,
    )


def works(bench: Bench, python: str, *, bytecode: bool = True) -> list[Work]:
    """Return the programs; the snapshot of each round is removed before the next."""
    kind = "bytecode" if bytecode else "none"
    snapshot = bench.folder / "snapshot"
    environment = {
        **home_of(bench.folder),
        "PYTHONPYCACHEPREFIX": str(bench.folder / kind),
        **({} if bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
    }
    capture = (*SNAPENV, "capture", "--no-smoke", "--python", python, "-o", str(snapshot))
    programs: dict[str, Sequence[str]] = {
        PIP: (python, pip(), "freeze"),
        "snapenv capture": capture,
        "uv pip freeze": (UV, "pip", "freeze", "--python", python),
        "pip inspect": (python, pip(), "inspect"),
        "snapenv --help": (*SNAPENV, "--help"),
        "two Pythons, and a stat of each file": (
            *(sys.executable, "-c", START),
            *(python, "-c", LOOK),
        ),
    }
    return [
        Work(name=name, argv=argv, environment=environment, before=lambda: forget(snapshot))
        for name, argv in programs.items()
    ]


def pip() -> str:
    """Return the program with which pip runs in the Python of another environment."""
    found = find_spec("pip")
    if found is None or found.origin is None:
        raise RuntimeError("pip is not installed beside the tests")
    return str(Path(found.origin).with_name("__pip-runner__.py"))


def of_torch(python: str, folder: Path) -> list[Work]:
    """Return what torch and ultralytics say of an environment, with settings of their own."""
    environment = {**home_of(folder), "YOLO_CONFIG_DIR": str(folder), "MPLCONFIGDIR": str(folder)}
    folder.mkdir()
    programs: dict[str, Sequence[str]] = {
        "torch.utils.collect_env": (python, "-m", "torch.utils.collect_env"),
        "yolo checks": (str(Path(python).with_name("yolo")), "checks"),
    }
    return [Work(name=name, argv=argv, environment=environment) for name, argv in programs.items()]


def first(bench: Bench, python: str) -> Work:
    """Return a capture that hashes every file and asks the index about every package."""
    home, snapshot = bench.folder / "first", bench.folder / "snapshot"
    return Work(
        name="snapenv capture",
        argv=(*SNAPENV, "capture", "--no-smoke", "--python", python, "-o", str(snapshot)),
        environment=home_of(home),
        before=lambda: forget(home, snapshot),
    )


def packers(bench: Bench, python: str) -> list[Work]:
    """Return the programs that write an environment as a file."""
    packed, trace, pack = (bench.folder / name for name in ("env.tar.gz", "trace", "env.rpz"))
    folder = Path(python).parents[1]
    venv_pack = bench.tool("venv-pack", "venv-pack", "setuptools")
    reprozip = bench.tool("reprozip", "reprozip", "setuptools")
    words = '"$1" trace -d "$2" "$3" -c "$4" && "$1" pack -d "$2" "$5"'
    arguments = ("sh", str(reprozip), str(trace), python, IMPORTED, str(pack))
    return [
        Work(
            name="venv-pack",
            argv=(str(venv_pack), "-q", "-p", str(folder), "-o", str(packed)),
            before=lambda: forget(packed),
        ),
        Work(
            name="reprozip, of what four imports open",
            argv=("sh", "-c", words, *arguments),
            before=lambda: forget(trace, pack),
        ),
    ]
