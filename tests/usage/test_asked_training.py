from __future__ import annotations

import pytest
from msgspec.structs import replace

from snapenv.model.usage import Training
from snapenv.usage.asked_training import asked_training, new_training, read_command
from tests.usage.values import sample_training, sample_usage_run

YOLO = ("yolo", "detect", "train", "data=coco.yaml")
EARLIER = sample_usage_run(command=(*YOLO, "model=yolov8n.pt", "epochs=100", "batch=64"))


@pytest.mark.parametrize(
    ("command", "rest", "options"),
    [
        (
            ("yolo", "train", "data=a.yaml", "epochs=3", "amp=False", "model=yolov8n.pt"),
            ("yolo", "train", "data=a.yaml"),
            {"epochs": 3, "amp": False, "model": "yolov8n.pt"},
        ),
        (
            (
                "python",
                "train.py",
                "--epochs",
                "3",
                "--batch-size=8",
                "--img",
                "320",
                "--name",
                "x",
            ),
            ("python", "train.py", "--name", "x"),
            {"epochs": 3, "batch": 8, "imgsz": 320},
        ),
        (("yolo", "train", "batch=-1"), ("yolo", "train"), {"batch": None}),
        (("yolo", "train", "imgsz=[640,480]"), ("yolo", "train"), {"imgsz": None}),
        (("train", "--epochs"), ("train", "--epochs"), {}),
        (("train", "--amp", "--epochs=²"), ("train", "--amp"), {"epochs": None}),
        (("env", "A=1", "sh", "-c", "epochs = 3"), ("env", "A=1", "sh", "-c", "epochs = 3"), {}),
        ((), (), {}),
    ],
)
def test_options_of_a_training_are_told_from_the_rest_of_a_command(
    command: tuple[str, ...], rest: tuple[str, ...], options: dict[str, object]
) -> None:
    asked = read_command(command)

    assert (asked.rest, asked.options) == (rest, options)


def test_the_data_is_known_from_an_earlier_run_and_the_options_from_the_command() -> None:
    asked = asked_training((*YOLO, "model=yolov8x.pt", "epochs=10", "batch=8"), [EARLIER])

    assert asked == sample_training(model="yolov8x.pt", epochs=10, batch=8)


def test_an_option_that_is_left_out_has_the_default_of_ultralytics() -> None:
    asked = asked_training((*YOLO, "model=yolov8n.pt"), [EARLIER])

    assert asked == sample_training(epochs=100, batch=16)


def test_what_a_script_does_without_an_option_is_not_known() -> None:
    earlier = replace(EARLIER, command=("python", "train.py", "--batch", "64"))

    asked = asked_training(("python", "train.py"), [earlier])

    assert asked == sample_training(batch=None)


def test_the_latest_run_with_that_data_counts() -> None:
    newer = replace(EARLIER, training=sample_training(images=9))
    no_training = replace(EARLIER, training=None)
    other_data = replace(newer, command=("yolo", "train", "data=other.yaml"))

    asked = asked_training(EARLIER.command, [no_training, other_data, newer, EARLIER])

    assert asked == sample_training(images=9)
    assert asked_training(("yolo", "train", "data=new.yaml"), [newer, EARLIER]) is None


def test_data_that_no_run_had_are_counted_for_the_program_of_ultralytics() -> None:
    command = ("/env/bin/yolo", "train", "data=new.yaml", "model=yolov8n.pt", "imgsz=320")

    asked = new_training(command, {"new.yaml": 70}.get)

    assert asked == Training(
        model="yolov8n.pt", epochs=100, imgsz=320, batch=16, workers=8, amp=True, images=70
    )


@pytest.mark.parametrize(
    "command",
    [
        ("python", "train.py", "data=new.yaml"),
        ("yolo", "val", "data=new.yaml"),
        ("yolo", "train", "model=yolov8n.pt"),
        (),
    ],
)
def test_of_another_program_the_data_are_not_known(command: tuple[str, ...]) -> None:
    assert new_training(command, {"new.yaml": 70}.get) is None
