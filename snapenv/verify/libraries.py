"""Compare the shared libraries that really were in memory. Pure: values in, checks out.

Two copies of one library in one process, or another copy than the one that torch was built with,
fail in ways that name neither: ``undefined symbol: __nvJitLinkAddData_12_1`` (pytorch#111469),
``cuDNN version incompatibility`` (pytorch#80637), ``CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH``
(pytorch#188892).
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from snapenv.model.outcome import Check
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from snapenv.model.fingerprint import Fingerprint, MappedLibrary
    from snapenv.model.outcome import Severity

_NAMED = 3  # differences that a line names
_OF_DRIVER = re.compile(r"lib(cuda|nvidia-.+|nvcuvid|nvoptix|cudadebugger|dxcore)\.so.*")
_CUDA = re.compile(
    r"lib(cudnn|cublas|nccl|cudart|cusparse|cusolver|cufft|curand|nvJitLink|nvrtc|cupti|nvshmem)"
)
_ARITHMETIC = re.compile(_CUDA.pattern + r"|lib(mkl_|openblas|gomp|iomp5|omp\b|blas|lapack)")
_RENAMED = re.compile(r"[-.][0-9a-f]{8}\.so")  # auditwheel's, made to stand beside any other copy
_STEM = re.compile(r"\.so(\..*)?$")

_CLEAR = (
    "Remove the folder of the other copy from LD_LIBRARY_PATH (`unset LD_LIBRARY_PATH` clears it), "
    "or remove that copy."
)
_RESTORE = "Unset LD_LIBRARY_PATH and LD_PRELOAD, which put other folders first; or restore again."


def compare_libraries(expected: Fingerprint, actual: Fingerprint) -> tuple[Check, ...]:
    """Return a check over versions and places, and one of each library that is loaded twice.

    Nothing is said where a side did not look. The driver's libraries are the host's. A library
    that is mapped on one side alone is no difference: a CPU loads fewer than a GPU. What is not
    CUDA's, or has the same version and comes from another place, is a warning.
    """
    if not (expected.libraries and actual.libraries):
        return ()
    return (
        _compare_versions(_by_stem(expected.libraries), _by_stem(actual.libraries)),
        *_loaded_twice(expected.libraries, actual.libraries),
    )


def _compare_versions(
    expected: Mapping[str, list[MappedLibrary]], actual: Mapping[str, list[MappedLibrary]]
) -> Check:
    common = sorted(expected.keys() & actual.keys())
    other = [stem for stem in common if _versions(expected[stem]) != _versions(actual[stem])]
    moved = [
        stem
        for stem in common
        if stem not in other and _kinds(expected[stem]).isdisjoint(_kinds(actual[stem]))
    ]
    odd = [*other, *moved]
    wrong = [*other, *(stem for stem in moved if _unknown(actual[stem]))]
    severity: Severity = "error" if any(map(_CUDA.match, wrong)) else "warning"
    return Check(
        id="libraries",
        ok=not odd,
        expected=_describe(expected, odd) or "the libraries of the capture",
        actual=_describe(actual, odd)
        or f"{counted(len(common), 'library', 'libraries')} of CUDA and arithmetic, as mapped",
        fix=_RESTORE if odd else None,
        severity=severity,
    )


def _by_stem(libraries: Sequence[MappedLibrary]) -> dict[str, list[MappedLibrary]]:
    """Group those whose version changes results by their name without a version."""
    grouped: dict[str, list[MappedLibrary]] = defaultdict(list)
    for library in libraries:
        if _ARITHMETIC.match(library.soname):
            grouped[_STEM.sub("", library.soname)].append(library)
    return grouped


def _versions(libraries: Sequence[MappedLibrary]) -> set[tuple[str, str | None]]:
    return {(library.soname, library.version) for library in libraries}


def _kinds(libraries: Sequence[MappedLibrary]) -> set[bool]:
    """Return whether they are files of the environment, or of the system below it."""
    return {library.path.startswith("/") for library in libraries}


def _unknown(libraries: Sequence[MappedLibrary]) -> bool:
    return any(library.version is None for library in libraries)


def _describe(libraries: Mapping[str, list[MappedLibrary]], stems: Sequence[str]) -> str:
    return ", ".join(
        f"{library.soname} {library.version or 'of unknown version'} from {library.path}"
        for stem in stems[:_NAMED]
        for library in libraries[stem]
    )


def _loaded_twice(
    expected: Sequence[MappedLibrary], actual: Sequence[MappedLibrary]
) -> Iterator[Check]:
    """Name what is mapped from two places; CUDA's that was so at the capture is a warning."""
    before = _copies(expected)
    for soname, paths in _copies(actual).items():
        cuda, known = bool(_CUDA.match(soname)), soname in before
        if cuda or not known:
            yield Check(
                id=f"libraries.{soname}",
                ok=False,
                expected="two copies, as at the capture" if known else "one copy",
                actual=f"{len(paths)} copies are mapped: {' and '.join(paths)}",
                fix=_CLEAR,
                severity="error" if cuda and not known else "warning",
            )


def _copies(libraries: Sequence[MappedLibrary]) -> dict[str, list[str]]:
    """Return the paths of each library that is mapped from more than one, sorted."""
    paths: dict[str, set[str]] = defaultdict(set)
    for library in libraries:
        if library.soname.startswith("lib") and not _stands_alone(library):
            paths[library.soname].add(library.path)
    return {soname: sorted(places) for soname, places in sorted(paths.items()) if len(places) > 1}


def _stands_alone(library: MappedLibrary) -> bool:
    """Return whether another copy does no harm: the driver's is the host's, or it was renamed."""
    return bool(_OF_DRIVER.fullmatch(library.soname) or _RENAMED.search(library.path))
