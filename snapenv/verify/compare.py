"""Compare what a probe sees now with what was written down. Pure: values in, checks out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from snapenv.model.facts import NEUTRAL_VARIABLES as _NEUTRAL
from snapenv.model.outcome import Check
from snapenv.sizes import counted
from snapenv.verify.executable import BITS, executable_apart, loose_executable_apart
from snapenv.verify.startup import compare_startup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.native import Native, NativeLibrary
    from snapenv.model.python import Distribution, Environment, Files, LooseFile

    _Path = tuple[str, ...] | None

_BY_TOOLS = re.compile(
    r"(?:\.\./)+bin/(?:(?:de)?activate(?:\.(?:csh|fish|nu|ps1|bat|xsh|elv)|_this\.py)?|pydoc\.bat)"
    r"|_virtualenv\.(?:py|pth)",
    re.IGNORECASE,
)
_ABSENT = "absent"
_REINSTALL = "Reinstall {name} from the lock, or restore again."
_REMOVE = (
    "{name} was installed since. Remove it, or restore again; ultralytics installs what it wants "
    "unless YOLO_AUTOINSTALL=false is set."
)
_PATH_APART = "See what PYTHONPATH is set to, and unset it; else restore again."
_OF_DRIVER = re.compile(r"lib(cuda|nvidia-.+|nvcuvid|nvoptix)\.so.*")  # comes with the GPU


def compare_facts(expected: Facts, actual: Facts) -> tuple[Check, ...]:
    """Answer, part by part, whether two looks saw the same environment.

    A difference is named by the distribution, variable or library it is in. Where an
    environment lives, who installed it and on which machine it runs are no part of it. Of
    compiled code only what both looks saw is compared: an older snapshot does not hold it.
    """
    return (
        *_python(expected.environment, actual.environment),
        *compare_startup(
            expected.startup, actual.startup
        ),  # what these bring shows in what follows
        _frameworks(expected.environment, actual.environment),
        *_distributions(expected.environment, actual.environment),
        *_import_path(expected.environment.import_path, actual.environment.import_path),
        *_unowned(expected.environment.unowned, actual.environment.unowned),
        *_native(expected.native, actual.native),
        *_variables(expected.variables, actual.variables),
    )


def _check(name: str, *, ok: bool, expected: str, actual: str, fix: str) -> Check:
    """Make a check; what held needs no fix."""
    return Check(id=name, ok=ok, expected=expected, actual=actual, fix=None if ok else fix)


def _python(expected: Environment, actual: Environment) -> Iterator[Check]:
    """Compare the interpreters; another patch of one version is something to look out for."""
    there, here = expected.interpreter, actual.interpreter
    is_near = (there.implementation, there.minor) == (here.implementation, here.minor)
    check = _check(
        "python",
        ok=there == here,
        expected=f"{there.implementation} {there.version}",
        actual=f"{here.implementation} {here.version}",
        fix=f"Install Python {there.version} (uv python install {there.request}) and restore "
        "again, or name one with --python PATH.",
    )
    yield replace(check, severity="warning" if is_near and not check.ok else "error")


def _frameworks(expected: Environment, actual: Environment) -> Check:
    return _check(
        "frameworks",
        ok=_describe_frameworks(expected) == _describe_frameworks(actual),
        expected=_describe_frameworks(expected),
        actual=_describe_frameworks(actual),
        fix="Restore again; these come with torch and its CUDA wheels, or with the base image.",
    )


def _describe_frameworks(environment: Environment) -> str:
    torch, libraries = environment.torch, environment.libraries
    return ", ".join(
        f"{name} {version or _ABSENT}"
        for name, version in (
            ("torch", torch and torch.version),
            ("CUDA", torch and torch.cuda),
            ("cuDNN", libraries.cudnn),
            ("NCCL", libraries.nccl),
        )
    )


def _distributions(expected: Environment, actual: Environment) -> Iterator[Check]:
    """Give one check over all, and one for each distribution that differs."""
    here = {found.name: found for found in actual.distributions}
    there = {found.name: found for found in expected.distributions}
    different = [
        check
        for name in sorted(here.keys() | there.keys())
        for check in _distribution(name, there.get(name), here.get(name))
    ]
    hashed = sum(found.files.count for found in actual.distributions if found.files)
    yield _check(
        "distributions",
        ok=not different,
        expected=f"{counted(len(there), 'package')}, 0 different",
        actual=f"{counted(len(here), 'package')}, {counted(hashed, 'file')} hashed, "
        f"{len(different)} different",
        fix="See the packages named below.",
    )
    yield from different


def _distribution(
    name: str, expected: Distribution | None, actual: Distribution | None
) -> Iterator[Check]:
    versions = [found.version if found else _ABSENT for found in (expected, actual)]
    if versions[0] != versions[1]:
        yield _differs(name, versions[0], versions[1], extra=expected is None)
    elif expected and actual and _content(expected.files) != _content(actual.files):
        yield _differs(name, _describe_files(expected.files), _describe_files(actual.files))
    elif expected and actual and (bits := executable_apart(expected.files, actual.files)):
        yield _differs(name, *(_describe_bits(bits, side) for side in (0, 1)))


def _differs(name: str, expected: str, actual: str, *, extra: bool = False) -> Check:
    return Check(
        id=f"distribution.{name}",
        ok=False,
        expected=expected,
        actual=actual,
        fix=_REMOVE.format(name=name) if extra else _REINSTALL.format(name=name),
    )


def _content(files: Files | None) -> tuple[object, ...]:
    """What was edited or is missing shows in the hash; a vendored wheel has a RECORD of its own."""
    return (files.sha256,) if files else ()


def _describe_bits(bits: Mapping[str, tuple[str, str]], side: int) -> str:
    told = [f"{path} {both[side]}" for path, both in bits.items()]
    return ", ".join(told[:3])


def _describe_files(files: Files | None) -> str:
    if files is None:
        return "no RECORD"
    odd = [f"edited {path}" for path in files.edited] + [
        f"missing {path}" for path in files.missing
    ]
    return ", ".join([*(odd[:3] or [counted(files.count, "file")]), f"content {files.sha256[:12]}"])


def _unowned(expected: tuple[LooseFile, ...], actual: tuple[LooseFile, ...]) -> Iterator[Check]:
    """Compare the files that belong to no package; nothing is said where there never were any."""
    there, here = ({file.path: file for file in files} for files in (expected, actual))
    here = {path: one for path, one in here.items() if path in there or not _is_by_tool(one)}
    different = [
        path
        for path in sorted(there.keys() | here.keys())
        if not _is_same(there.get(path), here.get(path))
    ]
    if there or here:
        yield _check(
            "unowned",
            ok=not different,
            expected=_describe_loose(there, different),
            actual=_describe_loose(here, different),
            fix="Restore again, or bring these back to what they were: " + ", ".join(different[:3]),
        )


def _is_by_tool(file: LooseFile) -> bool:
    """Say whether a file that was not captured may come of the tools that restored the others.

    A newer one may write its scripts in a way that no list has, and uv makes the empty folders of
    a wheel, which pip leaves out.
    """
    return file.folder or _BY_TOOLS.fullmatch(file.path) is not None


def _is_same(left: LooseFile | None, right: LooseFile | None) -> bool:
    """Say whether two are the same, in all that both looks saw of them."""
    if left is None or right is None or loose_executable_apart(left, right):
        return False
    return replace(left, executable=None) == replace(right, executable=None)


def _describe_loose(files: Mapping[str, LooseFile], different: list[str]) -> str:
    if not different:
        return f"{counted(len(files), 'file')} of no package"
    return ", ".join(f"{path} {_describe_file(files.get(path))}" for path in different[:3])


def _describe_file(file: LooseFile | None) -> str:
    if file is None:
        return _ABSENT
    if file.folder:
        return "an empty folder"
    bit = f", {BITS[True]}" if file.executable else ""
    return f"-> {file.link}" if file.link else f"content {(file.sha256 or '')[:12]}{bit}"


def _import_path(expected: _Path, actual: _Path) -> Iterator[Check]:
    """Compare where modules come from; the order of what follows site-packages is for a warning."""
    if expected is None or actual is None:
        return
    yield Check(
        id="import-path",
        ok=expected == actual,
        expected=", ".join(expected),
        actual="the same" if expected == actual else ", ".join(actual),
        fix=None if expected == actual else _PATH_APART,
        severity="warning" if _in_front(expected) == _in_front(actual) else "error",
    )


def _in_front(path: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Give what comes before site-packages in its order, and all that is there."""
    site = path.index("site") if "site" in path else len(path)
    return path[:site], frozenset(path)


def _native(expected: Native | None, actual: Native | None) -> Iterator[Check]:
    if expected is None or actual is None:
        return
    yield _check(
        "kernels",
        ok=not _kernels_apart(expected, actual) and expected.cublas == actual.cublas,
        expected=_describe_kernels(expected, _kernels_apart(expected, actual)),
        actual=_describe_kernels(actual, _kernels_apart(expected, actual)),
        fix="Restore again; the kernels come with the compiled packages, cuBLAS with torch.",
    )
    missing = _missing_libraries(expected, actual)
    yield _check(
        "system-libraries",
        ok=not missing,
        expected="what was found at the capture is found",
        actual=", ".join(f"no {one.soname}" for one in missing) or "the same",
        fix=_install(missing),
    )


def _kernels_apart(expected: Native, actual: Native) -> list[str]:
    there, here = (
        {one.distribution or "": one.architectures for one in native.kernels}
        for native in (expected, actual)
    )
    return [
        name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)
    ]


def _describe_kernels(native: Native, different: list[str]) -> str:
    architectures = {one.distribution or "": one.architectures for one in native.kernels}
    odd = [
        f"{name or 'loose files'}: {' '.join(architectures.get(name, ())) or _ABSENT}"
        for name in different[:3]
    ]
    return ", ".join([f"cuBLAS {native.cublas or _ABSENT}", *odd])


def _missing_libraries(expected: Native, actual: Native) -> list[NativeLibrary]:
    """Give what an import needs, was there and is not here; the driver's own belong to the host."""
    here = {one.soname for one in actual.libraries if one.found}
    return [
        one
        for one in expected.libraries
        if one.required
        and one.found
        and one.soname not in here
        and not _OF_DRIVER.fullmatch(one.soname)
    ]


def _install(missing: list[NativeLibrary]) -> str:
    by_hand = [one.soname for one in missing if one.outside]
    packages = sorted({one.package for one in missing if one.package})
    fixes = []
    if packages:
        fixes.append(f"Install them: apt-get install {' '.join(packages)}")
    elif len(by_hand) < len(missing):
        fixes.append("Install the operating system's packages that hold them.")
    if by_hand:
        fixes.append(
            f"Copy {', '.join(by_hand)} from the machine of the capture, where no package had put "
            "it, and name its folder in LD_LIBRARY_PATH."
        )
    return " ".join(fixes)


def _variables(expected: Mapping[str, str], actual: Mapping[str, str]) -> Iterator[Check]:
    different = [
        name
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name, _NEUTRAL.get(name)) != actual.get(name, _NEUTRAL.get(name))
    ]
    yield _check(
        "variables",
        ok=not different,
        expected=_describe_variables(expected, different),
        actual=_describe_variables(actual, different),
        fix="Set or unset them as captured: " + " ".join(different),
    )


def _describe_variables(values: Mapping[str, str], names: list[str]) -> str:
    if not names:
        return "the same"
    return ", ".join(
        f"{name}={values[name]}" if name in values else f"{name} unset" for name in names
    )
