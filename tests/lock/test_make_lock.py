from __future__ import annotations

import pytest

from snapenv.lock.make_lock import name_environment
from snapenv.model.python import Torch
from tests.samples import sample_distribution, sample_environment


def name(*, torch: Torch | None = None, ultralytics: str | None = None, level: str = "base") -> str:
    packages = [sample_distribution("ultralytics", ultralytics)] if ultralytics else []
    environment = sample_environment(torch=torch, distributions=packages)
    return str(name_environment(environment, purpose="train", level=level))


def test_ultralytics_names_the_framework_and_torch_the_compute() -> None:
    torch = Torch(version="2.1.0+cu118", cuda="11.8")

    assert name(torch=torch, ultralytics="8.4.190", level="amp") == "train-yolov8.4.190-amp-cu118"


def test_without_ultralytics_torch_names_the_framework() -> None:
    assert name(torch=Torch(version="2.6.0+debian")) == "train-torch2.6.0_debian-base-cpu"


def test_without_torch_python_names_it() -> None:
    assert name() == "train-py3.11-base-cpu"


def test_a_level_that_cannot_stand_in_a_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="no tag of the form"):
        name(level="a-b")
