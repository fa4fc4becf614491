from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.base.metadata import (
    MARK,
    ImageMetadata,
    correct,
    inspect_image,
    parse_seen,
    read_metadata,
)
from snapenv.engine.docker import DockerEngine
from snapenv.errors import ProbeError
from snapenv.lock.store import write_snapshot
from snapenv.model.image import ImageRef
from snapenv.model.python import Torch
from snapenv.nvidia.catalogue import CatalogueImage, Kernels
from snapenv.ports import Completed
from snapenv.targets.local import LocalTarget
from tests.command import Command
from tests.fakes import FakeTarget, FakeTask
from tests.samples import sample_environment, sample_facts, sample_lock, sample_snapshot

if TYPE_CHECKING:
    from pathlib import Path


IMAGE = CatalogueImage(tag="25.10-py3", python="3.12", cuda=(13, 0), torch=(2, 9))
LABELS = {
    "com.nvidia.cuda.version": "9.0",
    "com.nvidia.cudnn.version": "9.14.0.64",
    "com.nvidia.nccl.version": "2.27.7",
    "com.nvidia.pytorch.version": "2.9.0a0+145a3a7",
}


def test_labels_tell_what_no_variable_tells_and_the_one_for_cuda_is_not_believed() -> None:
    metadata = read_metadata({}, LABELS)

    assert metadata == ImageMetadata(torch="2.9.0a0+145a3a7", cudnn="9.14.0.64", nccl="2.27.7")


def test_a_variable_beats_a_label() -> None:
    variables = {
        "CUDA_VERSION": "13.0.2.006",
        "CUDNN_VERSION": "9.15.0.1",
        "NCCL_VERSION": "2.28.1",
        "PYTORCH_VERSION": "2.10.0a0",
        "TORCH_CUDA_ARCH_LIST": "9.0 12.0+PTX",
    }

    metadata = read_metadata(variables, LABELS)

    assert metadata == ImageMetadata(
        cuda="13.0.2.006",
        torch="2.10.0a0",
        cudnn="9.15.0.1",
        nccl="2.28.1",
        kernels=Kernels(codes=((9, 0), (12, 0)), ptx=(12, 0)),
    )


def test_what_is_no_version_is_not_said() -> None:
    metadata = read_metadata({"CUDA_VERSION": "new", "PYTORCH_VERSION": "main"}, LABELS)

    assert (metadata.cuda, metadata.torch) == (None, "2.9.0a0+145a3a7")


def test_what_is_said_takes_the_place_of_the_catalogue_s_and_the_rest_stays() -> None:
    learned = correct(IMAGE, ImageMetadata(python="3.13.1", torch="2.10.0a0"), machine="arm64")

    assert learned == CatalogueImage(
        tag="25.10-py3",
        python="3.13",
        cuda=(13, 0),
        torch=(2, 10),
        machines=("amd64", "arm64"),
    )


def test_what_was_seen_counts_more_than_what_was_said() -> None:
    seen = ImageMetadata(python="3.12.3", torch="2.9.1")

    assert seen.over(read_metadata({}, LABELS)) == ImageMetadata(
        python="3.12.3", torch="2.9.1", cudnn="9.14.0.64", nccl="2.27.7"
    )


def answering(stdout: str, *, exit_code: int = 0) -> FakeTarget:
    done = Completed(exit_code=exit_code, stdout=stdout, stderr="Traceback\nit broke\n")
    return FakeTarget(python="python3", answers={"python3": done})


def test_an_answer_is_found_below_a_banner() -> None:
    told = {"python": "3.12.3", "torch": "2.9.0a0+145a3a7.nv25.10", "cuda": "13.0"}

    seen = inspect_image(answering(f"== PyTorch ==\n\n{MARK}{json.dumps(told)}\n"))

    assert seen == ImageMetadata(python="3.12.3", torch="2.9.0a0+145a3a7.nv25.10", cuda="13.0")


def test_a_program_that_fails_is_named_with_its_last_word() -> None:
    with pytest.raises(ProbeError) as caught:
        inspect_image(answering("", exit_code=1))

    assert str(caught.value) == wording("python3 of the image exited with 1: it broke")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"python": 3}', '{"python": "three"}', '{"python": "3.12", "torch": 2}'],
)
def test_an_answer_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ProbeError, match="reported its versions as"):
        parse_seen(text)


@pytest.mark.parametrize(
    ("lines", "cuda"),
    [
        ("__version__ = '2.11.0'\ncuda: Optional[str] = '13.0'\n", "13.0"),
        ("__version__ = '2.11.0'\ncuda = None\nraise SystemExit('it is not to be run')\n", None),
    ],
)
def test_torch_is_read_and_never_imported(lines: str, cuda: str | None, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "torch" / "version.py").write_text(lines)
    target = LocalTarget(python=sys.executable)

    class Here:
        python = target.python

        def run(self, argv: tuple[str, ...], **_: object) -> Completed:
            return target.run(argv, environment={"PYTHONPATH": str(tmp_path)})

    seen = inspect_image(Here())  # type: ignore[arg-type]  # it is asked for nothing else

    version = ".".join(map(str, sys.version_info[:3]))
    assert seen == ImageMetadata(python=version, torch="2.11.0", cuda=cuda)


@pytest.mark.docker
def test_a_real_image_that_is_here_is_looked_into_and_its_python_found(
    torch_image: str, tmp_path: Path
) -> None:
    """The catalogue says that 25.01 has Python 3.12; the stand-in under that name has Debian's."""
    DockerEngine().pull(ImageRef.parse(torch_image), FakeTask())
    environment = sample_environment(python="3.12.3", torch=Torch(version="2.6.0", cuda="12.8"))
    lock = sample_lock(facts=sample_facts(environment=environment))
    write_snapshot(sample_snapshot(lock), tmp_path / "snapshot")
    mirror = torch_image.partition("/")[0]

    result = Command().result(
        "bases", str(tmp_path / "snapshot"), "--mirror", mirror, "--limit", "80"
    )

    found = next(one for one in result["bases"] if one["image"] == torch_image)
    assert (found["inspected"], found["local"]) == (True, True)
    assert (found["python"], found["torch"]) == ("3.13", "2.6")
    assert found["rank"] > 1
