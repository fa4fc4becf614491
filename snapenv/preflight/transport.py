"""Whether what is to be fetched can be: logins, and the base image that a build starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.preflight.finding import failed, warned

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


def check_base(case: Case) -> Iterator[Check]:
    """Say that the base image of a build is gone; warn where its registry told nothing.

    The engine may reach a registry that this machine does not.
    """
    unread = case.needs.base_unread
    if unread:
        say = failed if unread.gone else warned
        expected = f"the base image {unread.image}, here or in its registry"
        yield say("base", expected, unread.error, unread.hint, part="transport")


def check_image(case: Case) -> Iterator[Check]:
    """Warn where the registry of an image told this machine nothing, and may tell the engine."""
    unread = case.needs.unread
    if unread:
        expected = f"what {unread.image} needs, read from its registry"
        yield warned("registry", expected, unread.error, unread.hint, part="transport")
