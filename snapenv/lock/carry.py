"""Fetch what travels with a snapshot, or give what was fetched and looked through before.

A distribution that can be had nowhere else comes as a wheel that is rebuilt here; what was edited
or put beside the packages comes as files. Each part is kept by all that it hangs on: what the probe
says of its bytes, this program, and the credentials that were looked for. So what has not changed
is neither fetched nor searched again, and what does that is imported only where it is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from snapenv.content import read_chunks, sha256_of, size_bytes, write_content
from snapenv.kept import Kept, KeptFiles
from snapenv.lock.overlay import OverlayPlan
from snapenv.lock.paths import place_in_environment
from snapenv.model.carried import CarriedFile, Content
from snapenv.model.conda import CondaPackage
from snapenv.model.facts import Facts
from snapenv.model.python import Distribution
from snapenv.model.snapshot import VENDOR, Prove, Vendor
from snapenv.model.wheels import Vendored, VendoredWheel
from snapenv.program import program_digest
from snapenv.secrets.model import Leak, Location
from snapenv.secrets.refuse import refuse_leaks
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from snapenv.model.carried import Collected
    from snapenv.model.python import Environment, UntrackedFile
    from snapenv.ports import Services

_Leaks = Mapping[str, tuple[Leak, ...]]  # by part
_TEXT_BYTES = 8192  # a NUL among the first says that it is none
_GOES_ON = b"-._~+"  # beside letters and digits, what makes a name longer


class VendorOptions(Struct, frozen=True, kw_only=True):
    """How much is proved, how much travels, and where what is fetched for that is put."""

    prove: Prove = "record"
    vendor: Vendor = "missing"
    anew: bool = False  # ask the index even for what it has answered today
    allow: tuple[str, ...] = ()  # files that may travel although they look as if with a secret
    beside: tuple[str, ...] = ()  # paths beside the sources of packages that travel, too
    into: Path


class Travelling(Struct, frozen=True, kw_only=True):
    """What must travel: distributions as wheels, and the files of the overlay's plan.

    Each of them is a part, by its name; only those of files have a slash in them.
    """

    distributions: tuple[Distribution, ...]
    plan: OverlayPlan
    facts: Facts
    packages: tuple[CondaPackage, ...] = ()  # of conda
    beside: tuple[str, ...] = ()  # paths beside the sources of packages that travel, too
    into: Path  # a folder for files that are large, and for wheels that are kept


class Carried(Struct, frozen=True, kw_only=True):
    """What travels, and the places in it that may although they look bad."""

    vendored: Mapping[str, Vendored]  # by distribution
    wheels: Mapping[str, Content]  # by their places in the snapshot
    files: Mapping[str, CarriedFile]  # by site/PATH and prefix/PATH
    allowed: tuple[str, ...]
    named: tuple[NamedFolder, ...] = ()  # folders of this machine, in texts


class _Part(Struct, frozen=True, kw_only=True):
    """A rebuilt wheel or a file, and what looked like a secret in what it is made of.

    Where a distribution can be no wheel, there are its ``files`` instead.
    """

    content: Content
    leaks: tuple[Leak, ...]
    wheel: VendoredWheel | None = None
    executable: bool = False
    files: Mapping[str, CarriedFile] = field(default_factory=dict)
    named: tuple[NamedFolder, ...] = ()


Fetch = Callable[[Travelling], "Collected"]  # brings the bytes of what travels from the target


def carry(
    travelling: Travelling,
    fetch: Fetch,
    services: Services,
    *,
    allow: Sequence[str] = (),
    anew: bool = False,
) -> Carried:
    """Return what travels, of which nothing that is not allowed holds a secret.

    ``fetch`` is asked for what is not kept; with ``anew`` for all of it.

    Raises:
        LeakError: A file that is not allowed holds a secret; it is named, with its line.
        LockError: No wheel can be made of a distribution.
        ProbeError: The target does not give what it is asked for.
    """
    if not travelling.distributions and not travelling.plan.files:
        return Carried(vendored={}, wheels={}, files={}, allowed=())
    names = _names(travelling, services)
    kept = _KeptParts(
        heads=services.made(), wheels=KeptFiles(services.kept("wheels")), into=travelling.into
    )
    parts = {} if anew else kept.find(names)
    missing = _without(travelling, parts)
    collected = fetch(missing) if missing.distributions or missing.plan.files else None
    leaks = _search(collected, services) if collected else {}
    allowed = refuse_leaks(
        chain(*(part.leaks for part in parts.values()), *leaks.values()), allowed=allow
    )
    for name, part in _make(missing, collected, leaks) if collected else ():
        parts[name] = replace(part, named=_named(name, collected, travelling.facts.places))
        if name in names:
            kept.keep(names[name], parts[name])
    return _together(travelling, parts, allowed)


def _together(
    travelling: Travelling, parts: Mapping[str, _Part], allowed: tuple[str, ...]
) -> Carried:
    own = {package.name: parts[package.name] for package in travelling.distributions}
    files = {name: parts[name] for name in travelling.plan.files}
    gone = {*travelling.plan.deleted, *travelling.plan.links}
    return Carried(
        vendored={name: Vendored(wheel=part.wheel) for name, part in own.items()},
        wheels={part.wheel.file: part.content for part in own.values() if part.wheel},
        files={
            **{
                name: file
                for part in own.values()
                for name, file in part.files.items()
                if name not in gone
            },
            **{
                name: CarriedFile(content=part.content, executable=part.executable)
                for name, part in files.items()
            },
        },
        allowed=allowed,
        named=tuple(chain(*(part.named for part in parts.values()))),
    )


def _names(travelling: Travelling, services: Services) -> dict[str, str]:
    """Say under what name each part is kept; one that nothing identifies has none."""
    environment, system = travelling.facts.environment, travelling.facts.hardware.system
    hangs_on = msgspec.json.encode(
        (
            *(program_digest(), environment.interpreter.minor, system.machine, system.glibc),
            *(services.secrets(), travelling.facts.places),
        )
    )
    name = services.made().namer()
    return {
        part: name(hangs_on, part, msgspec.json.encode(identity))
        for part, identity in _identities(travelling).items()
    }


def _identities(travelling: Travelling) -> dict[str, object]:
    """Return what the probe says of the bytes of each part.

    Of a file of a distribution that is what it says of all that have edited one of this name; of
    a file that nothing else is known of, it is what it says of the whole environment.
    """
    environment = travelling.facts.environment
    minor = environment.interpreter.minor
    untracked = {name: file for name, file in _untracked(environment).items() if file.sha256}
    conda = travelling.facts.conda
    owners: dict[str, list[Distribution | CondaPackage]] = {}
    packages: tuple[Distribution | CondaPackage, ...] = conda.packages if conda else ()
    for package in (*packages, *environment.distributions):
        for path in package.files.edited if package.files else ():
            owners.setdefault(place_in_environment(package.name, path, minor), []).append(package)
    return {
        **{package.name: package for package in travelling.distributions if package.files},
        **{
            name: untracked.get(name) or owners.get(name) or environment
            for name in travelling.plan.files
        },
    }


def _untracked(environment: Environment) -> Mapping[str, UntrackedFile]:
    """Return what belongs to no distribution, by its place."""
    minor = environment.interpreter.minor
    return {
        place_in_environment("site-packages", file.path, minor): file
        for file in environment.untracked
    }


class _Head(Struct, frozen=True, kw_only=True):
    """A part without its content, as it is kept; of each file its bytes, and may it be run."""

    leaks: tuple[Leak, ...]
    wheel: VendoredWheel | None
    executable: bool
    files: dict[str, tuple[bytes, bool]]
    named: tuple[NamedFolder, ...]


class _KeptParts(Struct, frozen=True, kw_only=True):
    """What travelled before, kept for the next capture; a wheel is a file of its own."""

    heads: Kept
    wheels: KeptFiles
    into: Path

    def find(self, names: Mapping[str, str]) -> dict[str, _Part]:
        """Return the parts that are kept whole, by part; their wheels are put into ``into``."""
        parts = {part: self._find(name) for part, name in names.items()}
        return {name: part for name, part in parts.items() if part}

    def keep(self, name: str, part: _Part) -> None:
        """Keep a part; of one that is no wheel, nothing that is large."""
        if not all(isinstance(file.content, bytes) for file in part.files.values()):
            return
        if part.wheel:
            self._keep_wheel(part.wheel, part.content)
        elif isinstance(part.content, bytes):
            self.heads.keep(_content_name(name), part.content)
        else:
            return
        head = _Head(
            leaks=part.leaks,
            wheel=part.wheel,
            executable=part.executable,
            files={name: (file.text, file.executable) for name, file in part.files.items()},
            named=part.named,
        )
        self.heads.keep_value(name, head)

    def _keep_wheel(self, wheel: VendoredWheel, content: Content) -> None:
        file = self.into / f"kept-{wheel.sha256}"
        with contextlib.suppress(OSError):
            write_content(file, content)
            self.wheels.keep(wheel.sha256, file)

    def _find(self, name: str) -> _Part | None:
        head = self.heads.find_value(name, _Head)
        content = self._content(name, head.wheel) if head else None
        if head is None or content is None:
            return None
        return _Part(
            content=content,
            leaks=head.leaks,
            wheel=head.wheel,
            executable=head.executable,
            files={
                name: CarriedFile(content=text, executable=executable)
                for name, (text, executable) in head.files.items()
            },
            named=head.named,
        )

    def _content(self, name: str, wheel: VendoredWheel | None) -> Content | None:
        if wheel is None:
            return self.heads.find(_content_name(name))
        file = self.into / f"kept-{wheel.sha256}"
        return file if self.wheels.find(wheel.sha256, file) else None


def _content_name(name: str) -> str:
    return hashlib.sha256(f"{name} content".encode()).hexdigest()


def _without(travelling: Travelling, parts: Collection[str]) -> Travelling:
    """Leave out what is here already."""
    distributions, plan = travelling.distributions, travelling.plan
    return replace(
        travelling,
        distributions=tuple(package for package in distributions if package.name not in parts),
        plan=replace(plan, files=tuple(name for name in plan.files if name not in parts)),
    )


def _pieces(file: CarriedFile) -> Iterable[bytes]:
    """Return a file to be searched: a small one at once, so that no piece cuts a word."""
    return [file.content] if isinstance(file.content, bytes) else read_chunks(file.content)


def _search(collected: Collected, services: Services) -> _Leaks:
    """Look into the files that would travel, and return by part what looks like a secret."""
    from snapenv.secrets.search import find_leaks

    single = {name: {name: file} for name, file in collected.files.items()}
    parts: dict[str, Mapping[str, CarriedFile]] = {**single, **collected.distributions}
    count = sum(map(len, parts.values()))
    with services.progress.task(f"Looking for secrets in {counted(count, 'file')}"):
        secrets = services.secrets()
        leaks_of_part = {
            part: (
                find_leaks(Location(name=place), _pieces(file), secrets)
                for place, file in files.items()
            )
            for part, files in parts.items()
        }
        return {part: tuple(chain(*leaks)) for part, leaks in leaks_of_part.items()}


def _named(
    name: str, collected: Collected | None, places: Mapping[str, tuple[str, ...]]
) -> tuple[NamedFolder, ...]:
    """Find the texts of a part that name folders of this machine."""
    if collected is None:
        return ()
    single = collected.files.get(name)
    files = {name: single} if single else collected.distributions[name]
    texts = ((place if single else f"{name}: {place}", file) for place, file in files.items())
    return tuple(chain(*(find_folders(place, file.text, places) for place, file in texts)))


def _make(missing: Travelling, collected: Collected, leaks: _Leaks) -> Iterator[tuple[str, _Part]]:
    from snapenv.lock.tags import Platform
    from snapenv.lock.wheel import NoWheelError, as_files, make_wheel

    system = missing.facts.hardware.system
    platform = Platform(
        python=missing.facts.environment.interpreter.minor,
        machine=system.machine,
        glibc=system.glibc,
    )
    for package in missing.distributions:
        files = collected.distributions[package.name]
        try:
            filename, content = make_wheel(package, files, platform, into=missing.into)
            wheel = VendoredWheel(
                file=f"{VENDOR}/{filename}",
                sha256=sha256_of(content).hexdigest(),
                size_bytes=size_bytes(content),
            )
            part = _Part(content=content, leaks=leaks[package.name], wheel=wheel)
        except NoWheelError:
            untracked = _untracked(missing.facts.environment)
            part = _Part(
                content=b"", leaks=leaks[package.name], files=as_files(files, untracked=untracked)
            )
        yield package.name, part
    for name in missing.plan.files:
        file = collected.files[name]
        yield name, _Part(content=file.content, leaks=leaks[name], executable=file.executable)


class NamedFolder(Struct, frozen=True, kw_only=True):
    """A folder that a text names, the first time that it does."""

    place: str  # such as "site/x.py"
    line: int  # from 1
    what: str  # "this environment's folder"

    def __str__(self) -> str:
        """Say it in a sentence."""
        return (
            f"{self.place} line {self.line} names {self.what}, and travels as it is: "
            "it will lead nowhere elsewhere"
        )


def find_folders(
    place: str, content: bytes, folders: Mapping[str, tuple[str, ...]]
) -> tuple[NamedFolder, ...]:
    """Look for folders in a text; ``folders`` are absolute, by what they are.

    The first kind that is found at a place counts there: an environment may lie in a home folder.
    """
    if b"\0" in content[:_TEXT_BYTES]:
        return ()
    named: dict[int, str] = {}
    for what, places in folders.items():
        words = [folder.encode(errors="replace") for folder in places]
        for at in sorted(at for word in words for at in _at(content, word)):
            if at not in named:
                named[at] = what
    first: dict[str, int] = {}
    for at, what in sorted(named.items()):
        first.setdefault(what, content.count(b"\n", 0, at) + 1)
    return tuple(NamedFolder(place=place, line=line, what=what) for what, line in first.items())


def _at(content: bytes, folder: bytes) -> Iterator[int]:
    """Yield where a folder is named, and not one whose name only begins like it."""
    at = content.find(folder)
    while at >= 0:
        after = content[at + len(folder) : at + len(folder) + 1]
        if not (after.isalnum() or after in _GOES_ON or after == b"_") or not after:
            yield at
        at = content.find(folder, at + 1)
