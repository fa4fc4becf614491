from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.fingerprint import MappedLibrary
from snapenv.verify.libraries import compare_libraries
from tests.samples import sample_fingerprint

if TYPE_CHECKING:
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.outcome import Check

CUDNN = MappedLibrary(
    soname="libcudnn.so.9", path="site/nvidia/cudnn/lib/libcudnn.so.9", version="9.19.0"
)
NVJITLINK = MappedLibrary(
    soname="libnvJitLink.so.13", path="site/nvidia/cu13/lib/libnvJitLink.so.13", version="13.0.88"
)
ZLIB = MappedLibrary(soname="libz.so.1", path="/lib/x86_64-linux-gnu/libz.so.1", version="1.3")
DRIVER = MappedLibrary(soname="libcuda.so.1", path="/lib/libcuda.so.580.95", version="580.95")
CAPTURED = (CUDNN, NVJITLINK, ZLIB, DRIVER)


def fingerprint(*libraries: MappedLibrary) -> Fingerprint:
    return replace(sample_fingerprint(), libraries=libraries)


def compare(
    *actual: MappedLibrary, at_capture: tuple[MappedLibrary, ...] = CAPTURED
) -> list[Check]:
    """Return the checks that say no."""
    checks = compare_libraries(fingerprint(*at_capture), fingerprint(*actual))
    return [check for check in checks if not check.ok]


def test_the_libraries_of_the_capture_hold() -> None:
    (check,) = compare_libraries(fingerprint(*CAPTURED), fingerprint(*CAPTURED))

    assert (check.ok, check.fix) == (True, None)
    assert check.actual == wording("2 libraries of CUDA and arithmetic, as mapped")


def test_of_an_older_baseline_nothing_is_said() -> None:
    assert compare_libraries(fingerprint(), fingerprint(*CAPTURED, replace(CUDNN, path="/x"))) == ()
    assert compare_libraries(fingerprint(*CAPTURED), fingerprint()) == ()


def test_another_version_is_an_error_that_names_both_with_their_places() -> None:
    system = MappedLibrary(
        soname="libcudnn.so.9", path="/usr/lib/libcudnn.so.9.10.2", version="9.10.2"
    )

    (check,) = compare(system, NVJITLINK, ZLIB, DRIVER)

    assert (check.id, check.fails, check.part) == ("libraries", True, "environment")
    assert check.expected == "libcudnn.so.9 9.19.0 from site/nvidia/cudnn/lib/libcudnn.so.9"
    assert check.actual == "libcudnn.so.9 9.10.2 from /usr/lib/libcudnn.so.9.10.2"
    assert "LD_LIBRARY_PATH" in (check.fix or "")


def test_another_major_version_has_another_soname_and_is_found() -> None:
    (check,) = compare(replace(CUDNN, soname="libcudnn.so.8"), NVJITLINK)

    assert check.fails
    assert "libcudnn.so.8" in check.actual


@pytest.mark.parametrize(("version", "severity"), [("9.19.0", "warning"), (None, "error")])
def test_the_same_version_from_the_system_is_a_warning_and_an_unknown_one_an_error(
    version: str | None, severity: str
) -> None:
    captured = replace(CUDNN, version=version)
    moved = replace(captured, path="/usr/lib/libcudnn.so.9")

    (check,) = compare(moved, at_capture=(captured,))

    assert check.severity == severity


def test_another_folder_of_the_environment_is_no_difference() -> None:
    moved = replace(CUDNN, path="site/torch/lib/libcudnn.so.9")

    assert compare(moved, NVJITLINK, ZLIB, DRIVER) == []


def test_a_library_that_is_not_loaded_here_is_no_difference() -> None:
    assert compare(NVJITLINK) == []
    assert compare(*CAPTURED, at_capture=(NVJITLINK,)) == []


def test_the_drivers_libraries_are_the_hosts() -> None:
    other = MappedLibrary(soname="libcuda.so.1", path="/usr/lib/wsl/libcuda.so.1", version="550")
    nvml = MappedLibrary(soname="libnvidia-ml.so.1", path="/lib/libnvidia-ml.so.550")

    assert compare(CUDNN, other, DRIVER, nvml, replace(nvml, path="/usr/lib/nvml")) == []


def test_two_copies_of_one_library_are_an_error_that_names_both_paths() -> None:
    system = replace(NVJITLINK, path="/usr/local/cuda/lib64/libnvJitLink.so.13")

    (twice,) = compare(*CAPTURED, system)

    assert twice.id == "libraries.libnvJitLink.so.13"
    assert twice.fails
    assert twice.actual == wording(
        "2 copies are mapped: /usr/local/cuda/lib64/libnvJitLink.so.13 "
        "and site/nvidia/cu13/lib/libnvJitLink.so.13"
    )
    assert "LD_LIBRARY_PATH" in (twice.fix or "")


def test_two_copies_that_the_capture_had_too_are_a_warning() -> None:
    both = (*CAPTURED, replace(CUDNN, path="/usr/lib/libcudnn.so.9"))

    (check,) = compare(*both, at_capture=both)

    assert (check.fails, check.expected) == (False, wording("two copies, as at the capture"))


def test_two_copies_of_what_does_no_arithmetic_are_a_warning() -> None:
    (check,) = compare(*CAPTURED, replace(ZLIB, path="site/pillow.libs/libz.so.1"))

    assert (check.id, check.fails) == ("libraries.libz.so.1", False)


def test_two_copies_of_what_does_no_arithmetic_and_were_there_are_not_told() -> None:
    both = (*CAPTURED, replace(ZLIB, path="site/pillow.libs/libz.so.1"))

    assert compare(*both, at_capture=both) == []


@pytest.mark.parametrize(
    "other",
    [
        MappedLibrary(soname="libpng.so.16", path="site/pillow.libs/libpng-1b30ab2c.so.16"),
        MappedLibrary(soname="libcudart.so.13", path="site/x.libs/libcudart-1b30ab2c.so.13"),
    ],
    ids=lambda one: one.soname,
)
def test_a_copy_that_a_wheel_renamed_stands_beside_any_other(other: MappedLibrary) -> None:
    plain = replace(other, path=f"/lib/{other.soname}")

    checks = compare(*CAPTURED, plain, other)

    assert checks == []


def test_two_extension_modules_of_one_name_are_two_modules() -> None:
    module = MappedLibrary(soname="_C.so", path="site/torchvision/_C.so")

    assert compare(*CAPTURED, module, replace(module, path="site/other/_C.so")) == []


def test_another_version_of_what_is_not_cudas_is_a_warning() -> None:
    blas = MappedLibrary(soname="libopenblas.so.0", path="/lib/libopenblas.so", version="0.3.29")

    (check,) = compare(replace(blas, version="0.3.21"), at_capture=(blas,))

    assert check.severity == "warning"


def test_one_library_that_is_mapped_in_several_pieces_is_one_copy() -> None:
    assert compare(*CAPTURED, CUDNN) == []
