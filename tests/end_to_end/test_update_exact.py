"""The environment of 5 GB, updated for real: ultralytics, then torch with its CUDA libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from snapenv.lock.store import read_snapshot
from tests.command import Command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.exact, pytest.mark.full]

WITH_TORCH = {"nvidia-cudnn-cu13", "nvidia-cusparselt-cu13", "nvidia-nccl-cu13", "torchvision"}


@pytest.fixture(scope="module")
def captured(exact_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    snapshot = tmp_path_factory.mktemp("update-exact") / "snapshot"
    words = ("capture", "--python", str(exact_python), "--device", "cpu", "-o", str(snapshot))
    Command().result(*words)
    return snapshot


def updated(snapshot: Path, output: Path, *words: str) -> dict[str, Any]:
    done = ("update", str(snapshot), *words, "--device", "cpu", "-o", str(output))
    return Command().result(*done)


def test_ultralytics_moves_alone_and_its_losses_are_compared(
    captured: Path, tmp_path: Path
) -> None:
    older = updated(captured, tmp_path / "older", "--upgrade", "ultralytics==8.4.189")
    newer = updated(tmp_path / "older", tmp_path / "newer", "--upgrade", "ultralytics==8.4.190")

    for result, versions in ((older, ("8.4.190", "8.4.189")), (newer, ("8.4.189", "8.4.190"))):
        (move,) = result["moves"]
        assert (move["name"], move["before"], move["after"]) == ("ultralytics", *versions)
        assert [each["subject"] for each in result["differences"]] == ["ultralytics"]
        assert result["losses"]["first_differing_step"] is None
        assert len(result["losses"]["after"]) == 10
    line = Command().result("log", str(tmp_path / "newer"))["entries"]
    assert line[0]["losses"] == "losses identical"
    assert [entry["place"] for entry in line] == [
        str(tmp_path / "newer"),
        str(tmp_path / "older"),
        None,  # it lies in a folder of its own
    ]
    first, again = (read_snapshot(place).lock for place in (captured, tmp_path / "newer"))
    assert again.packages == first.packages


def test_torch_takes_its_libraries_with_it_where_they_may_move(
    captured: Path, tmp_path: Path
) -> None:
    words = ("update", str(captured), "--upgrade", "torch==2.12.0")

    told = Command().error("conflict", *words, "-o", str(tmp_path / "x"))
    done = updated(captured, tmp_path / "newer", "--upgrade", "torch==2.12.0", "--allow-moves")

    assert "torchvision 0.26.0" in told
    assert {move["name"] for move in done["moves"]} >= {"torch", *WITH_TORCH}
    assert {move["name"] for move in done["moves"] if move["requested"]} == {"torch"}
    assert all(move["before"] for move in done["moves"])
    lock = read_snapshot(tmp_path / "newer").lock
    assert lock.environment.torch
    assert lock.environment.torch.version == "2.12.0+cu130"
    assert lock.baseline
    assert lock.baseline.conditions.torch.startswith("2.12.0")
    assert done["losses"]["same_machine"] is True
