"""Commands that a signal ends at random moments, and what they leave.

As a program, it ends restores of an environment of its own:

    python -m tests.cli.ended [HOW MANY] [SEED]
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.ownership.new_folder import UNFINISHED
from tests.command import Program
from tests.targets.processes import all_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
_EMPTY = ("running", "locks", "fetched")  # of the user's cache, where no command runs
_FILES = 1000  # of the package that is restored


@dataclass(frozen=True)
class Room:
    """A folder with all that commands write to: temporary files, caches, what they make."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a command in here; every child of it has the mark."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        return {
            "TMPDIR": str(self.folder / "tmp"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "SNAPENV_TEST_MARK": self.mark,
        }

    @property
    def command(self) -> Program:
        return Program(self.environment)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that is not waited for."""
        return subprocess.Popen(
            [sys.executable, "-m", "snapenv", *words],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def living(self) -> list[int]:
        """Return the processes that were started in here and live."""
        word = f"SNAPENV_TEST_MARK={self.mark}".encode()
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if word in _variables(path)]

    def left(self) -> list[str]:
        """Return what commands have left but what they keep for the next one on purpose."""
        caches = [self.folder / "cache" / "snapenv" / name for name in _EMPTY]
        places = [self.folder, self.folder / "tmp", *caches]
        below = [path for place in places if place.is_dir() for path in place.iterdir()]
        ours = {*places, self.folder / "cache"}
        return sorted(str(path.relative_to(self.folder)) for path in below if path not in ours)


def _variables(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def make_environment(folder: Path, *, files: int = _FILES) -> str:
    """Make a venv with one package of many files that is on no index; give its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    info = site / "many-1.0.dist-info"
    info.mkdir()
    (site / "many").mkdir()
    names = [f"many/m{number}.py" for number in range(files)]
    for name in names:
        (site / name).write_text("x = 1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: many\nVersion: 1.0\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (info / "direct_url.json").write_text('{"url": "file:///many.whl", "archive_info": {}}')
    listed = [*names, *(f"{info.name}/{one.name}" for one in info.iterdir()), f"{info.name}/RECORD"]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
    return str(folder / "bin" / "python")


def capture(python: str, snapshot: Path) -> tuple[str, ...]:
    """Return the words of a capture."""
    return ("capture", "--python", python, "--no-smoke", "-o", str(snapshot))


def restore(snapshot: Path, into: Path) -> tuple[str, ...]:
    """Return the words of a restore as a venv."""
    return ("restore", str(snapshot), "--engine", "venv", "--no-smoke", "--into", str(into))


def end_at_random(
    room: Room, words: tuple[str, ...], *, times: int, seed: int
) -> tuple[list[tuple[str, str]], Mapping[str, int]]:
    """Start a command again and again, and end it somewhere; give what is wrong, and how it ended.

    Whatever ended it, no child of it may live on. After a signal that can be heard, nothing may
    be left either; after SIGKILL, the next command takes it away.
    """
    chance = random.Random(seed)
    begun = time.monotonic()
    done = room.command.run(*words)
    assert done.returncode == 0, done.stderr
    whole_s = time.monotonic() - begun
    wrong, ends = list[tuple[str, str]](), Counter[str]()
    for number in range(times):
        subprocess.run(["rm", "-rf", words[-1]], check=True)
        kill = chance.choice([*ENDS, signal.SIGKILL, signal.SIGKILL])
        process = room.start(*words)
        time.sleep(chance.uniform(0, whole_s))
        process.send_signal(kill)
        code = process.wait(300)
        ends[f"{kill.name} {code}"] += 1
        wrong.extend((f"{number} {kill.name}", one) for one in _wrong(room, words, kill, code))
    return wrong, ends


def _wrong(room: Room, words: tuple[str, ...], kill: signal.Signals, code: int) -> Iterator[str]:
    """Look at what a command has left that ended with ``code``; after SIGKILL, after the next."""
    place = Path(words[-1])
    if not all_end(*room.living()):
        yield "a child lives on"
    if kill is not signal.SIGKILL:
        if code not in {ENDS[kill], -kill, 0}:
            yield f"exit code {code}"
        finished = code == 0 or _is_whole(place)  # it was ended while it told that it was done
        yield from (f"{one} is left" for one in room.left() if not finished or one != place.name)
        return
    again = room.command.run(*words)
    if again.returncode and "exists" not in again.stderr:  # it had ended before
        yield f"the next says {again.stderr}"
    yield from (f"{one} is left after the next" for one in room.left() if one != place.name)


def _is_whole(place: Path) -> bool:
    """Return whether a venv or a snapshot stands there, and nothing says that it is not whole."""
    made = any((place / name).is_file() for name in ("pyvenv.cfg", "SHA256SUMS"))
    return made and not (place / UNFINISHED).exists()


def main() -> None:
    """End restores, and say what was seen."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as folder:
        python = make_environment(Path(folder, "environment"))
        room = Room(Path(folder, "room"))
        snapshot = Path(folder, "snapshot")
        done = room.command.run(*capture(python, snapshot))
        assert done.returncode == 0, done.stderr
        words = restore(snapshot, room.folder / "venv")
        wrong, ends = end_at_random(room, words, times=times, seed=seed)
    lines = [" ".join(one) for one in wrong] or ["nothing is left"]
    sys.stdout.write(f"{times} restores, seed {seed}: {dict(ends)}\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
