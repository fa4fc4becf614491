"""An environment of the index's own wheels, brought back without Docker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from snapenv.lock.store import read_snapshot
from tests.command import Command

pytestmark = pytest.mark.exact


@dataclass(frozen=True)
class Shown:
    """What the demo has printed and left: a capture, and a restore without Docker."""

    printed: str
    snapshot: Path


@pytest.fixture(scope="module")
def demo(exact_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("exact")
    done = subprocess.run(
        [sys.executable, str(Path("examples", "demo.py").absolute())],
        env={**os.environ, "DEMO_PYTHON": str(exact_python)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Shown(done.stdout, folder / "build" / "demo" / "snapshot")


@pytest.fixture
def snapshot(demo: Shown) -> Path:
    return demo.snapshot


def test_the_venv_engine_brings_it_back_identical(demo: Shown) -> None:
    assert "train-yolov8.4.190-base-cu130 is locked in build/demo/snapshot\n" in demo.printed
    assert "identical: all 10 losses are the same\n" in demo.printed
    assert "is back in build/demo/restored: tier identical\n" in demo.printed
    assert demo.snapshot.with_name("restored").joinpath("bin", "python").exists()


def test_the_demo_ends_with_the_seconds_of_each_step(demo: Shown) -> None:
    assert re.search(r"\n\ncapture +[0-9.]+ s\nrestore +[0-9.]+ s\n$", demo.printed)


def test_the_lock_alone_is_enough_for_uv(snapshot: Path) -> None:
    lock = (snapshot / "pylock.toml").read_text()

    assert 'name = "nvidia-cudnn-cu13"' in lock
    assert lock.count("sha256") == lock.count("[[packages]]")


@pytest.mark.full
def test_a_second_capture_differs_only_in_when_it_was_and_how_fast(
    snapshot: Path, exact_python: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    words = ("capture", "--python", str(exact_python), "--smoke", "--device", "cpu")

    Command().result(*words, "-o", str(again))

    for name in ("snapenv.toml", "pylock.toml", "Dockerfile"):
        assert (again / name).read_bytes() == (snapshot / name).read_bytes()
    sums, sums_before = (
        [line for line in (place / "SHA256SUMS").read_text().splitlines() if "measured" not in line]
        for place in (again, snapshot)
    )
    assert sums[1:] == sums_before[1:]
    assert sums[0].startswith("# captured at ")
    assert read_snapshot(again).digest == read_snapshot(snapshot).digest
