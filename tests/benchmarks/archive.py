"""Measure an export against ``docker save | zstd -T0 -3``, in one run, and the sizes of both.

``python -m tests.benchmarks.archive IMAGE [ROUNDS]``, with DOCKER_HOST set; the image is one that
``snapenv build`` made, and its base is here too. Also the import of what was written, where the
image is here already, which is the check of every byte.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Work, best, show

PIPE = "docker save"
REPOSITORY = "snapenv-benchmark"


def main(image: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = [
            pipe(image, folder / PIPE),
            export(image, folder / "export"),
            export(image, folder / "export --delta", "--delta"),
            check(folder / "export"),
        ]
        show(best(works, rounds=rounds), against=(PIPE,))
        whole = (folder / PIPE).stat().st_size
        for path in sorted(folder.iterdir()):
            size = path.stat().st_size
            print(f"{path.name:34} {size / 1e6:9.1f} MB {size / whole:7.2%}")
        tag = image.rpartition(":")[2]
        subprocess.run(["docker", "rmi", f"{REPOSITORY}:{tag}"], check=True, capture_output=True)


def pipe(image: str, path: Path) -> Work:
    words = 'docker save "$1" | zstd -T0 -3 -q -o "$2"'
    return Work(
        name=path.name,
        argv=("sh", "-c", words, "sh", image, str(path)),
        environment={},
        before=lambda: path.unlink(missing_ok=True),
    )


def export(image: str, path: Path, *words: str) -> Work:
    return Work(
        name=path.name,
        argv=(sys.executable, "-m", "snapenv", "export", image, "-o", str(path), *words),
        environment={},
        before=lambda: path.unlink(missing_ok=True),
    )


def check(path: Path) -> Work:
    argv = (sys.executable, "-m", "snapenv", "import", str(path), "--repository", REPOSITORY)
    return Work(name="import, already here", argv=argv, environment={})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2)
