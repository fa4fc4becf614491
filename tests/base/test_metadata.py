from __future__ import annotations

from snapenv.base.metadata import ImageMetadata, correct, read_metadata
from snapenv.nvidia.catalogue import CatalogueImage, Kernels

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
