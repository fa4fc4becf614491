"""Find what of the environment is not as locked, and read as few files as that needs.

Where every file is as it was when the image was made, what was found then still holds. Else the
files are looked at, those again that changed since the last look in this container.
"""

# Paths are plain strings, as elsewhere in what travels.
# ruff: noqa: PTH118

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from snapenv_check import compare, record
from snapenv_probe import cache, file_tree, import_path, kept_answer, settings, startup

if TYPE_CHECKING:
    from snapenv_check.compare import Finding
    from snapenv_check.expected import Facts
    from snapenv_probe.hash_index import Index


class Examined(NamedTuple):
    """What is not as locked, and how that was found out."""

    findings: list[Finding]
    by: str  # "record", where the files were only listed, or "files"
    packages: int  # how many there are


def examine(lock: Facts, *, rehash: bool) -> Examined:
    """Compare this environment with a lock; ``rehash`` reads every file."""
    path = import_path.folders()
    tree = file_tree.walk(import_path.own_folders(), file_tree.root())
    recorded = None if rehash else record.find(path, tree)
    if recorded:
        findings, packages = recorded.findings, recorded.packages
    else:
        facts = _inspect(path, tree, rehash=rehash)
        findings, packages = compare.contents(lock["facts"], facts), count_packages(facts)
    now = {"variables": settings.of_training(), "startup": startup.find(tree)}
    around = map(_of_limit, compare.surroundings(lock["facts"], now, lock["neutral"]))
    findings = [*findings, *around]
    return Examined(findings, "record" if recorded else "files", packages)


def _of_limit(finding: Finding) -> Finding:
    """Only note the threads where this container has fewer CPUs, for which snapenv sets both."""
    limited = finding.subject == "OMP_NUM_THREADS" and finding.actual is not None
    if limited and finding.actual == os.environ.get("PYTHON_CPU_COUNT"):
        return finding._replace(counts=False)
    return finding


def count_packages(facts: Facts) -> int:
    """Return how many packages were seen, those of conda among them."""
    of_conda = (facts["conda"] or {}).get("packages", ())
    return len(facts["environment"]["distributions"]) + len(of_conda)


def describe(path: list[str], tree: file_tree.Tree, index: Index) -> Facts:
    """Look at all, and return what is compared, as snapenv's ``Facts`` has it."""
    from snapenv_probe import environment

    facts, _ = environment.inspect(path, tree, index)
    return _with_versions(facts)


def _inspect(path: list[str], tree: file_tree.Tree, *, rehash: bool) -> Facts:
    """Look as the probe does, with what it keeps in a folder of this container's user."""
    from snapenv_probe import environment, hash_index

    place = cache.place(["--index", _folder()]) or ""
    kept = kept_answer.Kept(place + ".answer", path)
    facts: dict[str, Any] | None = None if rehash else kept.find(tree)
    if facts is None:
        index = hash_index.Index(place + ".index", rehash=rehash)
        facts, beside = environment.inspect(path, tree, index)
        index.save()
        kept.keep(facts, tree, beside)
    return _with_versions(facts)


def _folder() -> str:
    above = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - it is made private, or not used
    return os.path.join(above, f"snapenv-check-{os.geteuid()}")


def _with_versions(facts: Facts) -> Facts:
    """Add what is asked of the interpreter and of CUDA's libraries."""
    from snapenv_probe import answer, libraries

    answers = libraries.ask(facts["cuda"])
    return {
        **facts,
        "environment": {
            **facts["environment"],
            "interpreter": answer.interpreter(),
            "libraries": {name: each.answer() for name, each in answers.items()},
        },
    }
