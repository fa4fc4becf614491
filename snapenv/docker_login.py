"""The logins of registries, out of docker's own configuration and its credential helpers.

Source: https://docs.docker.com/reference/cli/docker/login/
"""

from __future__ import annotations

import shutil
import subprocess  # noqa: TID251 - a helper serves the person who runs snapenv, in no target
import warnings
from typing import TYPE_CHECKING

from snapenv.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_ANSWER_S = 10.0  # for a helper to give a login


class LoginError(RegistryError):
    """There may be a login for a registry, and it cannot be had."""


class SilentHelperError(Exception):
    """A helper was given its time, and said nothing."""

    def __init__(self, program: str) -> None:
        super().__init__(program)
        self.program = program


def find_login(host: str, *, limit_s: float = FIRST_ANSWER_S) -> Mapping[str, str] | None:
    """Return the login that docker has for a registry, with docker's own keys; None without one.

    Raises:
        LoginError: The configuration cannot be read, or a helper does not do its work in time.
    """
    from docker.errors import DockerException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # docker-py warns of a helper that is not there
            return _resolve(host, limit_s)
    except SilentHelperError as error:
        raise LoginError(
            f"{error.program} gives no login for {host}: no answer within {limit_s:g} s",
            hint=f"Check that this works: echo {host} | {error.program} get; or take it out of "
            "credsStore and credHelpers in ~/.docker/config.json, then: docker login",
        ) from None
    except (DockerException, ValueError, TypeError, LookupError, AttributeError, OSError):
        raise LoginError(  # what they say may hold the login
            f"docker's own configuration gives no login for {host}: it, or its credential helper, "
            "does not work",
            hint=f"Check that this works: docker login {host}",
        ) from None


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


def _resolve(host: str, limit_s: float) -> Mapping[str, str] | None:
    """Ask as docker-py does, of helpers that are not waited for without end."""
    from docker.auth import AuthConfig
    from docker.credentials import Store
    from docker.credentials.errors import process_store_error

    class Patient(Store):
        def _execute(self, subcmd: str, data_input: bytes | None) -> bytes:
            program = str(self.exe or self.program)
            try:
                done = subprocess.run(
                    (program, subcmd),
                    input=data_input,
                    stdout=subprocess.PIPE,
                    check=True,
                    timeout=limit_s,
                )
            except subprocess.TimeoutExpired:
                raise SilentHelperError(str(self.program)) from None
            except subprocess.CalledProcessError as error:
                raise process_store_error(error, self.program) from None
            return done.stdout

    class Config(AuthConfig):
        def _get_store_instance(self, name: str) -> Store:
            return Patient(name)

    login: Mapping[str, str] | None = Config.load_config(None, None).resolve_authconfig(host)
    return login
