"""Measure how the probe grows with packages: 50, 200 and 1000 that are made here.

``python -m tests.benchmarks.growth [ROUNDS]``. Each package has 20 files of 4 KiB. What it costs
to look at nothing is taken off; what is left, for one package, stays the same if time is linear.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from uv import find_uv_bin

from snapenv.travel.pack import pack
from tests.benchmarks.measure import Work, best

SIZES = (0, 50, 200, 1000)
FILES = 20
CONTENT = "VALUE = 1\n" * 409
SUM = base64.urlsafe_b64encode(hashlib.sha256(CONTENT.encode()).digest()).rstrip(b"=").decode()


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "probe.pyz")
        program.write_bytes(pack("snapenv_probe"))
        looks = [work for size in SIZES for work in works(Path(folder), program, size)]
        costs = best(looks, rounds=rounds)
    for kind in ("every file", "nothing changed"):
        nothing = costs[f"{kind} 0"].seconds
        for size in SIZES[1:]:
            cost = costs[f"{kind} {size}"]
            each_ms = (cost.seconds - nothing) / size * 1000
            print(
                f"{kind:16} {size:5} packages {cost.seconds:7.3f} s {cost.memory_mib:5.0f} MiB"
                f" {each_ms:6.3f} ms for each"
            )


def works(folder: Path, program: Path, size: int) -> list[Work]:
    python = str(make_environment(folder / str(size), size))
    look = (python, "-B", str(program))
    kept = ("--index", str(folder / "hashes"))
    return [
        Work(name=f"every file {size}", argv=(*look, *kept, "--rehash"), environment={}),
        Work(name=f"nothing changed {size}", argv=(*look, *kept), environment={}),
    ]


def make_environment(folder: Path, size: int) -> Path:
    """Make a venv with so many packages, as an installer would leave them."""
    subprocess.run([find_uv_bin(), "venv", "-q", "--no-config", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for number in range(size):
        add_package(site, f"package{number}")
    return folder / "bin" / "python"


def add_package(site: Path, name: str) -> None:
    package, info = site / name, site / f"{name}-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    names = [f"module{number}.py" for number in range(FILES)]
    for file in names:
        (package / file).write_text(CONTENT)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: py3-none-any\n")
    (info / "INSTALLER").write_text("uv")
    lines = [f"{name}/{file},sha256={SUM},{len(CONTENT)}" for file in names]
    own = [f"{info.name}/{file},," for file in ("METADATA", "WHEEL", "INSTALLER", "RECORD")]
    (info / "RECORD").write_text("\n".join([*lines, *own, ""]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
