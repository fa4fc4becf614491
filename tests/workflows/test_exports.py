"""``verify --exports``: part of the verdict, of what programs read, and of the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import ExportError, SmokeTrainError, UsageError
from snapenv.lock.store import read_snapshot, write_snapshot
from snapenv.model.exports import Export
from snapenv.model.fingerprint import Speed
from snapenv.model.hardware import Hardware
from snapenv.ports import Completed
from snapenv.steps.capture_request import Capture
from snapenv.steps.locking import lock_environment
from snapenv.workflows.show import show
from snapenv.workflows.verify import Verify, verify
from tests.command import Command
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_lock,
    sample_pylock,
    sample_snapshot,
    wheel_name,
)
from tests.steady import steady
from tests.workflows.services import REPOSITORY, FakeWheels, services, target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.model.outcome import Outcome
    from snapenv.model.python import Distribution
    from snapenv.model.results import CaptureResult, ProofResult
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
    device="cpu",
    tolerance=2e-4,
)
ULTRALYTICS = sample_distribution("ultralytics")
CAPTURED = sample_snapshot(sample_lock(baseline=replace(BASELINE, exports=(GOOD,))))


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


def test_an_export_is_compared_with_that_of_the_capture(folder: Path) -> None:
    write_snapshot(CAPTURED, folder / "captured")
    far = replace(GOOD, score_difference=0.1, matched=31)

    done = run(folder, exporting(far), ref=str(folder / "captured"))

    assert done.exit_code == 1
    (check,) = [check for check in done.checks if check.id == "export.torchscript"]
    assert GOOD.words in check.expected
    assert far.words in check.actual
    page = (folder / "page.html").read_text()
    section = page[page.index('id="exports"') : page.index('id="checks"')]
    assert section.count("6.0e-05") == 1
    assert section.count("1.0e-01") == 1
    assert "60 of 60" in section
    assert "31 of 60" in section


def test_exports_of_a_capture_are_not_tried_unless_that_is_asked_for(folder: Path) -> None:
    write_snapshot(CAPTURED, folder / "captured")

    done = run(folder, exporting(GOOD), ref=str(folder / "captured"), exports=())

    assert (done.exit_code, done.result.exports) == (0, None)
    assert 'id="exports"' not in (folder / "page.html").read_text()


def captured(
    here: FakeTarget,
    folder: Path,
    packages: Sequence[Distribution] = (ULTRALYTICS,),
    **options: Any,  # noqa: ANN401
) -> Outcome[CaptureResult]:
    """Capture an environment of these packages, which its index has."""
    here.answers["uv"] = Completed(exit_code=0, stdout="uv 0.9.3\n", stderr="")
    offered = sample_pylock((*packages, sample_distribution("uv", "0.9.3")))
    here.answers["requirements.in"] = Completed(exit_code=0, stdout=offered, stderr="")
    records = {wheel_name(each): "" for each in packages}
    outside = services(here=here, wheels=FakeWheels(records))
    facts = sample_facts(environment=sample_environment(torch=None, distributions=packages))
    request = Capture(output=folder / "new", device="cpu", exports=("torchscript",), prove="off")
    return lock_environment(replace(request, **options), facts, here, outside)


def test_a_capture_keeps_exports_beside_the_speed_and_shows_them(folder: Path) -> None:
    done = captured(exporting(GOOD), folder)

    assert done.result.exports == (GOOD,)
    assert f"export to torchscript: {GOOD.words}" in done.lines
    snapshot = read_snapshot(folder / "new")
    assert snapshot.lock.baseline
    assert snapshot.lock.baseline.exports == (GOOD,)
    assert "torchscript" not in (folder / "new/snapenv.toml").read_text()
    measured = json.loads((folder / "new/measured.json").read_text())
    assert measured["exports"][0]["tolerance"] == 2e-4
    assert msgspec.convert(measured, Speed) == BASELINE.speed  # as an older snapenv reads it
    card = show(str(folder / "new"), services(), repository=REPOSITORY)
    assert card.result.baseline
    assert card.result.baseline.exports == (GOOD,)
    assert any(GOOD.words in line for line in card.lines)


def test_a_capture_refuses_an_export_that_is_not_the_model(folder: Path) -> None:
    with pytest.raises(ExportError) as caught:
        captured(exporting(replace(GOOD, box_difference=0.1)), folder)

    assert steady(caught.value.message) == wording(
        "an export to torchscript is no baseline: torch 2.11.0: boxes 1.0e-01 of the image's side, scores 6.0e-05, 60 of 60 boxes matched (expected: boxes and scores of torch within 2e-04)"
    )
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"smoke": False}, UsageError),
        ({"exports": ("engine",)}, UsageError),
        ({"packages": [sample_distribution("torch")]}, SmokeTrainError),
    ],
    ids=["no smoke-train", "no GPU", "no ultralytics"],
)
def test_a_capture_that_cannot_try_exports_is_refused_before_anything_is_trained(
    folder: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    here = exporting(GOOD)

    with pytest.raises(error):
        captured(here, folder, **options)

    assert [call for call in here.calls if "snapenv_train.pyz" in call.files] == []


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

    assert error == wording("""\
error: Invalid value for '--exports': 'tflite' is not one of 'torchscript', 'onnx', 'openvino', 'engine'.
hint: See snapenv --help.
""")
