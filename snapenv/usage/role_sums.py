"""Sums of a ledger for those who may not see each run: the rows of a team's views, from SQLite.

In each month and for each model of GPU a project counts by itself when at least two users had it;
all others are one rest. Where all of the rest is one user's, the smallest of the other projects
joins it, since who knows the total could take away what is shown; where there is none, nothing is
shown. ``snapenv.usage.postgres_schema`` says the same in SQL.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from snapenv.model.usage import Correction, RunGpu, UsageRun, UsageSum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


DETAILS = ("purpose", "model", "tag", "snapshot", "failure")
"""What managers see of a project beside its users."""

_LEAST_USERS = 2


class _Used(Struct, frozen=True, kw_only=True):
    """What a GPU did in a run and a month, or a correction of that."""

    run: UsageRun
    row: RunGpu
    is_correction: bool = False

    @property
    def project(self) -> _Project:
        return self.row.month, self.row.model, self.run.project


_Scope = tuple[str, str]  # the month, and the model of the GPU
_Project = tuple[str, str, "str | None"]


class _Group(NamedTuple):
    """What is the same in all runs of a sum, in the order of its columns."""

    month: str
    gpu_model: str
    project: str | None
    is_rest: bool
    is_correction: bool
    user: str | None = None
    purpose: str | None = None
    model: str | None = None
    tag: str | None = None
    snapshot: str | None = None
    failure: str | None = None


class Rows(Struct, frozen=True, kw_only=True):
    """All rows of a ledger that sums are made of."""

    runs: tuple[UsageRun, ...]
    run_gpus: tuple[RunGpu, ...]
    corrections: tuple[Correction, ...]


def sums_by_user(rows: Rows, name: Callable[[str], str]) -> tuple[UsageSum, ...]:
    """Return the sums of managers: by project, user and what was run; ``name`` is a pseudonym."""

    def group(used: _Used, *, is_rest: bool) -> _Group:
        run, plain = used.run, _plain(used, is_rest=is_rest)
        details = {} if is_rest else {detail: getattr(run, detail) for detail in DETAILS}
        return plain._replace(user=name(run.user), **details)

    return _sums(rows, group)


def sums_by_project(rows: Rows) -> tuple[UsageSum, ...]:
    """Return the sums of finance: by project alone."""
    return _sums(rows, _plain)


def _plain(used: _Used, *, is_rest: bool) -> _Group:
    project = None if is_rest else used.run.project
    return _Group(used.row.month, used.row.model, project, is_rest, used.is_correction)


def _sums(rows: Rows, group: Callable[..., _Group]) -> tuple[UsageSum, ...]:
    used = _used(rows)
    places = _is_rest_by_project(used)
    groups: dict[_Group, list[_Used]] = defaultdict(list)
    for each in used:
        is_rest = places[each.project]
        if is_rest is not None:
            groups[group(each, is_rest=is_rest)].append(each)
    in_order = sorted(groups, key=lambda key: tuple((part is None, str(part)) for part in key))
    return tuple(_sum(key, groups[key]) for key in in_order)


def _used(rows: Rows) -> list[_Used]:
    runs = {run.key: run for run in rows.runs}
    known = {(row.key, row.gpu, row.month): row for row in rows.run_gpus if row.key in runs}
    corrections = [
        RunGpu(
            key=correction.key,
            gpu=correction.gpu,
            month=correction.month,
            model=known[correction.key, correction.gpu, correction.month].model,
            allocated_ms=correction.allocated_ms,
            buckets=correction.buckets,
            energy_mj=correction.energy_mj,
        )
        for correction in rows.corrections
        if (correction.key, correction.gpu, correction.month) in known
    ]
    return [
        *(_Used(run=runs[row.key], row=row) for row in known.values()),
        *(_Used(run=runs[row.key], row=row, is_correction=True) for row in corrections),
    ]


def _is_rest_by_project(used: Iterable[_Used]) -> dict[_Project, bool | None]:
    """Return whether each project is shown in the rest; None where it is not shown at all."""
    users: dict[_Project, set[str]] = defaultdict(set)
    times: dict[_Project, int] = defaultdict(int)
    for each in used:
        users[each.project].add(each.run.user)
        times[each.project] += each.row.allocated_ms
    scopes: dict[_Scope, list[_Project]] = defaultdict(list)
    for project in users:
        scopes[project[:2]].append(project)
    places: dict[_Project, bool | None] = {}
    for projects in scopes.values():
        places |= _places(projects, users, times)
    return places


def _places(
    projects: Sequence[_Project], users: dict[_Project, set[str]], times: dict[_Project, int]
) -> dict[_Project, bool | None]:
    small = [project for project in projects if len(users[project]) < _LEAST_USERS]
    large = [project for project in projects if project not in small]
    of_rest = set[str]().union(*(users[project] for project in small))
    if not small or len(of_rest) >= _LEAST_USERS:
        return {project: project in small for project in projects}
    if not large:
        return dict.fromkeys(projects)
    # By name last of all the one without: so PostgreSQL sorts
    joins = min(large, key=lambda each: (times[each], each[2] is None, each[2] or ""))
    return {project: project in small or project == joins for project in projects}


def _sum(group: _Group, used: Sequence[_Used]) -> UsageSum:
    rows = [each.row for each in used]
    energies = [row.energy_mj for row in rows if row.energy_mj is not None]
    return UsageSum(
        **group._asdict(),
        runs=len({each.run.key for each in used if not each.is_correction}),
        allocated_ms=sum(row.allocated_ms for row in rows),
        buckets=tuple(map(sum, zip(*(row.buckets for row in rows), strict=True))),
        energy_mj=sum(energies) if energies else None,
        util_sources=tuple(sorted({row.util_source for row in rows if row.util_source})),
    )
