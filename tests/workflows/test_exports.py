"""``verify --exports``: part of the verdict, of what programs read, and of the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import UsageError
from snapenv.lock.store import write_snapshot
from snapenv.model.exports import Export
from snapenv.model.hardware import Hardware
from snapenv.ports import Completed
from snapenv.workflows.verify import Verify, verify
from tests.command import Command
from tests.samples import sample_facts, sample_fingerprint, sample_lock, sample_snapshot
from tests.workflows.services import REPOSITORY, services, target

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.outcome import Outcome
    from snapenv.model.results import ProofResult
    from tests.fakes import FakeTarget

BASELINE = sample_fingerprint((3.5, 2.5), device="cpu")
SNAPSHOT = sample_snapshot(sample_lock(baseline=BASELINE))
GOOD = Export(
    format="torchscript",
    runtime="torch 2.11.0",
    size_bytes=12_000_000,
    box_difference=7e-5,
    score_difference=6e-5,
    boxes=60,
    matched=60,
)


def exporting(export: Export, facts: Any = None) -> FakeTarget:  # noqa: ANN401
    made = target(facts or sample_facts(), BASELINE)
    answer = f"snapenv-export: {msgspec.json.encode([export]).decode()}\n"
    made.answers["snapenv_export.pyz"] = Completed(exit_code=0, stdout=answer, stderr="")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_snapshot(SNAPSHOT, tmp_path / "snapshot")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return tmp_path


def run(folder: Path, here: FakeTarget, **options: Any) -> Outcome[ProofResult]:  # noqa: ANN401
    request = Verify(
        ref=str(folder / "snapshot"),
        engine="venv",
        into=folder / ".venv",
        repository=REPOSITORY,
        device="cpu",
        exports=("torchscript",),
        report=folder / "page.html",
    )
    return verify(replace(request, **options), services(here=here))


def test_a_good_export_is_a_check_a_result_and_a_line_of_the_page(folder: Path) -> None:
    here = exporting(GOOD)

    done = run(folder, here)

    assert done.ok
    assert done.result.exports == (GOOD,)
    assert done.result.tier == "identical"
    assert [check.ok for check in done.checks if check.id == "export.torchscript"] == [True]
    assert "export.torchscript" in (folder / "page.html").read_text()
    (call,) = [call for call in here.calls if "snapenv_export.pyz" in call.files]
    assert json.loads(call.argv[-1]) == {"formats": ["torchscript"], "device": "cpu"}
    assert call.environment["YOLO_AUTOINSTALL"] == "false"


@pytest.mark.parametrize("smoke", [None, False])
def test_an_export_that_is_another_model_is_the_workloads_no(
    folder: Path, *, smoke: bool | None
) -> None:
    done = run(folder, exporting(replace(GOOD, box_difference=0.1, matched=3)), smoke=smoke)

    assert done.exit_code == 1
    assert done.verdict
    assert (done.verdict.part, done.verdict.check) == ("workload", "export.torchscript")
    assert done.verdict.next == wording(
        "Do not deploy an export to torchscript from here: it is not the model of torch."
    )
    assert "export.torchscript" in (folder / "page.html").read_text()


def test_without_exports_nothing_is_exported_or_said(folder: Path) -> None:
    here = exporting(GOOD)

    done = run(folder, here, exports=())

    assert done.result.exports is None
    assert [call for call in here.calls if "snapenv_export.pyz" in call.files] == []


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_an_engine_without_a_gpu_is_refused_before_anything_is_trained(
    folder: Path, device: str
) -> None:
    system = sample_facts().hardware.system
    here = exporting(GOOD, sample_facts(hardware=Hardware(system=system)))

    with pytest.raises(UsageError) as caught:
        run(folder, here, device=device, exports=("engine",))

    assert "an export to engine is made on a GPU" in caught.value.message
    assert [call for call in here.calls if "snapenv_train.pyz" in call.files] == []


def test_a_format_that_is_not_known_is_refused() -> None:
    error = Command().error("usage", "verify", "some-tag", "--exports", "onnx,tflite")

    assert "'tflite' is not one of 'torchscript', 'onnx', 'openvino', 'engine'" in error
