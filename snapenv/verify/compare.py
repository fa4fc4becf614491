"""Fold what differs between two environments into checks. Pure: values in, checks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Check
from snapenv.sizes import counted
from snapenv.verify.differences import CONDA, IN_MEMORY, find_differences

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from snapenv.model.conda import CondaEnvironment
    from snapenv.model.facts import Facts, Native, NativeLibrary
    from snapenv.model.outcome import Difference, Topic
    from snapenv.model.python import Distribution, Environment, Files, UntrackedFile
    from snapenv.verify.differences import Finding

    _Startup = Mapping[str, Sequence[str]]

_ABSENT = "absent"
_NAMED = 3  # packages, files or parts that a line names
_MODULES = 5  # that a line names
_MAY_COME_FIRST = ("LD_LIBRARY_PATH",)  # a library may name its own folder, which goes before
_FIRST = "before the environment's own"


def compare_facts(expected: Facts, actual: Facts) -> tuple[Check, ...]:
    """Return the checks of whether two environments are the same, part by part.

    A difference is named by the distribution, variable or library it is in. Where an
    environment lives, who installed it and on which machine it runs are no part of it. Of
    compiled code only what both sides looked at is compared: an older snapshot does not hold it.
    """
    findings = find_differences(expected, actual)

    def of(topic: Topic) -> list[Finding]:
        return [finding for finding in findings if finding.topic == topic]

    return (
        _python(of("python"), expected.environment, actual.environment),
        # What these bring shows in what follows.
        *_startup(of("startup"), expected.startup, actual.startup or {}),
        _frameworks(of("frameworks"), expected.environment, actual.environment),
        *_packages(
            [finding for finding in of("packages") if not _is_of_conda(finding)],
            expected.environment,
            actual.environment,
        ),
        *_conda(
            [finding for finding in of("packages") if _is_of_conda(finding)],
            expected.conda,
            actual.conda,
        ),
        *_import_path(of("import-path"), expected.environment, actual.environment),
        *_files(of("files"), expected.environment.untracked),
        *_kernels(of("kernels"), expected.native, actual.native),
        *_libraries(of("libraries"), expected.native, actual.native),
        _variables(of("variables")),
    )


def loaded_lines(startup: _Startup | None) -> tuple[str, ...]:
    """Return what is in the memory of each program of an environment, and does not travel."""
    loaded = startup or {}
    return tuple(
        f"{name} loads {_listing(loaded[name])} into each program here: it does not travel"
        for name in IN_MEMORY
        if name in loaded
    )


def _python(findings: list[Finding], expected: Environment, actual: Environment) -> Check:
    """Compare the interpreters; another patch of one version is a warning."""
    python, other = expected.interpreter, actual.interpreter
    is_near = (python.implementation, python.minor) == (other.implementation, other.minor)
    return Check(
        id="python",
        ok=not findings,
        expected=f"{python.implementation} {python.version}",
        actual=f"{other.implementation} {other.version}",
        fix=f"Install Python {python.version} (uv python install {python.request}) and restore "
        "again, or name one with --python PATH."
        if findings
        else None,
        severity="warning" if findings and is_near else "error",
        topic="python",
    )


def _startup(
    findings: list[Finding], captured: _Startup | None, actual: _Startup
) -> Iterator[Check]:
    """Name each variable that brings what it did not at the capture, and each that brings less.

    The first is a no, but a warning of a folder of libraries, from which only some may be taken,
    and of libraries where nobody looked at the capture. The second is a warning: what a program
    had in memory besides the environment does not travel.
    """
    expected = captured or {}
    for name in (finding.difference.subject for finding in findings):
        before, now = expected.get(name, ()), actual.get(name, ())
        is_more = not {*now} <= {*before}
        is_known = captured is not None or name.startswith("PYTHON")
        is_error = is_more and is_known and name not in _MAY_COME_FIRST
        yield Check(
            id=f"variables.{name}",
            ok=False,
            expected=f"{_listing(before)} {_FIRST if is_more else 'in every program'}",
            actual=f"{_listing(now)} {_FIRST if is_more else 'of it'}",
            fix=f"Unset {name} in your shell, or remove it from the image's ENV."
            if is_more
            else f"Set {name} as it was at the capture, or check that it makes no difference.",
            severity="error" if is_error else "warning",
            topic="startup",
        )


def _listing(names: Collection[str]) -> str:
    ordered = sorted(set(names))
    more = f" and {len(ordered) - _MODULES} more" if len(ordered) > _MODULES else ""
    return ", ".join(ordered[:_MODULES]) + more if ordered else "nothing"


def _frameworks(findings: list[Finding], expected: Environment, actual: Environment) -> Check:
    return Check(
        id="frameworks",
        ok=not findings,
        expected=_describe_frameworks(expected),
        actual=_describe_frameworks(actual),
        fix="Restore again; these come with torch and its CUDA wheels, or with the base image."
        if findings
        else None,
        topic="frameworks",
    )


def _describe_frameworks(environment: Environment) -> str:
    torch, libraries = environment.torch, environment.libraries
    versions = {
        "torch": torch and torch.version,
        "CUDA": torch and torch.cuda,
        "cuDNN": libraries.cudnn,
        "NCCL": libraries.nccl,
    }
    return ", ".join(f"{name} {version or _ABSENT}" for name, version in versions.items())


def _packages(
    findings: list[Finding], expected: Environment, actual: Environment
) -> Iterator[Check]:
    """Yield one check over all, and one for each distribution that differs."""
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.package or "", []).append(finding)
    hashed = sum(package.files.count for package in actual.distributions if package.files)
    yield Check(
        id="distributions",
        ok=not by_name,
        expected=f"{counted(len(expected.distributions), 'package')}, 0 different",
        actual=f"{counted(len(actual.distributions), 'package')}, "
        f"{counted(hashed, 'file')} hashed, {len(by_name)} different",
        fix="See the packages listed below." if by_name else None,
        topic="packages",
    )
    for name, of_package in by_name.items():
        yield _package(name, of_package, expected.find(name), actual.find(name))


def _is_of_conda(finding: Finding) -> bool:
    return (finding.package or "").startswith(CONDA)


def _conda(
    findings: list[Finding], expected: CondaEnvironment | None, actual: CondaEnvironment | None
) -> Iterator[Check]:
    """Yield one check over all packages of conda, and one for each that differs."""
    if expected is None and not findings:
        return
    by_name: dict[str, list[Difference]] = {}
    for finding in findings:
        by_name.setdefault(finding.package or "", []).append(finding.difference)
    counts = [
        f"{counted(len(side.packages) if side else 0, 'package')} of conda"
        for side in (expected, actual)
    ]
    yield Check(
        id="conda",
        ok=not by_name,
        expected=f"{counts[0]}, 0 different",
        actual=f"{counts[1]}, {len(by_name)} different",
        fix="See the packages listed below." if by_name else None,
        topic="packages",
    )
    for package, differing in by_name.items():
        name = package.removeprefix(CONDA)
        yield Check(
            id=f"conda.{name}",
            ok=False,
            expected=", ".join(
                f"{difference.subject} {difference.left or _ABSENT}"
                for difference in differing[:_NAMED]
            ),
            actual=", ".join(
                f"{difference.subject} {difference.right or _ABSENT}"
                for difference in differing[:_NAMED]
            ),
            fix="Restore again: conda's packages come back as they were.",
            topic="packages",
            package=name,
        )


def _package(
    name: str, findings: list[Finding], expected: Distribution | None, actual: Distribution | None
) -> Check:
    """Name the first thing that differs: the version, else the content, else who may run it."""
    versions = [side.version if side else _ABSENT for side in (expected, actual)]
    files = [side.files if side else None for side in (expected, actual)]
    if versions[0] != versions[1]:
        words = versions
    elif _digest(files[0]) != _digest(files[1]):
        words = [_describe_files(side) for side in files]
    else:
        differences = [finding.difference for finding in findings[:_NAMED]]
        words = [
            ", ".join(f"{difference.subject} {difference.left}" for difference in differences),
            ", ".join(f"{difference.subject} {difference.right}" for difference in differences),
        ]
    return Check(
        id=f"distribution.{name}",
        ok=False,
        expected=words[0],
        actual=words[1],
        fix=f"Reinstall {name} from the lock, or restore again."
        if expected
        else f"{name} was installed since. Remove it, or restore again; ultralytics installs what "
        "it wants unless YOLO_AUTOINSTALL=false is set.",
        topic="packages",
        package=name,
    )


def _digest(files: Files | None) -> str | None:
    return files.sha256 if files else None


def _describe_files(files: Files | None) -> str:
    if files is None:
        return "no RECORD"
    odd = [f"edited {path}" for path in files.edited]
    odd += [f"missing {path}" for path in files.missing]
    return ", ".join(
        [*(odd[:_NAMED] or [counted(files.count, "file")]), f"content {files.sha256[:12]}"]
    )


def _import_path(
    findings: list[Finding], expected: Environment, actual: Environment
) -> Iterator[Check]:
    """Compare where modules come from; the order of what follows site-packages is for a warning."""
    paths = (expected.import_path, actual.import_path)
    if paths[0] is None or paths[1] is None:
        return
    yield Check(
        id="import-path",
        ok=not findings,
        expected=", ".join(paths[0]),
        actual=", ".join(paths[1]) if findings else "the same",
        fix="Unset PYTHONPATH, or restore again." if findings else None,
        severity="warning" if _in_front(paths[0]) == _in_front(paths[1]) else "error",
        topic="import-path",
    )


def _in_front(path: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return what comes before site-packages in its order, and all that is there."""
    site = path.index("site") if "site" in path else len(path)
    return path[:site], frozenset(path)


def _files(findings: list[Finding], expected: Sequence[UntrackedFile]) -> Iterator[Check]:
    """Compare the files that belong to no package; nothing is said where there are none."""
    if not (findings or expected):
        return
    differences = [finding.difference for finding in findings[:_NAMED]]
    same = f"{counted(len(expected), 'file')} of no package"
    yield Check(
        id="untracked",
        ok=not findings,
        expected=", ".join(
            f"{difference.subject} {difference.left or _ABSENT}" for difference in differences
        )
        or same,
        actual=", ".join(
            f"{difference.subject} {difference.right or _ABSENT}" for difference in differences
        )
        or same,
        fix="Restore again, or revert these: "
        + ", ".join(difference.subject for difference in differences)
        if findings
        else None,
        topic="files",
    )


def _kernels(
    findings: list[Finding], expected: Native | None, actual: Native | None
) -> Iterator[Check]:
    if expected is None or actual is None:
        return
    names = [finding.package for finding in findings if finding.package is not None][:_NAMED]
    yield Check(
        id="kernels",
        ok=not findings,
        expected=_describe_kernels(expected, names),
        actual=_describe_kernels(actual, names),
        fix="Restore again; the kernels come with the compiled packages, cuBLAS with torch."
        if findings
        else None,
        topic="kernels",
    )


def _describe_kernels(native: Native, names: Sequence[str]) -> str:
    architectures = {kernel.distribution or "": kernel.architectures for kernel in native.kernels}
    odd = [
        f"{name or 'untracked files'}: {' '.join(architectures.get(name, ())) or _ABSENT}"
        for name in names
    ]
    return ", ".join([f"cuBLAS {native.cublas or _ABSENT}", *odd])


def _libraries(
    findings: list[Finding], expected: Native | None, actual: Native | None
) -> Iterator[Check]:
    if expected is None or actual is None:
        return
    sonames = [finding.difference.subject for finding in findings]
    missing = [library for library in expected.libraries if library.soname in sonames]
    yield Check(
        id="system-libraries",
        ok=not missing,
        expected="all libraries found at the capture",
        actual=", ".join(f"no {library.soname}" for library in missing) or "the same",
        fix=_install(missing) if missing else None,
        topic="libraries",
    )


def _install(missing: list[NativeLibrary]) -> str:
    by_hand = [library.soname for library in missing if library.outside]
    packages = sorted({library.package for library in missing if library.package})
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


def _variables(findings: list[Finding]) -> Check:
    differences = [finding.difference for finding in findings]
    names = " ".join(difference.subject for difference in differences)
    return Check(
        id="variables",
        ok=not findings,
        expected=", ".join(
            _value(difference.subject, difference.left) for difference in differences
        )
        or "the same",
        actual=", ".join(_value(difference.subject, difference.right) for difference in differences)
        or "the same",
        fix=f"Set or unset them as captured: {names}" if findings else None,
        topic="variables",
    )


def _value(name: str, value: str | None) -> str:
    return f"{name} unset" if value is None else f"{name}={value}"
