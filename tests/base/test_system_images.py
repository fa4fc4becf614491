from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.base.choose import choose_base, families
from snapenv.base.system_images import needed_glibc
from snapenv.errors import BaseError, UsageError
from snapenv.model.conda import CondaEnvironment
from snapenv.model.facts import Facts, Kernels, Native, NativeLibrary
from snapenv.model.hardware import Gpu
from snapenv.model.python import Torch, UntrackedFile
from snapenv.nvidia.catalogue import load_catalogue
from tests.samples import (
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_hardware,
)

KNOWN = load_catalogue()
CUDA = "nvcr.io/nvidia/cuda"
ORIN = Gpu(name="Orin (nvgpu)", compute_capability=(8, 7))


def captured(
    *tags: str,
    python: str = "3.11.7",
    glibc: str = "2.36",
    cuda: str | None = "13.0",
    os: str = "debian 12",
) -> Facts:
    """Return an environment of one package with these tags on a system."""
    hardware = sample_hardware(glibc=glibc)
    return sample_facts(
        environment=sample_environment(
            python=python,
            torch=Torch(version="2.11.0", cuda=cuda),
            distributions=(sample_distribution(tags=tags),),
        ),
        hardware=replace(hardware, system=replace(hardware.system, os=os)),
    )


@pytest.mark.parametrize(
    ("tags", "needed"),
    [
        (("cp311-cp311-manylinux_2_28_x86_64",), (2, 28)),
        (("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64"), (2, 17)),
        (("cp311-cp311-manylinux_2_27_x86_64", "cp311-cp311-manylinux_2_28_x86_64"), (2, 27)),
        (("cp36-abi3-manylinux1_x86_64",), (2, 5)),
        (("cp311-cp311-manylinux2010_x86_64.manylinux_2_12_x86_64",), (2, 12)),
        (("py3-none-any",), None),
        (("cp311-cp311-linux_x86_64",), (2, 36)),
    ],
)
def test_a_wheel_needs_the_c_library_of_its_tag_and_one_built_here_that_of_here(
    tags: tuple[str, ...], needed: tuple[int, int] | None
) -> None:
    assert needed_glibc(captured(*tags)) == needed


def test_what_is_of_no_wheel_needs_the_captured_c_library() -> None:
    plain = captured("py3-none-any")
    loose = UntrackedFile(path="fast.cpython-311-x86_64-linux-gnu.so", sha256="0" * 64)

    untracked = replace(plain.environment, untracked=(loose,))
    compiled = replace(plain.environment.distributions[0], tags=(), compiled=True)

    assert needed_glibc(replace(plain, environment=untracked)) == (2, 36)
    assert needed_glibc(replace(plain, conda=CondaEnvironment(packages=()))) == (2, 36)
    of_system = replace(plain.environment, distributions=(compiled,))
    assert needed_glibc(replace(plain, environment=of_system)) == (2, 36)


WHEEL = "cp311-cp311-manylinux_2_28_x86_64"
BUILT = "cp311-cp311-linux_x86_64"


@pytest.mark.parametrize(
    ("facts", "image"),
    [
        (captured(WHEEL), "debian:12-slim"),
        (captured(WHEEL, python="3.13.1"), "debian:13-slim"),
        (captured(WHEEL, python="3.12.3", os="ubuntu 24.04"), "ubuntu:24.04"),
        (captured(WHEEL, python="3.10.12", os="rhel 9"), "ubuntu:22.04"),
        # no distribution has this Python: the captured one, else the newest
        (captured(WHEEL, python="3.9.1"), "debian:12-slim"),
        (captured(WHEEL, python="3.9.1", os="rhel 9"), "debian:13-slim"),
        # 3.11 is Debian 12's, which is too old for what was built on glibc 2.39
        (captured(BUILT, glibc="2.39", os="ubuntu 24.04"), "ubuntu:24.04"),
        (captured(BUILT, glibc="2.42", os="fedora 43"), "ubuntu:26.04"),
    ],
)
def test_the_distribution_is_chosen_by_glibc_then_python_then_the_captured_one(
    facts: Facts, image: str
) -> None:
    base = choose_base(facts, KNOWN, family="slim")

    assert (base.image, base.family, base.site_packages) == (image, "slim", "isolated")


@pytest.mark.parametrize(
    ("cuda", "python", "image"),
    [
        ("13.0", "3.12.3", f"{CUDA}:13.0.2-runtime-ubuntu24.04"),
        ("13.0", "3.10.12", f"{CUDA}:13.0.1-runtime-ubuntu22.04"),
        ("13.2", "3.12.3", f"{CUDA}:13.0.2-runtime-ubuntu24.04"),
        ("12.6", "3.10.12", f"{CUDA}:12.6.3-runtime-ubuntu24.04"),
        ("12.1", "3.11.7", f"{CUDA}:12.1.1-runtime-ubuntu22.04"),
        ("11.8", "3.9.1", f"{CUDA}:11.8.0-runtime-ubuntu22.04"),
    ],
)
def test_a_cuda_image_has_torch_s_major_version_and_the_nearest_minor(
    cuda: str, python: str, image: str
) -> None:
    base = choose_base(captured(WHEEL, cuda=cuda, python=python), KNOWN, family="cuda")

    assert (base.image, base.family) == (image, "cuda")


@pytest.mark.parametrize("cuda", [None, "10.2"])
def test_without_a_cuda_that_has_an_image_there_is_none_to_choose(cuda: str | None) -> None:
    with pytest.raises(BaseError) as caught:
        choose_base(captured(WHEEL, cuda=cuda), KNOWN, family="cuda")

    assert "--base" in caught.value.hint


def test_a_c_library_that_no_image_has_is_named() -> None:
    with pytest.raises(BaseError) as caught:
        choose_base(captured(BUILT, glibc="2.99"), KNOWN, family="slim")

    assert str(caught.value) == wording(
        "compiled files need glibc 2.99, and the newest slim image, ubuntu:26.04, has 2.43"
    )


def test_the_reasons_say_what_fits() -> None:
    base = choose_base(sample_facts(), KNOWN, family="slim")

    assert base.reasons == wording(
        (
            "no package is a base image's own: all are installed from the lock",
            "its glibc 2.36 will do: compiled files need 2.28",
            "its distribution has Python 3.11",
            "it is debian 12, as captured",
        )
    )
    assert base.warnings == ()


def test_a_python_that_apt_does_not_have_is_said_and_not_installed() -> None:
    base = choose_base(captured(WHEEL, python="3.9.1"), KNOWN, family="slim")

    assert base.packages == ("ca-certificates",)
    assert base.warnings == (
        wording("debian 12 has no Python 3.9: uv downloads one during the build"),
    )


def test_conda_brings_its_python_and_needs_one_to_be_installed_by() -> None:
    facts = replace(captured(python="3.9.1"), conda=CondaEnvironment(packages=()))

    base = choose_base(facts, KNOWN, family="slim")

    assert base.packages == ("ca-certificates", "python3")
    assert not base.warnings


def test_libraries_of_the_system_s_cuda_are_a_reason_for_the_other_family() -> None:
    libraries = tuple(
        NativeLibrary(soname=soname, found=True, needed_by=("detectron2",))
        for soname in ("libcudart.so.13", "libcuda.so.1", "libGL.so.1")
    )
    facts = replace(sample_facts(), native=Native(libraries=libraries))

    slim, cuda = (choose_base(facts, KNOWN, family=family) for family in ("slim", "cuda"))

    assert slim.warnings == (
        wording(
            "libcudart.so.13 of the captured system's CUDA is loaded and is not in "
            "debian:12-slim: take --base-family cuda"
        ),
    )
    assert not [warning for warning in cuda.warnings if "libcudart" in warning]


JETPACK = "nvcr.io/nvidia/l4t-jetpack"
ON_TEGRA = "cp310-cp310-linux_aarch64"


def on_jetson(cuda: str, python: str, glibc: str, gpu: Gpu | None = ORIN) -> Facts:
    """Return an environment of NVIDIA's wheel for a Jetson; without a GPU torch tells by itself."""
    facts = captured(ON_TEGRA, cuda=cuda, python=python, glibc=glibc, os="ubuntu 22.04")
    hardware = replace(
        facts.hardware,
        gpus=(gpu,) if gpu else (),
        system=replace(facts.hardware.system, machine="aarch64"),
    )
    torch = Kernels(distribution="torch", architectures=("sm_87", "compute_87"))
    return replace(facts, hardware=hardware, native=None if gpu else Native(kernels=(torch,)))


@pytest.mark.parametrize("gpu", [ORIN, None])
@pytest.mark.parametrize(
    ("cuda", "python", "glibc", "release"),
    [
        ("12.6", "3.10.12", "2.35", "r36.4.3"),
        ("12.2", "3.10.12", "2.35", "r36.3.0"),
        ("11.4", "3.8.10", "2.31", "r35.4.1"),
    ],
)
def test_a_jetson_s_environment_starts_from_the_jetpack_of_its_cuda(
    gpu: Gpu | None, cuda: str, python: str, glibc: str, release: str
) -> None:
    base = choose_base(on_jetson(cuda, python, glibc, gpu), KNOWN)

    assert (base.image, base.family) == (f"{JETPACK}:{release}", "jetpack")
    assert base.packages == ("ca-certificates", "python3")


def test_what_a_jetson_could_start_from_is_offered_there_alone() -> None:
    facts = on_jetson("12.6", "3.10.12", "2.35")

    assert [base.family for base in families(facts, KNOWN)] == [
        "pytorch",
        "jetpack",
        "slim",
        "cuda",
    ]
    assert "jetpack" not in [base.family for base in families(captured(WHEEL), KNOWN)]


def test_a_jetson_s_image_is_for_arm64_alone() -> None:
    with pytest.raises(UsageError) as caught:
        choose_base(captured(WHEEL), KNOWN, family="jetpack")

    assert str(caught.value) == wording(
        "--base-family jetpack is for a Jetson, and this environment is for amd64"
    )


def test_a_jetson_whose_cuda_has_no_jetpack_image_starts_from_nvidia_s_pytorch() -> None:
    base = choose_base(on_jetson("13.0", "3.12.3", "2.39"), KNOWN)

    assert base.family == "pytorch"
    assert any("-igpu" in warning for warning in base.warnings)


def test_an_image_of_jetpack_is_known_by_its_name() -> None:
    facts = on_jetson("12.6", "3.10.12", "2.35")

    base = choose_base(facts, KNOWN, image="example.com/hub/nvidia/l4t-jetpack:r36.4.0")

    assert base.family == "jetpack"
