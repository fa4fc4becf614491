"""What a training was asked to do, read from folders as ultralytics leaves them."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import resource
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.model.usage import EpochRow, Training
from snapenv.usage.results_csv import Row
from snapenv.usage.stop_rule import Plan
from snapenv.usage.training import (
    asked_batch,
    count_images,
    describe_training,
    epoch_duration_ms,
    find_batch,
    read_arguments,
    read_plan,
    with_results,
)
from tests.usage.training_folder import ARGUMENTS, checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "args.yaml").write_text(ARGUMENTS)
    return folder


def test_a_training_is_described_with_the_batch_that_it_really_used(
    training: Path, tmp_path: Path
) -> None:
    checkpoint(training / "weights" / "last.pt", {"epoch": 1, "train_args": {"batch": 4}})
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "data.yaml").write_text("path: .\ntrain: images\nval: images\n")
    for name in ("a.jpg", "b.PNG", "c.txt"):
        (tmp_path / "data" / "images" / name).touch()

    assert describe_training(training, str(tmp_path)) == Training(
        model="yolov8n.yaml",
        task="detect",
        epochs=12,
        images=2,
        imgsz=64,
        batch=4,
        amp=False,
        workers=0,
    )
    assert asked_batch(read_arguments(training)) == 16
    assert read_plan(read_arguments(training)) == Plan(
        epochs=12, warmup_epochs=2.5, close_mosaic=10
    )


@pytest.mark.parametrize(
    "text",
    ["", "- a list", "a: [", "\0", "a: &a [*a]\n", "? {}\n: 1\n", "{" * 5_000, "epochs: yes"],
)
def test_arguments_that_cannot_be_read_are_unknown(training: Path, text: str) -> None:
    (training / "args.yaml").write_text(text)

    assert describe_training(training, None) == Training()
    assert read_plan(read_arguments(training)) == Plan()
    assert describe_training(training / "nowhere", None) == Training()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_batch_is_found_where_its_name_was_seen_before(tmp_path: Path, protocol: int) -> None:
    name = "batch"
    content = {
        "model": {name: 640, "args": {name: -1}},
        "train_args": {"epochs": 3, "data": name, "imgsz": 32, name: 300},
        "later": {name: 7},
    }

    assert find_batch(checkpoint(tmp_path / "last.pt", content, protocol=protocol)) == 300


def test_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    witness = tmp_path / "executed"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (witness,))

    content = {"model": Hostile(), "train_args": {"batch": 8}}

    assert find_batch(checkpoint(tmp_path / "last.pt", content)) == 8
    assert not witness.exists()


def test_a_checkpoint_that_tells_no_batch_is_no_failure(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path / "last.pt", {"train_args": {"batch": 8}}).read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("other", b"")
    for content in (b"", whole[:40], whole[:-9], stream.getvalue()):
        (tmp_path / "last.pt").write_bytes(content)
        assert find_batch(tmp_path / "last.pt") is None
    for value in ({}, {"train_args": {"batch": 0.7}}, {"train_args": None}, {"batch": 4}):
        assert find_batch(checkpoint(tmp_path / "last.pt", value)) is None
    assert find_batch(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "pickled",
    [b"N" * 9_000_000 + b".", b"\x94" * 9_000_000 + b".", pickle.dumps(b"x" * (17 << 20))],
    ids=["operations", "memos", "bytes"],
)
def test_of_a_checkpoint_no_more_is_read_than_a_training_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pickled: bytes
) -> None:
    path = tmp_path / "last.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("last/data.pkl", pickled)
    steps = Counted(pickletools.genops)
    monkeypatch.setattr(pickletools, "genops", steps)

    assert find_batch(path) is None

    assert steps.count <= 1_000_000


def test_of_a_checkpoint_with_endless_entries_the_directory_is_not_read(tmp_path: Path) -> None:
    content = checkpoint(tmp_path / "last.pt", {"train_args": {"batch": 8}}).read_bytes()
    at = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    entries = content[at:end] * ((32 << 20) // (end - at))
    last = bytearray(content[end:])
    last[12:16] = len(entries).to_bytes(4, "little")
    path = tmp_path / "endless.pt"
    path.write_bytes(content[:at] + entries + last)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert find_batch(path) is None

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB


@pytest.mark.parametrize("name", ["args.yaml", "weights/last.pt", "data.yaml"])
def test_a_pipe_in_a_training_s_folder_is_not_waited_for(training: Path, name: str) -> None:
    (training / "weights").mkdir()
    (training / name).unlink(missing_ok=True)
    os.mkfifo(training / name)

    read_arguments(training)

    assert describe_training(training, str(training)).batch is (None if name[0] == "a" else 16)
    assert count_images(str(training / name), None) is None


class Counted:
    """Calls a generator, and counts what is taken of it."""

    def __init__(self, generate: Callable[..., Iterator[Any]]) -> None:
        self.count, self._generate = 0, generate

    def __call__(self, *arguments: object) -> Iterator[Any]:
        for value in self._generate(*arguments):
            self.count += 1
            yield value


def test_images_are_counted_wherever_data_are_described(tmp_path: Path) -> None:
    for place in ("set/train/cats", "set/train/dogs", "more"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.jpeg").touch()
    (tmp_path / "list.txt").write_text("./a.jpg\n./b.jpg\n\n./c.jpg\n")
    data = tmp_path / "data.yaml"

    assert count_images("set", str(tmp_path)) == 2  # a classification's folder
    data.write_text(f"path: {tmp_path}\ntrain: [set/train, more, list.txt]\n")
    assert count_images(str(data), None) == 6
    data.write_text("train: list.txt\n")
    assert count_images("data.yaml", str(tmp_path)) == 3
    for text in ("train: nowhere", "val: more", "train: 5", "path: [1]\ntrain: nowhere"):
        data.write_text(text)
        assert count_images(str(data), None) is None
    assert count_images("coco8.yaml", str(tmp_path)) is None
    assert count_images(None, None) is None


def test_what_came_of_a_training_is_the_best_of_its_epochs() -> None:
    metrics = (0.1, 0.5, None, 0.4, 0.5)
    rows = [
        EpochRow(key="run", attempt=1, epoch=epoch, at_ms=epoch, loss=1.0, metric=metric)
        for epoch, metric in enumerate(metrics, 1)
    ]

    found = with_results(Training(epochs=9), rows, metric="mAP50-95(B)", epoch_ms=70)
    unvalidated = with_results(Training(), [rows[2]], metric="mAP50-95(B)", epoch_ms=None)

    assert found == Training(
        epochs=9, epochs_done=5, metric="mAP50-95(B)", best=0.5, best_epoch=2, epoch_ms=70
    )
    assert unvalidated == Training(epochs_done=3)


def test_an_epoch_takes_the_median_without_the_first() -> None:
    rows = [
        Row(epoch=n, elapsed_s=s, loss=1.0, metric=None) for n, s in ((1, 50), (2, 60), (3, 72))
    ]
    untimed = [Row(epoch=row.epoch, elapsed_s=None, loss=1.0, metric=None) for row in rows]
    seen = [EpochRow(key="run", attempt=1, epoch=n, at_ms=n * n * 10, loss=1.0) for n in (1, 2, 3)]

    assert epoch_duration_ms(rows, seen) == 11_000
    assert epoch_duration_ms(untimed, seen) == 40
    assert epoch_duration_ms(rows[:1], seen[:1]) is None
