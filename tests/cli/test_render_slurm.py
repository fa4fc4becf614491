"""render --as slurm and --as apptainer, as a user types them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.lock.store import write_snapshot
from tests.command import Command
from tests.render.workloads import IMAGE
from tests.samples import TAG, sample_snapshot

if TYPE_CHECKING:
    from pathlib import Path

AS = ("render", "snapshot", "--image", str(IMAGE), "--as")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a snapshot in it."""
    write_snapshot(sample_snapshot(), tmp_path / "snapshot")
    return tmp_path


def test_a_job_is_rendered_with_what_is_asked_of_the_cluster(project: Path) -> None:
    options = ("--runtime", "pyxis", "--gpus", "2", "--time", "1-00", "--memory", "64g")

    done = Command().run(*AS, "slurm", *options, "--", "yolo", "train", folder=project)

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == f"next: sbatch {TAG}.sbatch"
    script = (project / f"{TAG}.sbatch").read_text(encoding="utf-8")
    for line in ("#SBATCH --gres=gpu:2", "#SBATCH --time=1-00", "#SBATCH --mem=65536M"):
        assert f"\n{line}\n" in script
    assert "\n    set -- yolo train\n" in script
    assert "srun --disable-status" in script


def test_an_archive_becomes_a_definition(project: Path) -> None:
    done = Command().run(*AS, "apptainer", "--archive", "train.snapenv", folder=project)

    assert done.returncode == 0, done.stderr
    definition = (project / f"{TAG}.def").read_text(encoding="utf-8")
    assert "\nBootstrap: oci\nFrom: oci-image\n" in definition


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("slurm", "--time", "8h"), "--time '8h'"),
        (("slurm", "--signal-before", "10"), "--signal-before"),
        (("slurm", "--runtime", "podman"), "podman"),
        (("slurm", "--archive", "a"), "--archive is an option of --as apptainer"),
        (("apptainer", "--partition", "gpu"), "--partition is an option of --as slurm"),
    ],
)
def test_what_the_target_does_not_have_is_a_usage_error(
    project: Path, words: tuple[str, ...], named: str
) -> None:
    assert named in Command().error("usage", *AS, *words, folder=project)
    assert [path.name for path in project.iterdir()] == ["snapshot"]
