"""A model that was exported is torch's, or it is named: judged on values, and tried for real."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace
from uv import find_uv_bin

from snapenv.engine.docker import DockerEngine
from snapenv.errors import ExportError
from snapenv.index.wheels import IndexWheels
from snapenv.model.exports import Export
from snapenv.ports import Completed
from snapenv.steps.exporting import try_exports_of, with_exports
from snapenv.steps.runnable import Runnable, in_container
from snapenv.targets.local import LocalTarget
from snapenv.verify.exports import export_check, try_exports
from tests.fakes import FakeTarget, FakeTask
from tests.real_index import facts_of_this_machine
from tests.samples import sample_distribution, sample_fingerprint
from tests.workflows.services import services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.exports import ExportFormat
    from snapenv.model.facts import Facts
    from snapenv.ports import Services

GOOD = Export(
    format="onnx",
    runtime="onnxruntime 1.22.0",
    size_bytes=12_000_000,
    box_difference=3e-5,
    score_difference=4e-5,
    boxes=60,
    matched=60,
    device="cpu",
)
ENGINE = replace(GOOD, format="engine", runtime="tensorrt 10.13", device="NVIDIA H200")
FAR = {"box_difference": 1e-3}

AN_EDIT_OF_EVERY_ONNX_FILE = """
try:
    from ultralytics.engine.exporter import Exporter
except ImportError:
    pass
else:
    export_onnx = Exporter.export_onnx
    def planted(self, *words, **named):
        made = export_onnx(self, *words, **named)
        import onnx
        model = onnx.load(self.file.with_suffix(".onnx"))
        weight = [one for one in model.graph.initializer if len(one.dims) == 4][0]
        numbers = onnx.numpy_helper.to_array(weight).copy()
        numbers.flat[0] += 0.001
        weight.CopyFrom(onnx.numpy_helper.from_array(numbers, weight.name))
        onnx.save(model, self.file.with_suffix(".onnx"))
        return made
    Exporter.export_onnx = planted
"""


def test_an_export_within_single_precision_is_torchs_model() -> None:
    check = export_check(GOOD)

    assert (check.id, check.ok, check.part, check.fix) == ("export.onnx", True, "workload", None)
    assert check.actual == wording(
        "onnxruntime 1.22.0: boxes 3.0e-05 of the image's side, scores 4.0e-05, 60 of 60 boxes matched"
    )


@pytest.mark.parametrize(
    "apart",
    [
        replace(GOOD, box_difference=2.1e-4),
        replace(GOOD, score_difference=2.1e-4),
        replace(GOOD, matched=59),
        replace(GOOD, format="openvino", score_difference=5.1e-4),
        replace(GOOD, box_difference=None, score_difference=None, error="RuntimeError: no"),
        Export(format="onnx", missing=("onnxslim",)),
        Export(format="engine", missing=("tensorrt",)),
        Export(format="engine", error="torch sees no GPU"),
    ],
)
def test_what_is_farther_or_was_not_compared_fails(apart: Export) -> None:
    check = export_check(apart)

    assert check.fails
    assert check.fix


def test_what_is_missing_is_named() -> None:
    check = export_check(Export(format="onnx", missing=("onnx", "onnxslim")))

    assert check.actual == "onnx, onnxslim cannot be imported"


@pytest.mark.parametrize(
    ("captured", "severity"),
    [
        (None, "warning"),
        (replace(ENGINE, **FAR), "warning"),
        (replace(ENGINE, device="NVIDIA A100"), "warning"),
        (ENGINE, "error"),
    ],
    ids=["no capture", "as far at capture", "another GPU", "near at capture"],
)
def test_how_far_tensorrt_is_off_only_warns_unless_a_capture_was_near(
    captured: Export | None, severity: str
) -> None:
    captured = captured and replace(captured, tolerance=2e-4)

    check = export_check(replace(ENGINE, **FAR), captured)

    assert (check.ok, check.severity) == (False, severity)


def test_an_export_that_was_good_at_capture_fails_with_the_figures_of_both() -> None:
    captured = replace(GOOD, tolerance=2e-4)

    far = export_check(replace(GOOD, score_difference=0.1, matched=31), captured)
    failed = export_check(Export(format="onnx", error="RuntimeError: no"), captured)
    good = export_check(replace(GOOD, box_difference=6e-5), captured)

    assert (far.fails, failed.fails, good.ok) == (True, True, True)
    assert (far.expected, far.actual) == wording(
        (
            "boxes and scores of torch within 2e-04; at capture onnxruntime 1.22.0: boxes 3.0e-05 of the image's side, scores 4.0e-05, 60 of 60 boxes matched",
            "onnxruntime 1.22.0: boxes 3.0e-05 of the image's side, scores 1.0e-01, 31 of 60 boxes matched",
        )
    )
    assert "at capture onnxruntime 1.22.0: boxes 3.0e-05" in failed.expected


def test_the_tolerance_is_that_of_the_capture() -> None:
    apart = replace(GOOD, box_difference=1e-4)

    assert export_check(apart).ok
    assert export_check(apart, replace(GOOD, tolerance=5e-5)).fails


def test_where_another_runtime_ran_it_at_capture_that_is_the_first_thing_to_try() -> None:
    captured = replace(GOOD, runtime="onnxruntime 1.20.0", tolerance=2e-4)

    check = export_check(replace(GOOD, **FAR), captured)

    assert check.fix
    assert "onnxruntime 1.20.0 ran that of the capture" in check.fix


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Completed(exit_code=4, stdout="", stderr="torch"), "torch is not installed in"),
        (Completed(exit_code=1, stdout="", stderr="snapenv-export: ValueError: x"), "ValueError"),
        (Completed(exit_code=0, stdout="", stderr=""), "0 answers instead of one"),
    ],
)
def test_where_no_export_can_be_tried_that_is_an_error(done: Completed, words: str) -> None:
    target = FakeTarget(answers={"snapenv_export.pyz": done})

    with pytest.raises(ExportError) as caught:
        try_exports(target, ["onnx"], {}, device="cpu", task=FakeTask())

    assert words in caught.value.message


def tried(
    python: Path, *formats: ExportFormat, runnable: Runnable | None = None
) -> tuple[Export, ...]:
    """Try exports with a layer from the index, on this machine or where ``runnable`` is."""
    here = Runnable(target=LocalTarget(str(python)), device="cpu", name=".venv")
    return try_exports_of(runnable or here, formats, facts_of(python), outside())


def outside() -> Services:
    return replace(services(), local=LocalTarget, uv=find_uv_bin, wheels=IndexWheels(None))


def facts_of(python: Path) -> Facts:
    """Return the versions of an environment, as far as a layer must fit them."""
    found = (
        folder.name.removesuffix(".dist-info").rpartition("-")
        for folder in python.parents[1].glob("lib/python3*/site-packages/*.dist-info")
    )
    pins = [
        sample_distribution(name.replace("_", "-").lower(), version) for name, _, version in found
    ]
    return facts_of_this_machine(*pins)


def names(python: Path) -> set[str]:
    return {path.name for path in python.parents[1].glob("lib/python3*/site-packages/*")}


@pytest.fixture(scope="module")
def captured(exact_python: Path) -> tuple[Export, Export, set[str]]:
    """What a baseline has of a real environment, and what that held before."""
    before = names(exact_python)
    baseline = sample_fingerprint()
    runnable = Runnable(target=LocalTarget(str(exact_python)), device="cpu", name=".venv")
    found = with_exports(
        baseline, runnable, ("torchscript", "onnx"), facts_of(exact_python), outside()
    )
    assert replace(found, exports=None) == baseline
    torchscript, onnx = found.exports or ()
    return torchscript, onnx, before


@pytest.mark.exact
def test_exports_of_a_real_environment_are_torchs_model_and_leave_it_as_it_is(
    captured: tuple[Export, Export, set[str]], exact_python: Path
) -> None:
    torchscript, onnx, before = captured

    assert export_check(torchscript).ok, torchscript
    assert export_check(onnx).ok, onnx
    assert (onnx.tolerance, onnx.device) == (2e-4, "cpu")
    assert onnx.runtime
    assert onnx.runtime.startswith("onnxruntime ")
    assert (onnx.size_bytes or 0) > 12_000_000  # 3.15 million weights of 4 bytes
    assert (onnx.boxes, onnx.missing, onnx.error) == (60, (), None)
    assert (onnx.score_difference or 0) > 0
    assert names(exact_python) == before
    assert "onnx" not in before


@pytest.mark.exact
def test_one_weight_that_was_edited_is_caught(
    captured: tuple[Export, Export, set[str]],
    exact_python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(AN_EDIT_OF_EVERY_ONNX_FILE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))

    (onnx,) = tried(exact_python, "onnx")

    check = export_check(onnx, captured[1])
    assert check.fails
    assert captured[1].words in check.expected
    assert (onnx.error, onnx.missing) == (None, ())
    assert (onnx.box_difference or 0) > 1e-3


@pytest.mark.exact
def test_without_a_layer_all_that_is_missing_is_named(exact_python: Path) -> None:
    target = LocalTarget(str(exact_python))

    (onnx,) = try_exports(target, ["onnx"], {}, device="cpu", task=FakeTask())

    missing = ("onnx", "onnxslim", "onnxruntime")
    assert onnx == Export(format="onnx", missing=missing, tolerance=2e-4)


@pytest.mark.exact
@pytest.mark.full
def test_openvino_in_single_precision_is_torchs_model(exact_python: Path) -> None:
    (openvino,) = tried(exact_python, "openvino")

    assert export_check(openvino).ok, openvino


@pytest.mark.docker
@pytest.mark.exact
@pytest.mark.full
def test_a_layer_reaches_a_container_without_network(
    exact_python: Path, plain_bookworm: str
) -> None:
    name = f"snapenv-exports-{os.getpid()}"
    folders = (exact_python.parents[1], exact_python.resolve().parents[1])
    mounts = [word for one in folders for word in ("--volume", f"{one}:{one}:ro")]
    run = ("docker", "run", "--detach", "--network", "none", "--name", name, *mounts)
    subprocess.run((*run, plain_bookworm, "sleep", "600"), check=True)
    try:
        target = DockerEngine().container_target(name, python=str(exact_python))

        (onnx,) = tried(exact_python, "onnx", runnable=in_container(target, name, device="cpu"))
    finally:
        subprocess.run(("docker", "rm", "--force", name), check=True)

    assert export_check(onnx).ok, onnx
