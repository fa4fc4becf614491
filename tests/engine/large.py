"""Take a large vendored file through a part of snapenv, and say how much memory that took.

A program of its own, ``python -m tests.engine.large PART FOLDER``: what memory a process has
held at most is counted from its start. It prints that number in MiB.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from snapenv.engine.docker import DockerEngine
from snapenv.lock.store import make_snapshot, read_snapshot, write_snapshot
from snapenv.model.image import BuildContext
from snapenv.targets.local import LocalTarget
from snapenv.targets.ssh import SshTarget
from tests.engines.ssh import HOST
from tests.fakes import FakeTask
from tests.samples import CAPTURED_AT, pylock_of, sample_lock

SIZE = 300_000_000
WHEEL = "vendor/large-1.0-py3-none-any.whl"
DOCKERFILE = b"FROM scratch\nCOPY pylock.toml /\n"
COUNT = ("sh", "-c", f"wc -c <{WHEEL}")


def make(folder: Path) -> Path:
    """Write a snapshot of a large wheel."""
    wheel = folder / "large.whl"
    with wheel.open("wb") as file:
        file.truncate(SIZE)
    lock = sample_lock()
    snapshot = make_snapshot(
        lock,
        pylock=pylock_of(lock),
        dockerfile=DOCKERFILE,
        captured_at=CAPTURED_AT,
        carried={WHEEL: wheel},
    )
    write_snapshot(snapshot, folder / "snapshot")
    return folder / "snapshot"


def store(folder: Path) -> bool:
    return read_snapshot(make(folder)).files[WHEEL] == folder / "snapshot" / WHEEL


def local(folder: Path) -> bool:
    done = LocalTarget("python3").run(COUNT, files=read_snapshot(make(folder)).files)
    return int(done.stdout) == SIZE


def ssh(folder: Path) -> bool:
    done = SshTarget(HOST, "python3").run(COUNT, files=read_snapshot(make(folder)).files)
    return int(done.stdout) == SIZE


def build(folder: Path) -> bool:
    files = read_snapshot(make(folder)).files
    task, engine = FakeTask(), DockerEngine()
    engine.remove(engine.build(BuildContext(files=files, labels={}), task).id)
    return any(total and total > SIZE and done == total for done, total in task.counts)


def container(folder: Path) -> bool:
    engine = DockerEngine()
    image = engine.find(sys.argv[3])
    if image is None:
        raise SystemExit("the image is not there")
    target = engine.image_target(image, python="python3", gpus=None)
    done = target.run(COUNT, files=read_snapshot(make(folder)).files)
    return int(done.stdout.split()[-1]) == SIZE


PARTS = {part.__name__: part for part in (store, local, ssh, build, container)}


if __name__ == "__main__":
    if not PARTS[sys.argv[1]](Path(sys.argv[2])):
        raise SystemExit("it did not go through")
    most = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    sys.stdout.write(str(int(most[1]) >> 10 if most else "unknown"))
