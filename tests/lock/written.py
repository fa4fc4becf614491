"""Write a snapshot in surroundings of one's own: ``python -m tests.lock.written FOLDER``.

The variables WHEN, UMASK and TURNED (the files in another order) say what else differs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.lock.overlay import make_overlay, plan_overlay
from snapenv.lock.store import make_snapshot, write_snapshot
from snapenv.model.carried import CarriedFile
from snapenv.model.python import UntrackedFile
from snapenv.render.dockerfile import render_dockerfile
from tests.samples import pylock_of, sample_environment, sample_facts, sample_lock

if TYPE_CHECKING:
    from snapenv.model.carried import Content

NAMES = ("a.py", "I.py", "i.py", "z.py", "日本.py")


def main(folder: Path) -> None:
    turned = slice(None, None, -1 if os.environ.get("TURNED") else 1)
    os.umask(int(os.environ["UMASK"], 8))
    folder.mkdir()
    for name in NAMES[turned]:
        (folder / f"{name}.whl").write_bytes(name.encode() * 1000)
    loose = tuple(UntrackedFile(path=name) for name in sorted(NAMES))
    environment = sample_environment(untracked=loose)
    files = [
        (f"site/{name}", CarriedFile(content=name.encode(), executable=False)) for name in NAMES
    ]
    carried: list[tuple[str, Content]] = [
        *((f"vendor/{number}.whl", folder / f"{name}.whl") for number, name in enumerate(NAMES)),
        *make_overlay(plan_overlay(environment, set()), dict(files[turned])).items(),
    ]
    lock = sample_lock(facts=sample_facts(environment=environment))
    snapshot = make_snapshot(
        lock,
        pylock=pylock_of(lock),
        dockerfile=render_dockerfile(lock),
        captured_at=os.environ["WHEN"],
        carried=dict(carried[turned]),
    )
    write_snapshot(snapshot, folder / "one")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
