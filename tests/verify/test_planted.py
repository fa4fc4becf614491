"""Differences planted in clones of a real environment are caught and named.

That the environment alone raises no alarm is shown by ``python -m tests.benchmarks.repeat``.

A clone is made of hard links. A file that is edited gets an inode of its own first, so that the
environment itself stays as it is.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
import uv

from snapenv.index.wheels import IndexWheels
from snapenv.probe.probe import probe
from snapenv.steps.prove import prove
from snapenv.steps.runnable import Runnable
from snapenv.targets.local import LocalTarget
from snapenv.verify.fingerprint import compare_fingerprints, fingerprint_check
from snapenv.verify.libraries import compare_libraries
from snapenv.verify.smoke_train import smoke_train
from tests.fakes import ChangedFiles
from tests.probe.environments import compile_library
from tests.samples import sample_lock
from tests.verify.told import Told
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.facts import Facts
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.outcome import Check
    from snapenv.ports import Target

pytestmark = pytest.mark.exact


@pytest.fixture
def clone(exact_python: Path) -> Iterator[Path]:
    """Yield a copy of the environment's folder that shares its files, beside it."""
    folder = exact_python.parents[1]
    place = folder.with_name(f"planted-{os.getpid()}")
    subprocess.run(("cp", "-al", str(folder), str(place)), check=True)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def facts(exact_python: Path) -> Facts:
    """Return what the probe sees of the environment as it is."""
    return probe(LocalTarget(str(exact_python)))


def runnable(python: str) -> Runnable:
    return Runnable(target=LocalTarget(python), device="cpu", name="what came back")


def train(target: Target) -> Fingerprint:
    return smoke_train(target, device="cpu", task=Told())


def site(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3.*/site-packages")
    return found


def edit(file: Path, old: str, new: str) -> None:
    """Change a file of a clone, which has its inode alone from now on."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.unlink()
    file.write_text(text.replace(old, new), encoding="utf-8")


def install(environment: Path, requirement: str) -> None:
    """Put another version into a clone; copies, so that no file of uv's cache is shared."""
    subprocess.run(
        (
            *(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy"),
            *("--python", str(environment / "bin" / "python"), requirement),
        ),
        check=True,
        env={**os.environ, **IndexWheels(None).variables()},
    )


def plant_albumentations(folder: Path) -> None:
    """Make a package of this name that does nothing: its presence alone is a difference."""
    (folder / "albumentations").mkdir()
    (folder / "albumentations" / "__init__.py").write_text('__version__ = "2.0.8"\n')
    metadata = folder / "albumentations-2.0.8.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: albumentations\nVersion: 2.0.8\n"
    )


def repack(program: bytes, name: str, old: bytes, new: bytes) -> bytes:
    """Return the smoke-train with one line of one of its files changed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(program)) as before, zipfile.ZipFile(packed, "w") as after:
        for entry in before.infolist():
            source = before.read(entry)
            if entry.filename == name:
                assert source.count(old) == 1
                source = source.replace(old, new)
            after.writestr(entry, source)
    return packed.getvalue()


def judge_losses(reference: Fingerprint, actual: Fingerprint) -> Check:
    return fingerprint_check(compare_fingerprints(reference, actual, same_packages=True))


def test_an_edited_loss_file_is_proved_different_and_named(
    trained: Fingerprint, facts: Facts, clone: Path
) -> None:
    lock = sample_lock(facts=facts, baseline=trained)
    loss = site(clone) / "ultralytics" / "utils" / "loss.py"
    edit(loss, "loss[0] *= self.hyp.box", "loss[0] *= self.hyp.box * 1.0001")
    python = str(clone / "bin" / "python")

    proved = prove(runnable(python), lock, smoke=True, services=services())

    failing = {check.id: check for check in proved.checks if check.fails}
    assert set(failing) == {"distributions", "distribution.ultralytics", "fingerprint"}
    assert "edited ultralytics/utils/loss.py" in failing["distribution.ultralytics"].actual
    assert "differ from step 1 of 10" in failing["fingerprint"].actual
    assert "edited ultralytics/utils/loss.py" in (failing["fingerprint"].fix or "")
    assert (proved.verdict.part, proved.verdict.check) == (
        "environment",
        "distribution.ultralytics",
    )


def test_other_packages_and_a_second_copy_of_a_library_of_cuda_are_named(
    trained: Fingerprint, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(clone, "opencv-python-headless==4.12.0.88")
    plant_albumentations(site(clone))
    (original,) = site(clone).glob("nvidia/*/lib/libcudart.so.*")
    shutil.copy(original, tmp_path)
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / original.name))

    actual = train(LocalTarget(str(clone / "bin" / "python")))

    check = judge_losses(trained, actual)
    assert (check.ok, check.part) == (False, "environment")
    assert "opencv 5.0.0 → 4.12.0, albumentations absent → 2.0.8" in (check.fix or "")
    (twice,) = (check for check in compare_libraries(trained, actual) if check.fails)
    assert twice.id == f"libraries.{original.name}"
    assert str(tmp_path / original.name) in twice.actual
    assert f"site/{original.relative_to(site(clone))}" in twice.actual


def test_another_cudnn_is_named_by_what_the_library_itself_says(facts: Facts, clone: Path) -> None:
    lock = sample_lock(facts=facts)
    library = site(clone) / "nvidia" / "cudnn" / "lib" / "libcudnn.so.9"
    library.unlink()
    compile_library(library, "unsigned long cudnnGetVersion(void) { return 90100; }")
    python = str(clone / "bin" / "python")

    proved = prove(runnable(python), lock, smoke=False, services=services())

    failing = {check.id: check for check in proved.checks if check.fails}
    assert "cuDNN 9.1.0" in failing["frameworks"].actual
    assert any("libcudnn.so.9" in check.actual for check in failing.values())
    assert (proved.verdict.ok, proved.verdict.part) == (False, "environment")


@pytest.mark.full  # two threads that wait for each other take five times as long as one
def test_another_number_of_threads_is_named(trained: Fingerprint, exact_python: Path) -> None:
    def two(program: bytes) -> bytes:
        return repack(program, "snapenv_train/surroundings.py", b"THREADS = 1\n", b"THREADS = 2\n")

    target = ChangedFiles(
        LocalTarget(str(exact_python)),
        lambda files: {name: two(bytes(content)) for name, content in files.items()},
    )
    actual = train(target)

    check = judge_losses(trained, actual)
    assert (check.ok, check.part) == (False, "environment")
    assert "threads 1 → 2" in (check.fix or "")
