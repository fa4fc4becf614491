"""Fetch the bytes of what cannot be had again: whole distributions, and files by name.

They come as a tar from the program that looked. Its members are read by their names and kept in
memory; nothing is ever unpacked.
"""

from __future__ import annotations

import json
import mmap
import re
import tempfile
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct

from snapenv.content import CHUNK_BYTES, write_all
from snapenv.errors import ProbeError
from snapenv.json_text import read_json
from snapenv.model.carried import CarriedFile, Collected, CollectedPackage
from snapenv.tars import DAMAGED, is_plain, open_stream
from snapenv.travel.answer import last_line, run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from snapenv.model.carried import Content
    from snapenv.ports import Target

MARK = b"\nsnapenv-files:\n"
LARGE_BYTES = 32 << 20  # what is larger is not kept in memory
LIMIT_BYTES = 8 << 30  # of all files together
LIMIT_FILES = 200_000
_REQUEST = "request.json"
_OF_DISTRIBUTION = re.compile(
    r"dist/(?P<name>[a-z0-9-]+)/(?P<path>(?:site|scripts|data)/.+)", re.DOTALL
)
_OF_PACKAGE = re.compile(
    r"conda/(?P<name>[^/]+)/(?:(?P<kind>archive|record\.json)|prefix/(?P<path>.+))", re.DOTALL
)
_BY_NAME = re.compile(r"files/(?P<path>(?:site|prefix)/.+)", re.DOTALL)


def collect(  # noqa: PLR0913 - all but one by name
    target: Target,
    *,
    distributions: Sequence[str],
    files: Sequence[str],
    packages: Sequence[str] = (),
    carry: Sequence[str] = (),
    into: Path | None = None,
) -> Collected:
    """Fetch the files of distributions, by normalised name, and single files.

    A single file is named ``site/PATH`` or ``prefix/PATH``. ``packages`` are conda's, by name. What
    changed since the probe looked comes as it is now; compare it by its hash. ``carry`` are the
    paths that the probe had. Large files are put into the folder ``into``, if there is one, and are
    Paths then.

    Raises:
        ProbeError: Something that is asked for is not there, or what came cannot be used.
    """
    for path in files:
        _check_path(path)
    if not distributions and not files and not packages:
        return Collected(distributions={}, files={})
    wanted = {
        "distributions": [*distributions],
        "files": [*files],
        "packages": [*packages],
        "carry": [*carry],
    }
    request = json.dumps(wanted).encode()
    with tempfile.TemporaryFile(prefix="snapenv-") as stream:
        done = run(
            target,
            "snapenv_probe",
            ("--collect", _REQUEST),
            files={_REQUEST: request},
            stdout=stream,
        )
        if done.exit_code != 0:
            raise _failed(last_line(done.stderr).removeprefix("snapenv-collect: "))
        return _sort(_members(stream, into), distributions, files, packages)


def _sort(
    members: Iterable[tuple[str, CarriedFile]],
    distributions: Collection[str],
    files: Collection[str],
    packages: Collection[str] = (),
) -> Collected:
    """Sort what came by what it was asked for; everything is there, and nothing else."""
    whole: dict[str, dict[str, CarriedFile]] = {name: {} for name in distributions}
    single: dict[str, CarriedFile] = {}
    of_conda: dict[str, dict[str, CarriedFile]] = {name: {} for name in packages}
    for member, file in members:
        of_package = _OF_PACKAGE.fullmatch(member)
        of_distribution, by_name = _OF_DISTRIBUTION.fullmatch(member), _BY_NAME.fullmatch(member)
        if of_distribution and of_distribution["name"] in whole:
            _check_path(of_distribution["path"])
            whole[of_distribution["name"]][of_distribution["path"]] = file
        elif by_name and by_name["path"] in files:
            single[by_name["path"]] = file
        elif of_package and of_package["name"] in of_conda:
            _check_path(of_package["path"] or "x")
            of_conda[of_package["name"]][member.split("/", 2)[2]] = file
        else:
            raise _failed(f"{member!r} came, and was not asked for")
    missing = [
        *(name for named in (whole, of_conda) for name in named if not named[name]),
        *(set(files) - single.keys()),
    ]
    if missing:
        raise _failed(f"{min(missing)} did not come")
    return Collected(
        distributions=whole,
        files=single,
        packages={name: _package(name, held) for name, held in of_conda.items()},
    )


class _Record(Struct, frozen=True):
    prefix: str
    paths: tuple[dict[str, Any], ...]
    links: dict[str, str]


def _package(name: str, files: Mapping[str, CarriedFile]) -> CollectedPackage:
    """Read what came of a package of conda: its own file, or a record and files of the prefix."""
    if "archive" in files:
        return CollectedPackage(archive=files["archive"].content)
    try:
        record = read_json(files["record.json"].text, _Record)
    except (KeyError, ValueError) as error:
        raise _failed(f"the record of {name} cannot be read") from error
    return CollectedPackage(
        prefix=record.prefix,
        paths=record.paths,
        links=record.links,
        files={
            path.removeprefix("prefix/"): file
            for path, file in files.items()
            if path.startswith("prefix/")
        },
    )


def _members(stream: IO[bytes], into: Path | None) -> Iterator[tuple[str, CarriedFile]]:
    """Read a tar within the limits, each name once.

    Raises:
        ProbeError: It is damaged, too large, or holds more than plain files.
    """
    names: set[str] = set()
    size_bytes = 0
    stream.seek(_start(stream))
    try:
        with open_stream(stream) as archive:
            for member in archive:
                size_bytes += member.size
                content = archive.extractfile(member) if is_plain(member) else None
                if content is None or member.name in names:
                    raise _failed(f"{member.name!r} came twice, or is no plain file")
                if size_bytes > LIMIT_BYTES or len(names) >= LIMIT_FILES:
                    raise _failed("more came than a snapshot can hold")
                names.add(member.name)
                executable = bool(member.mode & 0o100)
                is_large = member.size > LARGE_BYTES and into is not None
                place = into / f"collected-{len(names)}" if into and is_large else None
                yield member.name, CarriedFile(content=_take(content, place), executable=executable)
    except DAMAGED as error:
        raise _failed(f"the archive is damaged: {error}") from error


def _take(member: IO[bytes], place: Path | None) -> Content:
    """Read a member whole, or put it into a file of its own, a piece at a time."""
    if place is None:
        return member.read()
    with place.open("xb", buffering=0) as file:
        write_all(file, iter(lambda: member.read(CHUNK_BYTES), b""))
    return place


def _start(stream: IO[bytes]) -> int:
    """Find where the tar begins: an environment may print when its Python starts."""
    if stream.seek(0, 2) == 0:
        raise _failed("nothing came")
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view:
        start = view.find(MARK)
    if start < 0:
        raise _failed("no archive came")
    return start + len(MARK)


def _check_path(path: str) -> None:
    """Check that a path stays below its root.

    Raises:
        ProbeError: It leads out.
    """
    if not {"", ".", ".."}.isdisjoint(path.split("/")) or "\0" in path:
        raise _failed(f"{path!r} leads out of the environment")


def _failed(why: str) -> ProbeError:
    return ProbeError(
        f"the environment's files cannot be fetched: {why}",
        hint="See that nothing changes the environment meanwhile, then try again.",
    )
