"""Who may see what of a team's ledger."""

from __future__ import annotations

from msgspec import Struct


class ProjectMember(Struct, frozen=True, order=True):
    """A login that may count its runs for a project, and sees all runs of it."""

    login: str  # as PostgreSQL knows it
    project: str  # as runs declare it


class TeamGrants(Struct, frozen=True, kw_only=True):
    """Who may do what, by login, in order."""

    members: tuple[ProjectMember, ...] = ()  # see runs of their projects
    managers: tuple[str, ...] = ()  # see sums by project and pseudonym
    finance: tuple[str, ...] = ()  # see sums by project
    services: tuple[str, ...] = ()  # hand over what others ran, for any project
