"""Lock conda's packages: by the address where a channel still has each, or as files that travel."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.conda_lock import needed_name
from snapenv.content import read_chunks, sha256_of, size_bytes
from snapenv.errors import LockError
from snapenv.lock.carry import Travelling
from snapenv.lock.overlay import OverlayPlan
from snapenv.model.carried import Content
from snapenv.model.conda import CondaArchive, CondaLock
from snapenv.model.snapshot import VENDOR, Source
from snapenv.model.wheels import IndexWheel
from snapenv.secrets.model import Location
from snapenv.secrets.refuse import refuse_leaks
from snapenv.sizes import counted, size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from snapenv.lock.carry import Fetch, VendorOptions
    from snapenv.model.carried import CollectedPackage
    from snapenv.model.conda import CondaEnvironment, CondaPackage
    from snapenv.model.facts import Facts
    from snapenv.ports import Services

_ASKING = 8  # requests at once
_DAY_S = 24 * 60 * 60
_NAMED = 5  # packages in one message
_GONE_CHANNEL = (
    "No image can be built and no environment made; an image that is built already stays. "
    "Capture with --vendor=all to carry these packages."
)
# Addresses, as they begin, of channels whose terms ask larger organisations for a licence.
# https://www.anaconda.com/legal/terms/terms-of-service
_COMMERCIAL = (
    *("repo.anaconda.com/pkgs/", "repo.anaconda.cloud/", "repo.continuum.io/pkgs/"),
    *(f"conda.anaconda.org/{name}/" for name in ("anaconda", "main", "r", "msys2")),
)
_FILE_NAME = re.compile(r"_?[A-Za-z0-9][A-Za-z0-9._+!-]*(?:\.conda|\.tar\.bz2)", re.ASCII)


class LockedConda(Struct, frozen=True, kw_only=True):
    """How conda's packages come back, with the files of those that travel."""

    lock: CondaLock
    carried: Mapping[str, Content]  # by their names in the snapshot
    allowed: tuple[str, ...] = ()  # files of theirs that look as if they held a secret
    warnings: tuple[str, ...] = ()


def lock_conda(
    facts: Facts, options: VendorOptions, fetch: Fetch, services: Services
) -> LockedConda | None:
    """Ask the channels for each package, and fetch from the target those that none has.

    Returns:
        None where the environment is no prefix of conda.

    Raises:
        LockError: A package is in no channel, and nothing may travel or it cannot be rebuilt.
        PackageIndexError: A channel does not answer.
        LeakError: A file of a package that is rebuilt holds a secret.
    """
    conda = facts.conda
    if conda is None:
        return None
    packages = conda.packages
    for package in packages:
        if not _FILE_NAME.fullmatch(package.file_name):
            raise LockError(
                f"{package.file_name!r} is not a name that the file of a conda package can have",
                hint=f"Install {package.name} again, and capture again.",
            )
    offered = _offered(packages, services, ask=options.prove != "off", anew=options.anew)
    own = tuple(package for package in packages if package.name not in offered)
    if options.vendor == "none":
        _refuse(own)
    archives = {name: _archive(conda, name) for name in offered}
    carried: dict[str, Content] = {}
    if options.vendor == "all":
        carried = _download(offered.values(), options.into, services)
        archives = {
            name: replace(archive, file=f"{VENDOR}/{archive.file_name}")
            for name, archive in archives.items()
        }
    allowed: tuple[str, ...] = ()
    if own:
        collected = fetch(_travelling(facts, own, options.into)).packages
        allowed = _refuse_secrets(collected, services, options.allow)
        for package in own:
            archive, content = _take(package, collected[package.name], options.into)
            archives[package.name] = archive
            carried[archive.file or ""] = content
    lock = CondaLock(environment=replace(conda, damaged=()), archives=archives)
    return LockedConda(
        lock=lock,
        carried=carried,
        allowed=allowed,
        warnings=(*_missing_dependencies(conda), *licence_warnings(lock)),
    )


def channel_sources(conda: CondaLock) -> Iterator[Source]:
    """Yield the channels that a restore needs, by name."""
    for channel, archives in sorted(_by_channel(conda).items()):
        size_bytes = sum(archive.size_bytes or 0 for archive in archives)
        holds = f"{counted(len(archives), 'conda package')}, {size(size_bytes)}"
        yield Source(place=channel, holds=holds, when_gone=_GONE_CHANNEL)


def licence_warnings(conda: CondaLock) -> Iterator[str]:
    """Name the channels whose terms may ask for a commercial licence."""
    for channel, archives in sorted(_by_channel(conda).items()):
        if f"{channel}/".startswith(_COMMERCIAL):
            yield (
                f"{counted(len(archives), 'package')} come from {channel}, whose terms ask larger "
                "organisations for a commercial licence, also where an image is passed on"
            )


def _by_channel(conda: CondaLock) -> Mapping[str, list[CondaArchive]]:
    """Return the archives that have an address by their channel: a host, and the folder there."""
    by_channel: dict[str, list[CondaArchive]] = {}
    for archive in conda.archives.values():
        if archive.file is None and archive.url:
            channel = posixpath.dirname(posixpath.dirname(archive.url.partition("://")[2]))
            by_channel.setdefault(channel, []).append(archive)
    return by_channel


def _offered(
    packages: Sequence[CondaPackage], services: Services, *, ask: bool, anew: bool
) -> Mapping[str, IndexWheel]:
    """Return the packages that a channel has, as what is asked for, by name.

    Where channels had all of them today, they are not asked again, unless ``anew``.
    """
    named = {
        package.name: IndexWheel(
            name=package.name,
            version=package.version,
            url=package.url,
            sha256=package.sha256,
            size_bytes=package.size_bytes,
            index=package.channel,
        )
        for package in packages
        if package.url and package.sha256
    }
    kept, now = services.made(), time.time()
    urls = (f"{each.url} {each.sha256} {each.size_bytes}" for each in named.values())
    name = kept.namer()("channels", *urls)
    asked_at = None if anew else kept.find_value(name, float)
    if not ask or not named or (asked_at is not None and 0 <= now - asked_at < _DAY_S):
        return named
    with (
        services.progress.task(f"Asking channels for {counted(len(named), 'package')}"),
        ThreadPoolExecutor(_ASKING) as pool,
    ):
        answers = list(pool.map(services.wheels.is_offered, named.values()))
    if all(answers):
        kept.keep_value(name, now)
    return {name: named[name] for name, is_there in zip(named, answers, strict=True) if is_there}


def _archive(conda: CondaEnvironment, name: str) -> CondaArchive:
    package = conda.find(name)
    if package is None:
        raise KeyError(name)
    return CondaArchive(
        file_name=package.file_name,
        url=package.url,
        sha256=package.sha256,
        md5=package.md5,
        size_bytes=package.size_bytes,
    )


def _download(
    packages: Collection[IndexWheel], into: Path, services: Services
) -> dict[str, Content]:
    carried: dict[str, Content] = {}
    what = f"Fetching {counted(len(packages), 'conda package')}"
    with services.progress.task(what) as task:
        for package in packages:
            place = into / package.filename
            services.wheels.fetch(package, place, task)
            carried[f"{VENDOR}/{package.filename}"] = place
    return carried


def _travelling(facts: Facts, own: tuple[CondaPackage, ...], into: Path) -> Travelling:
    nothing = OverlayPlan(links={}, sha256={})
    return Travelling(distributions=(), plan=nothing, facts=facts, packages=own, into=into)


def _take(
    package: CondaPackage, collected: CollectedPackage, into: Path
) -> tuple[CondaArchive, Content]:
    """Return the file of a package that travels: conda's own where it is kept, else rebuilt."""
    from snapenv.lock.conda_package import PrefixFile, build_conda_package  # imports zipfile

    if collected.archive is not None:
        archive = CondaArchive(
            file_name=package.file_name,
            file=f"{VENDOR}/{package.file_name}",
            sha256=sha256_of(collected.archive).hexdigest(),
            size_bytes=size_bytes(collected.archive),
        )
        return archive, collected.archive
    files = {
        **{
            path: PrefixFile(content=file.content, executable=file.executable)
            for path, file in collected.files.items()
        },
        **{path: PrefixFile(link=link) for path, link in collected.links.items()},
    }
    archive = build_conda_package(
        package, collected.paths, files, prefix=collected.prefix, into=into
    )
    return archive, into / archive.file_name


def _refuse_secrets(
    collected: Mapping[str, CollectedPackage], services: Services, allow: Sequence[str]
) -> tuple[str, ...]:
    from snapenv.secrets.search import find_leaks

    secrets = services.secrets()
    leaks = (
        find_leaks(Location(name=f"{name}: {path}"), read_chunks(file.content), secrets)
        for name, package in collected.items()
        for path, file in package.files.items()
    )
    return refuse_leaks(chain.from_iterable(leaks), allowed=allow)


def _missing_dependencies(conda: CondaEnvironment) -> Iterator[str]:
    """Name the packages that need others that are not there, as ``conda install`` would."""
    known = {package.name for package in conda.packages}
    for package in conda.packages:
        named = {needed_name(spec) for spec in package.depends}
        for missing in sorted(named - known):
            if missing.startswith("__"):
                continue
            yield (
                f"conda's {package.described} needs {missing}, which is not installed: conda calls "
                "this environment inconsistent. It is locked as it is"
            )


def _refuse(own: Sequence[CondaPackage]) -> None:
    if own:
        more = f"; and {len(own) - _NAMED} more" if len(own) > _NAMED else ""
        named = "; ".join(f"no channel gives {each.described}" for each in own[:_NAMED])
        raise LockError(
            f"{named}{more}",
            hint="Let its bytes travel with --vendor=missing, or install it from a channel.",
        )
