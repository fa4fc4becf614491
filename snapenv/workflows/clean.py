"""Say what could be freed of what snapenv has made, and free what is chosen."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import EngineError, EngineMissingError, NotFoundError
from snapenv.launch.records import list_records, read_end, read_record, run_folder
from snapenv.model.clean import Freeable
from snapenv.model.image import ImageRef
from snapenv.model.launch import InImage
from snapenv.model.outcome import Outcome
from snapenv.model.results import CleanedThing, CleanResult
from snapenv.ownership.leftovers import remove
from snapenv.report.listing import clean_lines
from snapenv.sizes import utc_text
from snapenv.steps.serving import take_away
from snapenv.steps.workspace import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from snapenv.model.launch import RunRecord, RunState
    from snapenv.ports import Services

_CACHES = ("bytecode", "hashes", "made", "records", "wheels")  # folders of services.cache
_BEING_MADE_S = 3600  # an image has no name until it is proved
_MADE_ANEW = {"workspace", "tools", "build-cache", "cache"}  # when they are needed again


class Cleaning(Struct, frozen=True, kw_only=True):
    """What a user may ask to have freed."""

    older_than_s: float | None = None  # of what was neither used nor made for so long
    keep: tuple[str, ...] = ()  # names of environments
    keep_newest: int | None = None  # environments
    yes: bool = False  # free it


def clean(request: Cleaning, services: Services) -> Outcome[CleanResult]:
    """List what snapenv has made with what each thing takes up, and free what is chosen.

    Without an engine the rest is done, with a warning, and so where it does not let go of an image.

    Raises:
        NotFoundError: There is no environment of a name that is to be kept.
        EngineError: The engine does not say what it has.
    """
    records = list_records(services.state) if services.state else ()
    made, warnings = _of_engine(services, records)
    with services.progress.task("Measuring"):
        things = (
            *made,
            *_runs(records, services),
            *_tools(records, services),
            *_caches(request, services),
        )
    chosen = choose(things, request, now=datetime.now(timezone.utc))
    freed = list[Freeable]()
    if request.yes and chosen:
        with services.progress.task("Freeing") as task:
            # A workspace goes before its base.
            for thing in sorted(chosen, key=lambda each: each.kind != "workspace"):
                task.note(thing.name)
                try:
                    _free(thing, request, services)
                    freed.append(thing)
                except EngineError as error:
                    warnings += (f"{thing.name} stays: {error.message}",)
    rows = tuple(
        CleanedThing(thing=thing, chosen=thing in chosen, freed=thing in freed) for thing in things
    )
    result = CleanResult(
        things=rows, freed_bytes=sum(row.thing.size_bytes for row in rows if row.freed)
    )
    return Outcome(
        command="clean", result=result, lines=tuple(clean_lines(result)), warnings=warnings
    )


def choose(things: Sequence[Freeable], request: Cleaning, *, now: datetime) -> tuple[Freeable, ...]:
    """Choose what is freed; pure.

    Without an age it is what is made anew when it is needed, and of environments those that are
    nameless, or that are beyond the newest so many. With an age it is all that is older.

    Raises:
        NotFoundError: There is no environment of a name that is to be kept.
    """
    environments = [thing for thing in things if thing.kind == "environment"]
    kept = _kept(environments, request)
    by_use = sorted(environments, key=_last_seen, reverse=True)
    surplus = by_use[request.keep_newest :] if request.keep_newest is not None else []

    def is_chosen(thing: Freeable) -> bool:
        if thing.in_use or thing in kept:
            return False
        if thing.kind == "environment" and request.keep_newest is not None:
            if thing not in surplus:
                return False
        elif request.older_than_s is None:
            is_nameless = thing.kind == "environment" and not thing.names
            return thing.kind in _MADE_ANEW or (is_nameless and _age_s(thing, now) >= _BEING_MADE_S)
        return request.older_than_s is None or _age_s(thing, now) >= request.older_than_s

    return tuple(thing for thing in things if is_chosen(thing))


def _kept(environments: Iterable[Freeable], request: Cleaning) -> list[Freeable]:
    kept = list[Freeable]()
    for name in request.keep:
        named = [
            environment
            for environment in environments
            if any(_is_named(full, name) for full in environment.names)
        ]
        if not named:
            raise NotFoundError(
                f"there is no environment {name} to keep; nothing was freed",
                hint="See snapenv list for their names.",
            )
        kept += named
    return kept


def _is_named(full: str, name: str) -> bool:
    """Return whether a name is an image's whole name, or its tag."""
    return full == name or ImageRef.parse(full).tag == name


def _last_seen(thing: Freeable) -> str:
    return thing.last_used or thing.created or ""


def _age_s(thing: Freeable, now: datetime) -> float:
    """Return how long a thing was not used; what has no date is new."""
    last = _last_seen(thing)
    if not last:
        return 0
    return (now - datetime.fromisoformat(last.replace("Z", "+00:00"))).total_seconds()


def _of_engine(
    services: Services, records: Iterable[RunRecord]
) -> tuple[tuple[Freeable, ...], tuple[str, ...]]:
    """Return what is in the engine, each image with the last run of it that is known here."""
    last = dict[str, str]()
    for record in records:
        place = record.launch.place
        if isinstance(place, InImage):
            last[place.id] = max(record.created, last.get(place.id, ""))
    try:
        with services.progress.task("Asking the engine what takes up room"):
            made = services.engine.list_made()
    except EngineMissingError as error:
        return (), (f"{error.message}: images are not listed",)
    return tuple(_used(thing, last) for thing in made), ()


def _used(thing: Freeable, last: Mapping[str, str]) -> Freeable:
    return replace(thing, last_used=last[thing.id]) if thing.id in last else thing


def _runs(records: Iterable[RunRecord], services: Services) -> Iterator[Freeable]:
    """Yield the records of runs, each with the files and the container that are left of it."""
    if services.state is None:
        return
    for record in records:
        state, end = _state(record, services), read_end(services.state, record.run)
        files = _files(run_folder(services.state, record.run))
        yield Freeable(
            kind="run",
            id=record.run,
            size_bytes=sum(status.st_size for _, status in files),
            created=record.created,
            last_used=end.finished if end else (state.finished if state else None),
            in_use=state is not None and state.running,
        )


def _state(record: RunRecord, services: Services) -> RunState | None:
    runs = services.containers if record.engine else services.processes
    try:
        return runs.state(record.run)
    except (EngineMissingError, EngineError):
        return None


def _tools(records: Sequence[RunRecord], services: Services) -> Iterator[Freeable]:
    """Yield the folders of tools that workspaces beside a venv use."""
    above = services.kept(TOOLS)
    for folder in sorted(above.iterdir()) if above and above.is_dir() else ():
        users = (each for each in records if any(str(folder) in word for word in each.launch.argv))
        states = [_state(record, services) for record in users]
        files = _files(folder)
        yield Freeable(
            kind="tools",
            id=str(folder),
            names=(str(folder),),
            size_bytes=sum(status.st_size for _, status in files),
            created=utc_text(folder.stat().st_mtime),
            in_use=any(state is not None and state.running for state in states),
        )


def _caches(request: Cleaning, services: Services) -> Iterator[Freeable]:
    """Yield the folders of what can be had again; with an age, as far as it is older."""
    for name in _CACHES:
        folder = services.kept(name)
        files = _old_files(folder, request) if folder else []
        if folder and files:
            yield Freeable(
                kind="cache",
                id=str(folder),
                names=(str(folder),),
                size_bytes=sum(status.st_size for _, status in files),
                last_used=utc_text(max(status.st_mtime for _, status in files)),
            )


def _old_files(folder: Path, request: Cleaning) -> list[tuple[Path, os.stat_result]]:
    latest = datetime.now(timezone.utc).timestamp() - (request.older_than_s or 0)
    return [(path, status) for path, status in _files(folder) if status.st_mtime <= latest]


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files of a folder and below; what goes meanwhile is left out."""
    files = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                files.append((path, path.lstat()))
            except OSError:
                continue
    return files


def _free(thing: Freeable, request: Cleaning, services: Services) -> None:
    if thing.kind == "run" and services.state:
        record = read_record(services.state, thing.id)
        (services.containers if record.engine else services.processes).remove(thing.id)
        take_away(thing.id, services)
    elif thing.kind == "cache":
        for path, _ in _old_files(Path(thing.id), request):
            path.unlink(missing_ok=True)
    elif thing.kind == "tools":
        remove(Path(thing.id))
    else:
        services.engine.remove_made(thing)
