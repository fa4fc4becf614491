"""Resolve what an update asks for, through uv, with everything else held where it is.

First hard: every other pin is a requirement. Where that has no solution, or moves nothing, softly:
the pins are preferences, and what else has to move is the price. What no index gives back (a wheel
that travels, a package of the base image) is offered to uv from a folder, and stays in any case.

Source: https://docs.astral.sh/uv/reference/cli/#uv-pip-compile
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from packaging.utils import canonicalize_name, is_normalized_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from snapenv.errors import ConflictError, NotFoundError, SnapshotDamagedError
from snapenv.lock.ask import Uv, ask_index, not_locked, python_platform
from snapenv.lock.tags import Platform
from snapenv.model.facts import Facts
from snapenv.model.python import Distribution
from snapenv.model.snapshot import Snapshot
from snapenv.model.update import Changes, Move
from snapenv.model.wheels import Pinned, Vendored
from snapenv.sizes import first_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snapenv.model.carried import Content
    from snapenv.model.wheels import IndexWheel
    from snapenv.ports import Completed, Task

_LINE = re.compile(r"(?m)^(?P<name>[\w.-]+)==(?P<version>\S+)(?: +# via (?P<via>.*))?$")
_HELD = "held"  # the folder of wheels that no index has
_PREFERENCES = "preferences.txt"
_EXCLUDES, _OVERRIDES = "excludes.txt", "overrides.txt"
_NO_SOLUTION = "No solution found"
_UNREADABLE = re.compile(r"has (?:invalid|inconsistent) metadata|has an invalid package format")
_NAMED = 12  # packages that a message names
_CAUSE_LENGTH = 600  # characters


class Price(Struct, frozen=True, kw_only=True):
    """What else would have to move, in a sentence, and why, in uv's words where it has some."""

    moves: str
    cause: str

    def refused(self) -> ConflictError:
        """Return the error that it is not to be."""
        return ConflictError(
            f"{self.cause} {self.moves}".strip(),
            hint="Let them move with --allow-moves, or name another version.",
        )


class Resolution(Struct, frozen=True, kw_only=True):
    """What an environment is to hold: a version of each distribution, and what moves."""

    versions: Mapping[str, str]  # by name, of those that uv resolved
    moves: tuple[Move, ...]  # by name, those that were asked for first
    warnings: tuple[str, ...] = ()
    price: Price | None = None  # others move too, which nobody has allowed


class Resolving(Struct, frozen=True, kw_only=True):
    """What is resolved, and by what; others may move too where that is allowed."""

    snapshot: Snapshot
    changes: Changes
    uv: Uv
    facts: Facts  # of the snapshot, with the Python that is wanted
    allow_moves: bool = False


class _Versions(Struct, frozen=True, kw_only=True):
    """An answer of uv: versions, and who needs each; or why there is none."""

    versions: Mapping[str, str] | None
    needed_by: Mapping[str, tuple[str, ...]]
    cause: str = ""


class _Held(Struct, frozen=True, kw_only=True):
    """What uv is told of an environment, beside what is asked for."""

    pins: Mapping[str, str]  # versions of what an index gives back, by name
    fixed: Mapping[str, str]  # likewise of what no index does
    wheels: Mapping[str, bytes]  # of those, by file name
    absent: tuple[str, ...] = ()  # what packages require, and this environment lives without
    contradicts: bool = False  # its own packages ask for what it does not have


def resolve(resolving: Resolving, task: Task) -> Resolution:
    """Find versions for what is asked for that fit all that is held, else what else must move.

    Raises:
        NotFoundError: No index has a package, or this version of it, for this Python.
        ConflictError: There is no solution.
        PackageIndexError: An index does not answer.
    """
    task.note("asking for the versions")
    newest = _newest(resolving)
    task.note("comparing with what is held")
    held, warnings = _hold(resolving)
    hard = _refuse_removed(_ask(resolving, held, _hard(resolving.changes, held)), resolving)
    wanted = [each.name for each in resolving.changes.upgrade]
    if hard.versions and all(_same(hard.versions.get(name), newest[name]) for name in wanted):
        return _resolution(resolving, held, hard, warnings)
    task.note("looking for what else would have to move")
    soft = _soft_answer(resolving, held, newest)
    if soft.versions is None:
        soft = _soft_answer(resolving, held, {})
    chosen = _choose(resolving, held, hard, soft, warnings)
    missed = (
        f"{name} {newest[name]} is the newest, and does not fit what is held"
        for name in wanted
        if not _same(chosen.versions.get(name), newest[name])
    )
    return chosen if chosen.warnings else replace(chosen, warnings=tuple(missed))


def _choose(
    resolving: Resolving,
    held: _Held,
    hard: _Versions,
    soft: _Versions,
    warnings: tuple[str, ...],
) -> Resolution:
    """Choose between what holds everything and what goes farther, at a price."""
    if soft.versions is None and hard.versions is None:
        raise ConflictError(
            f"the update has no solution: {soft.cause}",
            hint="Name other versions, or let go of what the explanation names.",
        )
    if soft.versions is None:
        return _resolution(resolving, held, hard, warnings)
    price = _resolution(resolving, held, soft, warnings)
    others = [str(move) for move in price.moves if move.before and not move.requested]
    if not others or resolving.allow_moves:
        return price
    farther = ", ".join(str(move) for move in price.moves if move.requested)
    moved = _resolution(resolving, held, hard, warnings) if hard.versions else None
    changed = {move.name for move in moved.moves} if moved else set()
    stuck = [each.name for each in resolving.changes.upgrade if each.name not in changed]
    if moved and not stuck:
        more = f"{farther} needs others to move too (--allow-moves): {first_of(others, _NAMED)}"
        return replace(moved, warnings=(*moved.warnings, more))
    goal = farther or f"Python {resolving.changes.python or 'as it is'}"
    reason = f"{goal} needs other packages to move too: {first_of(others, _NAMED)}"
    return replace(price, price=Price(moves=reason, cause=hard.cause))


def choose_wheels(
    resolution: Resolution, facts: Facts, uv: Uv, task: Task, *, everything: bool
) -> Mapping[str, IndexWheel]:
    """Return the wheels of an index to install, by name: of what moves, or of ``everything``.

    Raises:
        ConflictError: The index offers none for this Python and platform.
    """
    moved = {move.name for move in resolution.moves if move.after}
    pins = [
        Distribution(name=name, version=version, origin="index")
        for name, version in resolution.versions.items()
        if everything or name in moved
    ]
    system = facts.hardware.system
    platform = Platform(
        python=facts.environment.interpreter.minor, machine=system.machine, glibc=system.glibc
    )
    return {
        name: _best(name, wheels, platform)
        for name, wheels in ask_index(pins, facts, uv, task).items()
    }


def _best(name: str, wheels: Iterable[IndexWheel], platform: Platform) -> IndexWheel:
    ranked = [
        (rank, number, wheel)
        for number, wheel in enumerate(wheels)
        if (rank := platform.rank(parse_wheel_filename(wheel.filename)[3])) is not None
    ]
    if not ranked:
        raise ConflictError(
            f"no index offers a wheel of {name} for Python {platform.python} here",
            hint="Name another version of it, or of Python.",
        )
    return min(ranked)[2]


def _newest(resolving: Resolving) -> Mapping[str, str]:
    """Return the newest version of each package that is asked for, whatever it requires.

    Raises:
        NotFoundError: No index has it.
    """
    wanted = (*resolving.changes.upgrade, *resolving.changes.add)
    if not wanted:
        return {}
    answer = _ask(resolving, _Held(pins={}, fixed={}, wheels={}), map(str, wanted), "--no-deps")
    if answer.versions is None:
        names = " ".join(map(str, wanted))
        raise NotFoundError(
            f"no index has {names} for Python {resolving.facts.environment.interpreter.minor}: "
            f"{answer.cause}",
            hint="See that the name and the version are right; indexes are those of pip's or uv's "
            "configuration.",
        )
    return answer.versions


def _hold(resolving: Resolving) -> tuple[_Held, tuple[str, ...]]:
    """Say what is held; of packages that contradict each other, warn."""
    snapshot, changes = resolving.snapshot, resolving.changes
    lock = snapshot.lock
    moving = {each.name for each in changes.upgrade}
    pins = {
        name: locked.wheel.version
        for name, locked in lock.packages.items()
        if isinstance(locked, Pinned) and is_normalized_name(name)
    }
    fixed, wheels = dict[str, str](), dict[str, bytes]()
    for each in lock.environment.distributions:
        if each.name in pins or each.name in moving:
            continue
        wheel = _wheel_of(each, snapshot)
        if wheel:
            fixed[each.name], filename, wheels[filename] = wheel
    held = _Held(pins=pins, fixed=fixed, wheels=wheels)
    added = {each.name for each in changes.add}
    as_is = _ask(
        replace(resolving, facts=lock.facts),
        held,
        (f"{name}=={version}" for name, version in {**pins, **fixed}.items()),
    )
    if as_is.versions is None:
        why = (
            "what the captured packages require cannot all be read"
            if _UNREADABLE.search(as_is.cause)
            else "the captured packages contradict each other"
        )
        warning = f"{why}, so what they require of one another is not checked: {as_is.cause}"
        return replace(held, contradicts=True), (warning,)
    absent = as_is.versions.keys() - pins.keys() - fixed.keys() - added - moving
    return replace(held, absent=tuple(sorted(absent))), ()


def _wheel_of(each: Distribution, snapshot: Snapshot) -> tuple[str, str, bytes] | None:
    """Return version, file name and bytes of what stands for a package that no index has.

    Of a wheel that travels, that is what it says of itself, without its files. None where a name or
    version is not of its grammar, and could be an option to uv.

    Raises:
        SnapshotDamagedError: It is no wheel.
    """
    locked = snapshot.lock.packages[each.name]
    try:
        version = str(Version(each.version))
    except InvalidVersion:
        return None
    if not is_normalized_name(each.name):
        return None
    if isinstance(locked, Vendored) and locked.wheel:
        filename = posixpath.basename(locked.wheel.file)
        version = str(parse_wheel_filename(filename)[1])
        return version, filename, _without_files(snapshot.files[locked.wheel.file], filename)
    return version, *_stub(each.name, version)


def _without_files(wheel: Content, filename: str) -> bytes:
    """Return a wheel of which only METADATA and WHEEL are left: uv reads no more to resolve."""
    packed = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(wheel) if isinstance(wheel, bytes) else wheel) as whole,
            zipfile.ZipFile(packed, "w") as archive,
        ):
            for name in whole.namelist():
                if name.endswith((".dist-info/METADATA", ".dist-info/WHEEL")):
                    archive.writestr(name, whole.read(name))
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise SnapshotDamagedError(
            f"{filename} is no wheel: {error}",
            hint="Get the snapshot again from where it was captured.",
        ) from error
    return packed.getvalue()


def _stub(name: str, version: str) -> tuple[str, bytes]:
    """Make a wheel without files, whose requirements nobody knows."""
    stem, packed = f"{name.replace('-', '_')}-{version}", io.BytesIO()
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(packed, "w") as archive:
        for file, text in texts.items():
            archive.writestr(f"{stem}.dist-info/{file}", text)
    return f"{stem}-py3-none-any.whl", packed.getvalue()


def _hard(changes: Changes, held: _Held) -> Iterable[str]:
    """Yield the requirements of which only those that are asked for are free."""
    moving = changes.names
    yield from (
        f"{name}=={version}"
        for name, version in {**held.pins, **held.fixed}.items()
        if name not in moving
    )
    yield from map(str, (*changes.upgrade, *changes.add))


def _soft_answer(resolving: Resolving, held: _Held, newest: Mapping[str, str]) -> _Versions:
    """Ask with the pins as preferences, for the ``newest`` of what is upgraded where it is known.

    uv would rather take an older version of that than leave a preference.
    """
    changes = resolving.changes
    stay = (
        *(name for name in held.pins if name not in changes.names),
        *(
            f"{name}=={version}"
            for name, version in held.fixed.items()
            if name not in changes.names
        ),
    )
    upgraded = (
        str(replace(each, specifier=f"=={newest[each.name]}") if each.name in newest else each)
        for each in changes.upgrade
    )
    preferences = "".join(
        f"{name}=={version}\n" for name, version in held.pins.items() if name not in changes.remove
    )
    upgrades = [word for each in changes.upgrade for word in ("--upgrade-package", each.name)]
    answer = _ask(
        resolving,
        held,
        (*stay, *upgraded, *map(str, changes.add)),
        *("--output-file", _PREFERENCES, *upgrades),
        files={_PREFERENCES: preferences.encode()},
        overrides=False,
    )
    return _refuse_removed(answer, resolving)


def _ask(
    resolving: Resolving,
    held: _Held,
    requirements: Iterable[str],
    *words: str,
    files: Mapping[str, bytes] | None = None,
    overrides: bool = True,
) -> _Versions:
    """Resolve, and read what uv answers.

    Raises:
        PackageIndexError, LockError: It has no answer, for another reason than a conflict.
    """
    facts = resolving.facts
    given = {f"{_HELD}/{name}": content for name, content in held.wheels.items()}
    options = ["--find-links", _HELD] if given else []
    if held.absent:
        given[_EXCLUDES] = "".join(f"{name}\n" for name in held.absent).encode()
        options += ["--excludes", _EXCLUDES]
    if held.contradicts and overrides:
        pinned = {**held.pins, **held.fixed}
        lines = (f"{name}=={pinned[name]}\n" for name in pinned.keys() - resolving.changes.names)
        given[_OVERRIDES] = "".join(sorted(lines)).encode()
        options += ["--overrides", _OVERRIDES]
    done = resolving.uv.compile(
        "".join(f"{line}\n" for line in requirements),
        *("--no-header", "--annotation-style", "line", "--no-build"),
        *("--python-version", re.split("[^0-9.]", facts.environment.interpreter.version)[0]),
        *("--python-platform", python_platform(facts)),
        *options,
        *words,
        files={**given, **(files or {})},
    )
    return _read(done)


def _read(done: Completed) -> _Versions:
    if done.exit_code == 0:
        lines = [(canonicalize_name(line["name"]), line) for line in _LINE.finditer(done.stdout)]
        return _Versions(
            versions={name: line["version"] for name, line in lines},
            needed_by={name: _needing(line["via"] or "") for name, line in lines},
        )
    if _NO_SOLUTION not in done.stderr:
        raise not_locked(" ".join(done.stderr.split()))
    return _Versions(versions=None, needed_by={}, cause=explain(done.stderr))


def _needing(via: str) -> tuple[str, ...]:
    return tuple(name for name in via.split(", ") if name and not name.startswith("-"))


def explain(stderr: str) -> str:
    """Return why uv has no solution, in its words: the cause, without the head and the advice."""
    _, _, text = stderr.partition(_NO_SOLUTION)
    _, _, text = text.partition("\n")
    text, _, _ = text.partition("hint:")
    cause = re.sub(r"^[\s╰─▶]*(?:cause: *)?", "", " ".join(text.split()))
    return cause if len(cause) <= _CAUSE_LENGTH else f"{cause[:_CAUSE_LENGTH]}…"


def _refuse_removed(answer: _Versions, resolving: Resolving) -> _Versions:
    """Refuse to remove what another package requires.

    Raises:
        ConflictError: It is there again.
    """
    for name in resolving.changes.remove:
        if answer.versions and name in answer.versions:
            needing = " and ".join(answer.needed_by[name]) or "another package"
            raise ConflictError(
                f"{name} cannot be removed: {needing} requires it",
                hint=f"Remove {needing} too, with --remove, or leave {name}.",
            )
    return answer


def _resolution(
    resolving: Resolving, held: _Held, answer: _Versions, warnings: tuple[str, ...]
) -> Resolution:
    """Compare an answer with what was."""
    versions = answer.versions or {}
    before = {**_versions_before(resolving.snapshot), **held.pins, **held.fixed}
    removed = resolving.changes.remove
    requested = resolving.changes.names
    moves = [
        Move(
            name=name,
            before=before.get(name),
            after=versions.get(name),
            requested=name in requested,
        )
        for name in sorted((*versions.keys(), *removed))
        if not _same(before.get(name), versions.get(name))
    ]
    return Resolution(
        versions={name: each for name, each in versions.items() if name not in held.fixed},
        moves=tuple(sorted(moves, key=lambda move: not move.requested)),
        warnings=warnings,
    )


def _versions_before(snapshot: Snapshot) -> Mapping[str, str]:
    return {each.name: each.version for each in snapshot.lock.environment.distributions}


def _same(before: str | None, after: str | None) -> bool:
    if before is None or after is None:
        return before == after
    try:
        return Version(before) == Version(after)
    except InvalidVersion:
        return before == after
