"""Trainings of ultralytics that are killed by SIGKILL, and go on from their checkpoint."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.travel.pack import pack
from snapenv_resume.files import damage, keep_copy
from snapenv_train.images import make_data
from tests.engines.place import Place, UnavailableError
from tests.verify.versions import NEW, make_torch, put_ultralytics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.exact

EPOCHS = 3
VERSIONS = (
    "exact",
    *(pytest.param(version, marks=pytest.mark.full) for version in ("8.0.100", "8.2.50")),
)
TRAIN = f"""
import sys
from ultralytics import YOLO
YOLO("yolov8n.yaml").train(
    data=sys.argv[1], project=sys.argv[2], name="train", epochs={EPOCHS}, imgsz=32, batch=4,
    workers=0, device="cpu", plots=False, amp=False,
)
"""


class Training:
    """A training in a folder that can be moved, data and all."""

    def __init__(self, python: str, folder: Path, variables: Mapping[str, str]) -> None:
        self._python, self._variables = python, variables
        self.folder = folder
        self.save_dir = folder / "runs" / "train"
        self.weights = self.save_dir / "weights"

    def moved(self, to: Path) -> Training:
        """Move everything, as a user does who writes the new paths into the data's files, too."""
        shutil.move(self.folder, to)
        for path in (to / "data" / "data.yaml", to / "data" / "val.txt"):
            path.write_text(path.read_text().replace(str(self.folder), str(to)))
        return Training(self._python, to, self._variables)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            (self._python, "-B", *words),
            cwd=self.folder,
            env={**os.environ, **self._variables},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def resume(self, *words: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "resume.pyz").write_bytes(pack("snapenv_resume"))
        process = self.start("resume.pyz", str(self.save_dir), *words)
        out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @property
    def answer(self) -> dict[str, Any]:
        return json.loads((self.save_dir / "snapenv" / "resumed.json").read_text())  # type: ignore[no-any-return]

    @property
    def epochs(self) -> list[int]:
        with (self.save_dir / "results.csv").open() as file:
            return [int(row[0]) for row in list(csv.reader(file))[1:]]


def interrupt(training: Training) -> None:
    """Kill a training that has a checkpoint, in an epoch after that."""
    data, _ = make_data(training.folder / "data", 8)
    process = training.start("-c", TRAIN, str(data), str(training.folder / "runs"))
    while not (training.weights / "last.pt").exists() or len(training.epochs) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module", params=VERSIONS)
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Return a training that was killed in an epoch after its second."""
    folder = tmp_path_factory.mktemp("training")
    if request.param == "exact":
        python = str(request.getfixturevalue("exact_python"))
    else:
        python = other_version(request.param, tmp_path_factory.mktemp("version"))
    variables = {
        "YOLO_CONFIG_DIR": str(folder / "config"),
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "OMP_NUM_THREADS": "1",
    }
    (folder / "config").mkdir()
    training = Training(python, folder / "then", variables)
    training.folder.mkdir()
    interrupt(training)
    return training


def other_version(version: str, folder: Path) -> str:
    try:
        place = Place.default()
        with place.lock():
            python = make_torch(NEW, place)
        return put_ultralytics(python, version, folder).python
    except UnavailableError as error:
        pytest.skip(str(error))


def test_a_killed_training_goes_on_elsewhere_from_the_copy_of_its_checkpoint(
    killed: Training, tmp_path: Path
) -> None:
    then = killed.folder
    training = killed.moved(tmp_path / "now")
    copy = keep_copy(training.save_dir)
    assert copy
    (training.weights / "last.pt").write_bytes(copy.read_bytes()[:-1000])

    done = training.resume("--moved", str(then), str(training.folder))

    assert done.returncode == 0, done.stderr
    assert "continued, not identical" in done.stderr
    assert training.answer["checkpoint"] == str(copy)
    assert "cut off" in training.answer["refused"][0]
    assert 1 <= training.answer["epoch"] < training.answer["epochs"] == EPOCHS
    first = training.epochs[0]
    assert training.epochs == list(range(first, first + EPOCHS))
    assert damage(training.weights / "last.pt") is None
    assert [path.name for path in (training.save_dir / "snapenv").iterdir()] == ["resumed.json"]
    assert not then.exists()

    again = training.resume()

    assert again.returncode == 3
    assert "is finished" in training.answer["problem"]
    assert training.epochs == list(range(first, first + EPOCHS))
