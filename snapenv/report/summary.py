"""What a capture looked at and what is special about it, in words and for programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from snapenv.model.results import CaptureResult
from snapenv.model.wheels import Pinned, Vendored
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.conda import CondaEnvironment
    from snapenv.model.fingerprint import Fingerprint
    from snapenv.model.python import Distribution, OriginKind
    from snapenv.model.snapshot import Lock

ORIGINS: Mapping[OriginKind, str] = {
    "index": "from an index",
    "url": "from a URL",
    "vcs": "from version control",
    "editable": "editable",
    "local": "from a local file",
    "conda": "of conda",
    "system": "of the operating system",
    "base": "of the base image",
}
# What other packages of conda run on, or are linked with, by the names it has had.
_OF_CONDA = frozenset(
    [
        *("python", "openssl", "libstdcxx", "libstdcxx-ng", "mkl", "openblas", "libopenblas"),
        *("cudatoolkit", "cuda-version", "cuda-cudart", "cudnn", "nccl", "pytorch", "libtorch"),
    ]
)
_NAMED = 3  # modules in a line


def summarize(lock: Lock, *, path: str, digest: str, python: str) -> CaptureResult:
    """Return what was locked in ``path``; ``python`` is the interpreter that was looked at."""
    distributions = lock.environment.distributions
    of_conda = lock.conda.environment.packages if lock.conda else ()
    files = [
        *(package.files for package in distributions if package.files),
        *(package.files for package in of_conda),
    ]
    return CaptureResult(
        path=path,
        tag=lock.tag,
        digest=digest,
        python=python,
        packages=len(distributions),
        origins=dict(sorted(Counter(package.origin for package in distributions).items())),
        edited_files=sum(len(each.edited) for each in files),
        missing_files=sum(len(each.missing) for each in files),
        conda_packages=len(of_conda),
        carried_packages=sum(isinstance(each, Vendored) for each in lock.packages.values()),
        carried_files=sum(not file.folder for file in lock.environment.untracked),
        not_importable=_not_importable(lock),
        exports=lock.baseline.exports if lock.baseline else None,
    )


def summary_lines(result: CaptureResult) -> Iterator[str]:
    """Yield what was looked at, and then only what is not as an index gave it."""
    origins = ", ".join(
        words if len(result.origins) == 1 else f"{result.origins[kind]} {words}"
        for kind, words in ORIGINS.items()
        if kind in result.origins
    )
    packages = counted(result.packages, "package")
    yield f"looked at {result.python}: {packages}" + (f", {origins}" if origins else "")
    if result.conda_packages:
        yield f"{counted(result.conda_packages, 'package')} of conda"
    special = tuple(_special(result))
    if special:
        yield f"special: {', '.join(special)}"


def lock_lines(lock: Lock) -> Iterator[str]:
    """Yield what was locked: versions, base image, baseline, and where packages come from."""
    yield _describe(lock)
    if lock.conda:
        yield from _describe_conda(lock.conda.environment)
    yield f"base image {lock.base.image}: {'; '.join(lock.base.reasons)}"
    yield _describe_baseline(lock.baseline)
    for export in (lock.baseline and lock.baseline.exports) or ():
        yield f"export to {export.format}: {export.words}"
    yield from _describe_sources(lock)


def summary_warnings(result: CaptureResult) -> Iterator[str]:
    """Name what a person will hardly have meant."""
    if not result.packages:
        yield f"{result.python} has 0 packages: see that it is the Python that is meant"
    lost = result.not_importable
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        yield (
            f"cannot be imported, here and after a restore: {', '.join(lost[:_NAMED])}{more}: "
            "their files are gone; install the packages again, or leave them out"
        )


def _special(result: CaptureResult) -> Iterator[str]:
    counts = (
        (result.edited_files, "file", "files", "edited"),
        (result.missing_files, "file", "files", "missing"),
        (result.carried_packages, "package", "packages", "carried"),
        (result.carried_files, "file of no package", "files of no package", "carried"),
    )
    for number, singular, plural, what in counts:
        if number:
            yield f"{counted(number, singular, plural)} {what}"


def _not_importable(lock: Lock) -> tuple[str, ...]:
    """Name the top-level modules that an installed package should have, and that are gone."""
    modules = (
        name
        for distribution in lock.environment.distributions
        for name in _lost_modules(distribution)
    )
    return tuple(dict.fromkeys(modules))


def _lost_modules(distribution: Distribution) -> Iterator[str]:
    for path in distribution.files.missing if distribution.files else ():
        folder, _, name = path.rpartition("/")
        if name == "__init__.py" and folder and "/" not in folder:
            yield folder
        elif not folder and name.endswith(".py"):
            yield name.removesuffix(".py")


def _describe(lock: Lock) -> str:
    environment, hardware = lock.environment, lock.hardware
    parts = [f"Python {environment.interpreter.version}"]
    parts += [f"torch {environment.torch.version}"] if environment.torch else []
    parts += [
        f"{name} {version}"
        for name, version in (
            ("cuDNN", environment.libraries.cudnn),
            ("NCCL", environment.libraries.nccl),
        )
        if version
    ]
    parts.append(hardware.driver_label)
    parts += [gpu.name for gpu in hardware.gpus]
    return ", ".join(parts)


def _describe_conda(conda: CondaEnvironment) -> Iterator[str]:
    """Name what other code runs on or is linked with, and is conda's here."""
    named = [
        f"{package.name} {package.version}"
        for package in conda.packages
        if package.name in _OF_CONDA
    ]
    if named:
        yield f"of conda: {', '.join(named)}"


def _describe_sources(lock: Lock) -> Iterator[str]:
    """Say where the packages come from again; the base image has a line of its own."""
    proofs = [each.proof for each in lock.packages.values() if isinstance(each, Pinned)]
    if proved := proofs.count("record"):
        are = "is" if proved == 1 else "are"
        yield f"{counted(proved, 'package')} {are} proved by the RECORD of their index"
    for source in lock.sources[:-1]:
        yield f"{source.holds} from {source.place}"


def _describe_baseline(baseline: Fingerprint | None) -> str:
    if baseline is None:
        return "no baseline: a restore will be proved by its facts alone"
    losses = counted(len(baseline.losses), "loss", "losses")
    several = baseline.ranks.devices if baseline.ranks else ()
    return (
        f"baseline on {baseline.conditions.device}: {losses}, "
        f"the first {baseline.values[0]:.6f}, the last {baseline.values[-1]:.6f}"
        + (f", and of {len(several)} ranks together" if several else "")
    )
