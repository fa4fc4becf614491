"""What a capture looked at and what is special about it, in words and for programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.python import Distribution, OriginKind, Proof
    from snapenv.model.snapshot import Lock

_ORIGINS: Mapping[OriginKind, str] = {
    "index": "from an index",
    "url": "from a URL",
    "vcs": "from version control",
    "editable": "editable",
    "local": "from a local file",
    "conda": "of conda",
    "system": "of the operating system",
    "base": "of the base image",
}
_PROOFS: Mapping[Proof, str] = {
    "record": "proved by RECORD",
    "vendored": "carried",
    "base": "in the base image",
    "none": "not proved",
}
_NAMED = 3  # modules in a line


def summary_result(lock: Lock, python: str) -> dict[str, object]:
    """Give the facts for programs; ``python`` is the interpreter that was looked at."""
    found = lock.environment.distributions
    return {
        "python": python,
        "packages": len(found),
        "origins": dict(sorted(Counter(one.origin for one in found).items())),
        "edited_files": sum(len(one.files.edited) for one in found if one.files),
        "missing_files": sum(len(one.files.missing) for one in found if one.files),
        "carried_packages": _carried(lock),
        "carried_files": _loose(lock),
        "not_importable": list(_not_importable(lock)),
    }


def summary_lines(lock: Lock, python: str) -> Iterator[str]:
    """Say what was looked at, and then only what is not as an index gave it."""
    found = lock.environment.distributions
    origins = Counter(one.origin for one in found)
    told = ", ".join(
        words if len(origins) == 1 else f"{origins[kind]} {words}"
        for kind, words in _ORIGINS.items()
        if origins[kind]
    )
    yield f"looked at {python}: {counted(len(found), 'package')}" + (f", {told}" if told else "")
    special = tuple(_special(lock))
    if special:
        yield f"special: {', '.join(special)}"


def summary_warnings(lock: Lock, python: str) -> Iterator[str]:
    """Name what a person will hardly have meant."""
    if not lock.environment.distributions:
        yield f"{python} has 0 packages: see that it is the Python that is meant"
    lost = _not_importable(lock)
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        yield (
            f"cannot be imported, here and after a restore: {', '.join(lost[:_NAMED])}{more}: "
            "their files are gone; install the packages again, or leave them out"
        )


def list_packages(lock: Lock) -> tuple[Mapping[str, str | None], ...]:
    """Give each package: name, version, origin, where it comes from, and how that is proved."""
    return tuple(
        {
            "name": one.name,
            "version": one.version,
            "origin": one.origin,
            "source": one.url or _ORIGINS[one.origin],
            "proof": _PROOFS.get(lock.proofs.get(one.name, "none")),
        }
        for one in lock.environment.distributions
    )


def _special(lock: Lock) -> Iterator[str]:
    files = [one.files for one in lock.environment.distributions if one.files]
    counts = (
        (sum(len(found.edited) for found in files), "file", "files", "edited"),
        (sum(len(found.missing) for found in files), "file", "files", "missing"),
        (_carried(lock), "package", "packages", "carried"),
        (_loose(lock), "file of no package", "files of no package", "carried"),
    )
    for number, one, many, what in counts:
        if number:
            yield f"{counted(number, one, many)} {what}"


def _carried(lock: Lock) -> int:
    return sum(proof == "vendored" for proof in lock.proofs.values())


def _loose(lock: Lock) -> int:
    return sum(not file.folder for file in lock.environment.unowned)


def _not_importable(lock: Lock) -> tuple[str, ...]:
    """Name the top-level modules that an installed package should have, and that are gone."""
    found = (name for one in lock.environment.distributions for name in _lost_modules(one))
    return tuple(dict.fromkeys(found))


def _lost_modules(distribution: Distribution) -> Iterator[str]:
    for path in distribution.files.missing if distribution.files else ():
        folder, _, name = path.rpartition("/")
        if name == "__init__.py" and folder and "/" not in folder:
            yield folder
        elif not folder and name.endswith(".py"):
            yield name.removesuffix(".py")
