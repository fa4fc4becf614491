from __future__ import annotations

from snapenv.model.facts import Native, NativeLibrary
from snapenv.render.dockerfile import AptLibrary, apt_libraries


def needed(
    soname: str, package: str | None, *, found: bool = True, required: bool = True
) -> Native:
    library = NativeLibrary(soname=soname, package=package, found=found, required=required)
    return Native(libraries=(library,))


def test_a_library_of_an_apt_package_is_installed() -> None:
    given = apt_libraries(needed("libGL.so.1", "libgl1"))

    assert given == (AptLibrary(soname="libGL.so.1", package="libgl1"),)


def test_where_nobody_has_looked_nothing_is() -> None:
    assert apt_libraries(None) == ()


def test_what_no_import_loads_or_was_missing_or_has_no_package_is_left_out() -> None:
    assert apt_libraries(needed("libGL.so.1", "libgl1", required=False)) == ()
    assert apt_libraries(needed("libGL.so.1", "libgl1", found=False)) == ()
    assert apt_libraries(needed("libGL.so.1", None)) == ()


def test_the_driver_and_cuda_are_never_installed() -> None:
    for soname, package in (
        ("libcuda.so.1", "libcuda1"),
        ("libcuda.so.1", "libnvidia-compute-580"),
        ("libnvidia-ml.so.1", "libnvidia-ml1"),
        ("libcudart.so.12", "cuda-cudart-12-4"),
        ("libcublas.so.12", "libcublas12"),
        ("libnccl.so.2", "libnccl2"),
        ("libfoo.so.1", "nvidia-utils-580"),
    ):
        assert apt_libraries(needed(soname, package)) == ()


def test_what_only_begins_like_them_is() -> None:
    for soname, package in (("libcurl.so.4", "libcurl4t64"), ("libnuma.so.1", "libnuma1")):
        assert apt_libraries(needed(soname, package)) != ()


def test_what_a_shell_could_misread_is_left_out() -> None:
    for soname, package in (
        ("libGL.so.1;id", "libgl1"),
        ("libGL.so.1", "libgl1 -o x=y"),
        ("libGL.so.1", "$(id)"),
        ("libGL.so.1", "-y"),
        ("libGL.so.1\n", "libgl1"),
    ):
        assert apt_libraries(needed(soname, package)) == ()
