"""Train with every kind of ultralytics on every kind of torch, and print what is seen as a table.

``python -m tests.benchmarks.smoke_versions > tests/recorded/smoke_train/versions.md``; it takes
ten minutes and 10 GB. Those of REPEATED are trained with twice.
"""

from __future__ import annotations

import datetime as dt
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import SmokeTrainError
from snapenv.verify.smoke_train import smoke_train
from tests.engines.place import Place, call
from tests.verify.told import Told
from tests.verify.versions import MIDDLE, NEW, OLD, ULTRALYTICS, make_torch, put_ultralytics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.fingerprint import Fingerprint
    from snapenv.targets.local import LocalTarget
    from tests.verify.versions import Torch

REPEATED = ("8.0.100", "8.2.50", "8.4.190")
COLUMNS = "torch | Python | numpy | ultralytics | losses | first | last | again | afterwards"


def main() -> None:
    today = dt.datetime.now(tz=dt.timezone.utc).date()
    print(f"Seen on {today}, {platform.machine()}, CPU, without network.\n")
    print(f"| {COLUMNS} |\n|{' --- |' * (COLUMNS.count('|') + 1)}")
    for torch in (NEW, MIDDLE, OLD):
        for row in _rows(torch):
            print(f"| {' | '.join(row)} |", flush=True)


def _rows(torch: Torch) -> Iterator[tuple[str, ...]]:
    python = make_torch(torch, Place.default())
    said = call(str(python), "-c", "import platform; print(platform.python_version())").strip()
    for version in ULTRALYTICS:
        with tempfile.TemporaryDirectory() as folder:
            target = put_ultralytics(python, version, Path(folder))
            yield (torch.version, said, *_cells(target, version))


def _cells(target: LocalTarget, version: str) -> tuple[str, ...]:
    try:
        seen = smoke_train(target, device="cpu", task=Told())
    except SmokeTrainError as error:
        return ("", version, "none", "", "", "", f"**{error.message}**")
    return (
        seen.conditions.numpy,
        seen.conditions.ultralytics,
        str(len(seen.losses)),
        f"{seen.values[0]:.6f}",
        f"{seen.values[-1]:.6f}",
        _again(target, seen) if version in REPEATED else "",
        seen.afterwards or "",
    )


def _again(target: LocalTarget, seen: Fingerprint) -> str:
    again = smoke_train(target, device="cpu", task=Told())
    same = (again.losses, again.operators) == (seen.losses, seen.operators)
    return "identical" if same else "**different**"


if __name__ == "__main__":
    main()
