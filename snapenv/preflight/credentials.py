"""Whether the helpers that docker's configuration names for logins are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.preflight.finding import warned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.outcome import Check
    from snapenv.preflight.case import Case


def check_helpers(case: Case) -> Iterator[Check]:
    """Warn of helpers that are named and not there: a registry that needs one cannot be asked.

    It is a warning, since a helper may be for other registries than the one that is asked.
    """
    missing = case.host.missing_helpers
    if missing and not case.needs.here:
        yield warned(
            "credentials.helper",
            f"{', '.join(missing)} on PATH, as docker's configuration says",
            "not found",
            f"Install {missing[0]}, or take its name out of credsStore and credHelpers in "
            "~/.docker/config.json, then: docker login",
            part="transport",
        )
