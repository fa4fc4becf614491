"""What of an environment is not as locked: facts in, findings out.

It asks what snapenv's own comparison asks (``snapenv/verify/differences.py``); a test holds both
together. Facts are as JSON has them, here as there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Iterable, Iterator, NamedTuple

if TYPE_CHECKING:
    from snapenv_check.expected import Facts

_DIGITS = 12  # of a hash, that people compare
_NAMED = 3  # files or modules that one finding names
_OF_DRIVER = re.compile(r"lib(cuda|nvidia-.+|nvcuvid|nvoptix)\.so.*")  # comes with the GPU
_BY_TOOLS = re.compile(
    r"(?:\.\./)+bin/(?:(?:de)?activate(?:\.(?:csh|fish|nu|ps1|bat|xsh|elv)|_this\.py)?|pydoc\.bat)"
    r"|_virtualenv\.(?:py|pth)",
    re.IGNORECASE,
)
_IN_MEMORY = ("LD_AUDIT", "LD_PRELOAD")
_MAY_COME_FIRST = ("LD_LIBRARY_PATH",)  # a library may name its own folder, which goes before


class Finding(NamedTuple):
    """One thing that is not as locked."""

    topic: str  # "packages", "variables", as the checks of snapenv verify have it
    subject: str  # "numpy", "OMP_NUM_THREADS", "site.py"
    expected: str | None  # None where nothing is expected
    actual: str | None  # None where nothing is there
    counts: bool = True  # else it is only told
    package: str | None = None


def _finding(
    topic: str,
    subject: str,
    sides: Iterable[Any],
    *,
    counts: bool = True,
    package: str | None = None,
) -> Finding:
    """Return a finding of what is expected and what is there."""
    expected, actual = sides
    return Finding(topic, subject, expected, actual, counts, package)


def contents(expected: Facts, actual: Facts) -> list[Finding]:
    """Compare what is installed."""
    sides = (expected["environment"], actual["environment"])
    return [
        *_python(*(side["interpreter"] for side in sides)),
        *_frameworks(*sides),
        *_packages(*sides),
        *_conda(expected.get("conda"), actual.get("conda")),
        *_import_path(*(side.get("import_path") for side in sides)),
        *_files(*({file["path"]: file for file in side.get("unowned") or ()} for side in sides)),
        *_native(expected.get("native"), actual.get("native")),
    ]


def surroundings(expected: Facts, actual: Facts, neutral: dict[str, str]) -> list[Finding]:
    """Compare the variables; a ``neutral`` value does what it does to set none."""
    return [
        *_startup(expected.get("startup"), actual["startup"]),
        *_variables(expected.get("variables") or {}, actual["variables"], neutral),
    ]


def _python(expected: Facts, actual: Facts) -> Iterator[Finding]:
    """Compare the interpreters; another patch of one version is only told."""
    names = [f"{side['implementation']} {side['version']}" for side in (expected, actual)]
    if names[0] != names[1]:
        minors = [name.rpartition(".")[0] for name in names]
        yield _finding("python", "Python", names, counts=minors[0] != minors[1])


def _frameworks(expected: Facts, actual: Facts) -> Iterator[Finding]:
    torch = (expected.get("torch") or {}, actual.get("torch") or {})
    libraries = (expected.get("libraries") or {}, actual.get("libraries") or {})
    versions = [("torch", torch, "version")]
    versions += [("CUDA", torch, "cuda")] if all(torch) else []
    versions += [("cuDNN", libraries, "cudnn"), ("NCCL", libraries, "nccl")]
    for subject, sides, key in versions:
        yield from _differ("frameworks", subject, *(side.get(key) for side in sides))


def _differ(topic: str, subject: str, expected: Any, actual: Any) -> Iterator[Finding]:  # noqa: ANN401
    if expected != actual:
        yield Finding(topic, subject, expected, actual)


def _packages(expected: Facts, actual: Facts) -> Iterator[Finding]:
    sides = [{each["name"]: each for each in side["distributions"]} for side in (expected, actual)]
    for name in sorted(sides[0].keys() | sides[1].keys()):
        left, right = sides[0].get(name), sides[1].get(name)
        versions = [side and side["version"] for side in (left, right)]
        words: tuple[Any, ...] | None = None
        if versions[0] != versions[1]:
            words = (*versions,)
        elif left and right:
            words = _other_files(left.get("files"), right.get("files"))
        if words:
            yield _finding("packages", name, words, package=name)


def _other_files(expected: Facts | None, actual: Facts | None) -> tuple[str, str] | None:
    """Describe the files of one version that are others, or that other ones may be run of."""
    if (expected and expected["sha256"]) != (actual and actual["sha256"]):
        return _describe_files(expected), _describe_files(actual)
    bits = [side and side.get("executable") for side in (expected, actual)]
    if bits[0] is not None and bits[1] is not None and set(bits[0]) != set(bits[1]):
        odd = sorted(set(bits[0]) ^ set(bits[1]))[:_NAMED]
        return "other files may be run", ", ".join(odd)
    return None


def _describe_files(files: Facts | None) -> str:
    if not files:
        return "no RECORD"
    odd = [f"edited {path}" for path in files.get("edited") or ()]
    odd += [f"missing {path}" for path in files.get("missing") or ()]
    return ", ".join([*odd[:_NAMED], f"content {files['sha256'][:_DIGITS]}"])


def _conda(expected: Facts | None, actual: Facts | None) -> Iterator[Finding]:
    if not expected or not actual:
        if expected or actual:
            counts = [
                f"{len(side['packages'])} packages" if side else None for side in (expected, actual)
            ]
            yield _finding("packages", "conda", counts, package="conda")
        return
    sides = [{each["name"]: each for each in side["packages"]} for side in (expected, actual)]
    for name in sorted(sides[0].keys() | sides[1].keys()):
        left, right = sides[0].get(name), sides[1].get(name)
        builds = [side and f"{side['version']} {side['build']}" for side in (left, right)]
        if (
            builds[0] == builds[1]
            and left
            and right
            and left["files"]["sha256"] != right["files"]["sha256"]
        ):
            builds = [_describe_files(side["files"]) for side in (left, right)]
        if builds[0] != builds[1]:
            yield _finding("packages", f"{name} (conda)", builds, package=name)
    variables = [side.get("variables") or {} for side in (expected, actual)]
    for name in sorted(variables[0].keys() | variables[1].keys()):
        yield from _differ("variables", name, *(side.get(name) for side in variables))


def _import_path(expected: list[str] | None, actual: list[str] | None) -> Iterator[Finding]:
    """Compare where modules come from; the order of what follows site-packages is only told."""
    if expected is not None and actual is not None and list(expected) != list(actual):
        counts = _in_front(expected) != _in_front(actual)
        words = (", ".join(side) for side in (expected, actual))
        yield _finding("import-path", "import path", words, counts=counts)


def _in_front(path: list[str]) -> tuple[list[str], set[str]]:
    site = path.index("site") if "site" in path else len(path)
    return path[:site], set(path)


def _files(expected: dict[str, Facts], actual: dict[str, Facts]) -> Iterator[Finding]:
    """Compare the files of no package; those that tools add beside them are only told."""
    for path in sorted(expected.keys() | actual.keys()):
        left, right = expected.get(path), actual.get(path)
        words = (_describe_file(left, right), _describe_file(right, left))
        by_tool = left is None and right and (right.get("folder") or _BY_TOOLS.fullmatch(path))
        if words[0] != words[1]:
            yield _finding("files", path, words, counts=not by_tool)


def _describe_file(file: Facts | None, other: Facts | None) -> str | None:
    """Describe a file beside another, with what is told only where the two differ in it."""
    if file is None:
        return None
    if file.get("folder"):
        return "an empty folder"
    words = [f"-> {file['link']}" if file.get("link") else f"content {_short(file.get('sha256'))}"]
    if other and {file.get("executable"), other.get("executable")} == {True, False}:
        words.append("executable" if file["executable"] else "not executable")
    if other and file.get("placeholders") and not other.get("placeholders"):
        words.append("which names the environment's folder")
    return ", ".join(words)


def _short(digest: str | None) -> str | None:
    return digest and digest[:_DIGITS]


def _native(expected: Facts | None, actual: Facts | None) -> Iterator[Finding]:
    """Compare compiled code, where both sides looked at it."""
    if not expected or not actual:
        return
    yield from _differ("kernels", "cuBLAS", expected.get("cublas"), actual.get("cublas"))
    kernels = [
        {
            each.get("distribution") or "": set(each["architectures"])
            for each in side.get("kernels") or ()
        }
        for side in (expected, actual)
    ]
    for name in sorted(kernels[0].keys() | kernels[1].keys()):
        of_name = [side.get(name, set()) for side in kernels]
        words = (
            " ".join(sorted(side)) or None
            for side in (of_name[0] - of_name[1], of_name[1] - of_name[0])
        )
        if of_name[0] != of_name[1]:
            yield _finding(
                "kernels", f"kernels of {name or 'untracked files'}", words, package=name
            )
    there = {each["soname"] for each in actual.get("libraries") or () if each["found"]}
    for each in expected.get("libraries") or ():
        needed = (
            each["found"]
            and each.get("required", True)
            and not _OF_DRIVER.fullmatch(each["soname"])
        )
        if needed and each["soname"] not in there:
            yield Finding("libraries", each["soname"], each.get("package") or "found", None)


def _startup(captured: dict[str, Any] | None, actual: dict[str, Any]) -> Iterator[Finding]:
    """Name each variable that brings what it did not at the capture.

    It counts but for a folder of libraries, from which only some may be taken, and for libraries
    where nobody looked at the capture. What is gone was in memory, and is only told.
    """
    expected = captured or {}
    for name in sorted({*expected, *actual}):
        before, now = set(expected.get(name) or ()), set(actual.get(name) or ())
        is_more = bool(now - before)
        is_known = captured is not None or name.startswith("PYTHON")
        if is_more or (before - now and name in _IN_MEMORY):
            counts = is_more and is_known and name not in _MAY_COME_FIRST
            words = (", ".join(sorted(side)[:_NAMED]) or None for side in (before, now))
            yield _finding("startup", name, words, counts=counts)


def _variables(
    expected: dict[str, str], actual: dict[str, str], neutral: dict[str, str]
) -> Iterator[Finding]:
    for name in sorted(expected.keys() | actual.keys()):
        default = neutral.get(name)
        if expected.get(name, default) != actual.get(name, default):
            yield Finding("variables", name, expected.get(name), actual.get(name))
