"""The login of a registry, out of docker's own configuration and its credential helpers.

Source: https://docs.docker.com/reference/cli/docker/login/
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snapenv.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """What a registry is told; it is never shown."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str | None = field(default=None, repr=False)  # a token in a password's place


def find_login(host: str) -> Login | None:
    """Give the login that docker has for a registry, None where it has none.

    Raises:
        RegistryError: The configuration cannot be read, or a helper does not do its work.
    """
    from docker import auth
    from docker.errors import DockerException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # docker-py warns of a helper that is not there
            found = auth.load_config().resolve_authconfig(host)
    except (DockerException, ValueError, TypeError, LookupError, OSError):
        raise RegistryError(  # what they say may hold the login
            f"docker's own configuration gives no login for {host}: it, or its credential helper, "
            "does not work",
            hint=f"See that this works: docker login {host}",
        ) from None
    return _login({str(key).lower(): value for key, value in (found or {}).items()})


def missing_helpers() -> tuple[str, ...]:
    """Name the credential helpers that docker's configuration asks for and PATH has not, sorted.

    Of a configuration that cannot be read there are none; asking a registry tells that.
    """
    from docker import auth
    from docker.errors import DockerException

    try:
        known = auth.load_config()
        named = {known.creds_store, *(known.cred_helpers or {}).values()}
    except (DockerException, ValueError, TypeError, LookupError, AttributeError, OSError):
        return ()
    programs = sorted(f"docker-credential-{name}" for name in named if isinstance(name, str))
    return tuple(program for program in programs if shutil.which(program) is None)


def _login(found: Mapping[str, object]) -> Login | None:
    identity = found.get("identitytoken")
    if identity:
        return Login(identity=str(identity))
    user, password = found.get("username"), found.get("password")
    return Login(user=str(user), password=str(password)) if user and password else None
