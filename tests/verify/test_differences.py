from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.hardware import DriverFault, GpuFault
from snapenv.model.outcome import Difference, Group
from snapenv.model.python import Distribution, Interpreter, Libraries, UntrackedFile
from snapenv.verify.differences import CONSEQUENCES, differences
from tests.samples import (
    GPU,
    INDEX_TORCH,
    sample_distribution,
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_files,
    sample_hardware,
    sample_native,
)

if TYPE_CHECKING:
    from snapenv.model.facts import Facts, NativeLibrary
    from snapenv.model.python import Files

PLAIN = sample_facts()
NATIVE = sample_native()
COMPILED = ("cp311-cp311-manylinux_2_28_x86_64",)


def one(group: Group, subject: str, left: str | None, right: str | None) -> Difference:
    return Difference(group=group, subject=subject, left=left, right=right)


def holding(*distributions: Distribution, python: str = "3.11.7") -> Facts:
    """Return facts in which these packages are all there are, and no torch."""
    return sample_facts(
        environment=sample_environment(python=python, torch=None, distributions=distributions)
    )


def on(**parts: object) -> Facts:
    """Return facts on a machine whose system has these parts."""
    hardware = sample_hardware()
    system = replace(hardware.system, **parts)
    return sample_facts(hardware=replace(hardware, system=system))


def with_environment(**parts: object) -> Facts:
    return sample_facts(environment=replace(sample_environment(), **parts))


def with_torch(**parts: object) -> Facts:
    return with_environment(torch=replace(INDEX_TORCH, **parts))


def test_two_equal_looks_differ_in_nothing() -> None:
    facts = replace(sample_facts(native=NATIVE), settings={"wandb": True})

    assert differences(facts, facts) == ()


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (
            sample_facts(environment=sample_environment(python="3.12.3")),
            one("abi", "Python", "cpython 3.11.7", "cpython 3.12.3"),
        ),
        (
            with_environment(interpreter=Interpreter(implementation="pypy", version="3.11.7")),
            one("abi", "Python", "cpython 3.11.7", "pypy 3.11.7"),
        ),
        (
            sample_facts(environment=sample_environment(python="3.11.9")),
            one("behaviour", "Python", "cpython 3.11.7", "cpython 3.11.9"),
        ),
        (with_torch(version="2.10.0"), one("abi", "torch", "2.11.0+cu130", "2.10.0")),
        (with_torch(cuda="12.8"), one("abi", "CUDA", "13.0", "12.8")),
        (with_torch(cuda=None), one("abi", "CUDA", "13.0", None)),
        (with_torch(cuda="13.1"), one("numerics", "CUDA", "13.0", "13.1")),
        (with_torch(git="0" * 40), one("abi", "torch's commit", "70d99e998b49", "0" * 12)),
        (
            with_environment(libraries=Libraries(cudnn="9.10.2", nccl="2.28.9")),
            one("numerics", "cuDNN", "9.19.0", "9.10.2"),
        ),
        (
            with_environment(libraries=Libraries(cudnn="9.19.0")),
            one("numerics", "NCCL", "2.28.9", None),
        ),
        (on(glibc="2.39"), one("abi", "glibc", "2.36", "2.39")),
        (on(machine="aarch64"), one("abi", "architecture", "x86_64", "aarch64")),
        (on(os="ubuntu 24.04"), one("cosmetic", "operating system", "debian 12", "ubuntu 24.04")),
        (on(container="docker"), one("cosmetic", "container", None, "docker")),
        (on(cpu="other"), one("cosmetic", "processor", "Intel(R) Xeon(R) Platinum 8480C", "other")),
        (on(cpu_count=2), one("cosmetic", "processors", "16", "2")),
        (on(cuda_toolkit="12.4.1"), one("cosmetic", "CUDA toolkit", None, "12.4.1")),
        (
            sample_facts(hardware=replace(sample_hardware(), gpus=(GPU, GPU))),
            one("cosmetic", "GPUs", "1 x NVIDIA H200", "2 x NVIDIA H200"),
        ),
        (
            sample_facts(
                hardware=replace(
                    sample_hardware(),
                    gpus=(),
                    gpu_faults=(GpuFault(number=0, error="GPU is lost"),),
                )
            ),
            one("cosmetic", "GPUs", "1 x NVIDIA H200", "1 x that does not answer"),
        ),
        (
            sample_facts(
                hardware=replace(sample_hardware(), driver_fault=DriverFault(error="mismatch"))
            ),
            one("cosmetic", "driver", "580.95.05", "does not answer"),
        ),
        (
            sample_facts(image={"NVIDIA_PYTORCH_VERSION": "25.01"}),
            one("cosmetic", "NVIDIA_PYTORCH_VERSION", None, "25.01"),
        ),
        (
            sample_facts(variables={"NVIDIA_TF32_OVERRIDE": "0"}),
            one("numerics", "NVIDIA_TF32_OVERRIDE", None, "0"),
        ),
        (
            sample_facts(variables={"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}),
            one("numerics", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", None, "1"),
        ),
        (
            sample_facts(variables={"CUDA_LAUNCH_BLOCKING": "1"}),
            one("behaviour", "CUDA_LAUNCH_BLOCKING", None, "1"),
        ),
        (
            replace(PLAIN, settings={"wandb": True}),  # written since, with a default
            one("cosmetic", "ultralytics' wandb", None, "on"),
        ),
        (
            replace(PLAIN, settings={"clearml": True}),
            one("cosmetic", "ultralytics' clearml", None, "on"),
        ),
        (
            replace(PLAIN, settings={"clearml": False}),  # the default is on
            one("behaviour", "ultralytics' clearml", None, "off"),
        ),
        (
            with_environment(outside=("ours.pth: ~/project",)),
            one("behaviour", "ours.pth: ~/project", None, "leads outside"),
        ),
        (
            with_environment(untracked=(UntrackedFile(path="ours.py", sha256="ab" * 32),)),
            one("behaviour", "ours.py", None, "content abababababab"),
        ),
        (
            with_environment(untracked=(UntrackedFile(path="ours", link="click"),)),
            one("behaviour", "ours", None, "-> click"),
        ),
        (
            with_environment(untracked=(UntrackedFile(path="cv2/ours.py", sha256="ab" * 32),)),
            one("numerics", "cv2/ours.py", None, "content abababababab"),
        ),
    ],
    ids=lambda value: value.subject if isinstance(value, Difference) else "",
)
def test_one_part_is_one_difference_with_its_consequence(
    right: Facts, expected: Difference
) -> None:
    assert differences(PLAIN, right) == (expected,)
    assert differences(right, PLAIN) == (
        replace(expected, left=expected.right, right=expected.left),
    )


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("torch", "abi"),
        ("numpy", "numerics"),
        ("scipy", "numerics"),
        ("pillow", "numerics"),
        ("opencv-python", "numerics"),
        ("opencv-contrib-python-headless", "numerics"),
        ("torchvision", "numerics"),
        ("ultralytics", "numerics"),
        ("albumentations", "numerics"),
        ("nvidia-cudnn-cu13", "numerics"),
        ("nvidia-cublas", "numerics"),
        ("nvidia-ml-py", "behaviour"),
        ("ultralytics-thop", "behaviour"),
        ("numpydoc", "behaviour"),
        ("click", "behaviour"),
    ],
)
@pytest.mark.parametrize("other", ["1.1", None])
def test_a_package_of_another_version_or_on_one_side_alone_is_of_its_group(
    name: str, group: Group, other: str | None
) -> None:
    right = holding(sample_distribution(name, other)) if other else holding()

    found = differences(holding(sample_distribution(name, "1.0")), right)

    assert found == (one(group, name, "1.0", other),)


def test_the_version_of_torch_is_told_once() -> None:
    others = [each for each in sample_distributions() if each.name != "torch"]
    other = sample_environment(
        distributions=[*others, sample_distribution("torch", "2.10.0")],
        torch=replace(INDEX_TORCH, version="2.10.0+cu130", git="0" * 40),
    )

    found = differences(PLAIN, sample_facts(environment=other))

    assert found == (one("abi", "torch", "2.11.0+cu130", "2.10.0+cu130"),)


def test_the_gravest_group_comes_first_and_packages_by_name() -> None:
    left = holding(*(sample_distribution(name, "1") for name in ("click", "numpy", "attrs")))
    right = holding(
        *(sample_distribution(name, "2") for name in ("click", "numpy", "attrs")), python="3.12.1"
    )

    found = differences(left, right)

    assert [each.subject for each in found] == ["Python", "numpy", "attrs", "click"]
    assert list(CONSEQUENCES) == ["abi", "numerics", "behaviour", "cosmetic"]


def click(files: Files, version: str = "8.1") -> Facts:
    return holding(sample_distribution("click", version, files=files))


def test_files_that_were_edited_or_deleted_on_one_side_are_named() -> None:
    edited = sample_files("by hand", edited=("click/core.py",), missing=("click/testing.py",))

    found = differences(click(sample_files()), click(edited))

    assert found == (
        one("behaviour", "click/core.py", "as installed", "edited"),
        one("behaviour", "click/testing.py", "as installed", None),
    )


def test_edited_files_of_what_computes_are_numerics_those_of_torch_too() -> None:
    edited = sample_files("by hand", edited=("torch/nn/init.py",))

    found = differences(
        holding(sample_distribution("torch")),
        holding(sample_distribution("torch", files=edited)),
    )

    assert found == (one("numerics", "torch/nn/init.py", "as installed", "edited"),)


def test_an_edited_file_is_told_beside_another_version() -> None:
    found = differences(
        click(sample_files()), click(sample_files("by hand", edited=("click/core.py",)), "8.2")
    )

    assert [each.subject for each in found] == ["click", "click/core.py"]


def test_which_files_may_be_run_is_told_of_one_version_alone() -> None:
    sides = [
        replace(sample_files(), executable=executable) for executable in (("a.so",), ("b.so",))
    ]

    same = differences(click(sides[0]), click(sides[1]))
    another = differences(click(sides[0]), click(sides[1], "8.2"))

    assert same == (
        one("behaviour", "a.so", "executable", "not executable"),
        one("behaviour", "b.so", "not executable", "executable"),
    )
    assert another == (one("behaviour", "click", "8.1", "8.2"),)


def test_a_file_that_both_sides_edited_otherwise_is_named_with_the_package() -> None:
    left = sample_files("one hand", edited=("click/core.py",))
    right = sample_files("another hand", edited=("click/core.py",))

    found = differences(click(left), click(right))

    assert found == (
        one(
            "behaviour",
            "click",
            f"edited click/core.py, content {left.sha256[:12]}",
            f"edited click/core.py, content {right.sha256[:12]}",
        ),
    )


def test_what_is_told_as_edited_is_no_difference_where_the_content_is_the_same() -> None:
    carried = sample_files("by hand", edited=("click/core.py",))

    assert differences(click(carried), click(sample_files("by hand"))) == ()


@pytest.mark.parametrize(
    ("before", "edited", "told"),
    [
        ("another build", "click/core.py", ["click", "click/core.py"]),
        ("as installed", "click/core.py", ["click/core.py"]),
        ("another build", "../../../bin/click", ["../../../bin/click"]),
    ],
    ids=["another build", "the same build", "a script, of which that is not known"],
)
def test_another_build_below_the_edits_is_told_where_it_is_known(
    before: str, edited: str, told: list[str]
) -> None:
    by_hand = replace(
        sample_files("by hand", edited=(edited,)), recorded=sample_files(before).sha256
    )

    found = differences(click(sample_files()), click(by_hand))

    assert [each.subject for each in found] == told


def test_another_build_of_the_same_version_differs_in_its_content() -> None:
    left, right = sample_files("one build"), sample_files("another build")

    found = differences(click(left), click(right))

    assert found == (
        one("behaviour", "click", f"content {left.sha256[:12]}", f"content {right.sha256[:12]}"),
    )


def test_content_that_one_side_does_not_know_is_a_difference() -> None:
    unknown = replace(sample_distribution("numpy", "1.0"), files=None)

    found = differences(holding(unknown), holding(sample_distribution("numpy", "1.0")))

    assert [(each.group, each.left) for each in found] == [
        wording(("numerics", "content unknown, no RECORD"))
    ]
    assert differences(holding(unknown), holding(unknown)) == ()


def test_a_compiled_wheel_for_another_system_is_abi() -> None:
    files = sample_files()
    own_build = sample_distribution("click", tags=("cp311-cp311-linux_x86_64",), files=files)

    found = differences(
        holding(sample_distribution("click", tags=COMPILED, files=files)), holding(own_build)
    )

    assert found == (one("abi", "tags of click", COMPILED[0], "cp311-cp311-linux_x86_64"),)


def test_tags_that_one_side_does_not_know_are_not_compared() -> None:
    known = sample_distribution("click", tags=COMPILED)

    assert differences(holding(known), holding(replace(known, tags=()))) == ()


def test_tags_of_pure_python_are_cosmetic() -> None:
    files = sample_files()
    both = ("py2-none-any", "py3-none-any")

    found = differences(
        holding(sample_distribution("click", tags=both, files=files)),
        holding(sample_distribution("click", files=files)),
    )

    assert found == (one("cosmetic", "tags of click", "py2-none-any", None),)


@pytest.mark.parametrize(
    ("tag", "subjects"),
    [
        ("cp312-cp312-manylinux_2_28_x86_64", ["Python"]),
        ("cp312-cp312-manylinux_2_34_x86_64", ["Python", "tags of numpy"]),
    ],
)
def test_of_two_pythons_only_the_platforms_of_compiled_wheels_are_compared(
    tag: str, subjects: list[str]
) -> None:
    left = sample_distribution("numpy", tags=COMPILED, files=sample_files("for 3.11"))
    right = sample_distribution("numpy", tags=(tag,), files=sample_files("for 3.12"))

    found = differences(holding(left), holding(right, python="3.12.1"))

    assert [each.subject for each in found] == subjects


def test_pure_python_is_compared_between_two_pythons() -> None:
    left, right = (
        sample_distribution("click", files=sample_files(text)) for text in ("one", "another")
    )

    found = differences(holding(left), holding(right, python="3.12.1"))

    assert [each.subject for each in found] == ["Python", "click"]


def test_who_installed_packages_and_from_where_is_cosmetic_and_told_once_for_all() -> None:
    by_uv = [replace(each, installer="uv") for each in sample_distributions()]
    from_git = replace(by_uv[-1], origin="vcs", url="https://example.com/ultralytics")

    found = differences(PLAIN, with_environment(distributions=(*by_uv[:-1], from_git)))

    assert found == (
        one("cosmetic", "origin of ultralytics", "index", "vcs https://example.com/ultralytics"),
        one("cosmetic", "installer of numpy and 6 more", "pip", "uv"),
    )


def test_a_variable_at_its_neutral_value_is_as_good_as_unset() -> None:
    neutral = sample_facts(variables={"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"})

    assert differences(neutral, PLAIN) == ()


def test_gpus_that_one_side_alone_has_kernels_for_are_abi() -> None:
    torch, torchvision = NATIVE.kernels
    fewer = replace(torchvision, architectures=("sm_90", "sm_130"))

    found = differences(
        sample_facts(native=NATIVE),
        sample_facts(native=replace(NATIVE, kernels=(torch, fewer))),
    )

    assert found == (
        one(
            "abi",
            "kernels of torchvision",
            "sm_75 sm_80 sm_86 sm_100 sm_120 compute_120",
            "sm_130",
        ),
    )


def test_kernels_of_a_package_that_one_side_does_not_have_go_without_saying() -> None:
    without = [each for each in sample_distributions() if each.name != "torchvision"]
    environment = sample_environment(distributions=without)
    native = replace(NATIVE, kernels=NATIVE.kernels[:1])

    found = differences(
        sample_facts(native=NATIVE), sample_facts(environment=environment, native=native)
    )

    assert found == (one("numerics", "torchvision", "0.26.0", None),)


def test_another_cublas_is_numerics() -> None:
    found = differences(
        sample_facts(native=NATIVE), sample_facts(native=replace(NATIVE, cublas="13.0.2"))
    )

    assert found == (one("numerics", "cuBLAS", "13.1.0", "13.0.2"),)


def test_compiled_code_that_one_look_did_not_see_is_not_compared() -> None:
    assert differences(sample_facts(native=NATIVE), PLAIN) == ()


GL, CUDA, RDMA = NATIVE.libraries


@pytest.mark.parametrize(
    ("library", "found"),
    [
        (replace(GL, found=False), one("behaviour", "libGL.so.1", "libgl1", None)),
        (
            replace(GL, package="libgl1t64"),
            one("cosmetic", "package of libGL.so.1", "libgl1", "libgl1t64"),
        ),
        (replace(CUDA, found=False), None),  # the host's own
        (replace(RDMA, found=False), None),  # no import loads it
    ],
)
def test_a_system_library_that_an_import_needs_is_behaviour(
    library: NativeLibrary, found: Difference | None
) -> None:
    others = {each.soname: each for each in NATIVE.libraries} | {library.soname: library}

    actual = differences(
        sample_facts(native=NATIVE),
        sample_facts(native=replace(NATIVE, libraries=tuple(others.values()))),
    )

    assert actual == ((found,) if found else ())


def test_an_integration_that_two_files_tell_otherwise_is_behaviour() -> None:
    left = replace(PLAIN, settings={"wandb": False, "hub": True})
    right = replace(PLAIN, settings={"wandb": True})

    assert [one.group for one in differences(left, right)] == ["behaviour", "behaviour"]
