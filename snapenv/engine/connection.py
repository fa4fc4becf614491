"""Connect to a Docker engine, and see that it is one.

Source: https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from docker import APIClient
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, DockerException
from msgspec import Struct
from requests import RequestException

from snapenv.engine.address import DEFAULT_URL
from snapenv.engine.answers import InspectedContainer, Version, read_answer
from snapenv.engine.ssh import BASE_URL, MOUNTED, SshAdapter
from snapenv.engine.unanswered import explain, find_proxy
from snapenv.errors import EngineMissingError
from snapenv.network.cause import refuse_socks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import Response

    from snapenv.engine.address import Address

FIRST_ANSWER_S = 8.0  # for an engine to say which one it is: told to a person within 10 s
QUESTION_S = 30.0  # for any later question that moves nothing
TIMEOUT_S = 3600  # of silence: a push of one large layer says nothing for minutes

_PODMAN = "Podman Engine"
_ERRORS = (
    *(DockerException, RequestException, OSError),
    *(LookupError, TypeError, ValueError, RecursionError),
)


_UNKNOWN = Version()


class _Component(Struct, frozen=True, rename="pascal"):
    name: str | None = None
    version: str | None = None


class Client(APIClient):
    """docker-py's client, which waits for the answer to a small question no longer than is due.

    The certificates that it was given count, whatever REQUESTS_CA_BUNDLE says. ``engine_version``
    is what the engine said of itself when it was connected.
    """

    engine_version: Version

    def request(
        self,
        method: str | bytes,
        url: str | bytes,
        *words: Any,  # noqa: ANN401 - as requests has it
        **kwargs: Any,  # noqa: ANN401
    ) -> Response:
        """Ask as ``requests.Session`` does."""
        return super().request(method, url, *words, **{"verify": self.verify, **kwargs})

    def _result(self, *words: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as docker-py has it
        try:
            return super()._result(*words, **kwargs)  # type: ignore[misc]
        except (ValueError, RecursionError) as error:
            raise DockerException(f"it sends what is no JSON: {error}") from error

    def _check_is_tty(self, container: str) -> bool:
        return read_answer(self.inspect_container(container), InspectedContainer).config.tty

    def _get(self, url: str, **kwargs: Any) -> Any:  # noqa: ANN401 - as docker-py has it
        return super()._get(url, **{"timeout": QUESTION_S, **kwargs})  # type: ignore[misc]


def connect(address: Address, *, first_answer_s: float = FIRST_ANSWER_S) -> Client:
    """Connect to an engine, see that it is Docker's, and agree on the version of its API.

    Raises:
        EngineMissingError: Nothing answers there in time, we may not talk to it, or it is another
            kind of engine.
    """
    adapter = SshAdapter(address.url) if address.url.startswith("ssh://") else None
    asking = None
    try:
        _refuse_proxy(address)
        asking = _open(address, adapter, version=MINIMUM_DOCKER_API_VERSION)
        answer = _ask(asking, first_answer_s)
        _refuse_podman(answer, address)
        if adapter is None:
            asking.close()
        version = msgspec.convert(answer, Version)
        return _open(address, adapter, version=answer["ApiVersion"], engine_version=version)
    except _ERRORS as error:
        if asking:
            asking.close()
        raise explain(address, error, waited_s=first_answer_s) from error


def _open(
    address: Address,
    adapter: SshAdapter | None,
    *,
    version: str,
    engine_version: Version = _UNKNOWN,
) -> Client:
    """Make a client, which asks nothing yet."""
    client = Client(
        base_url=DEFAULT_URL if adapter else address.url,
        tls=address.tls or False,
        version=version,
        timeout=TIMEOUT_S,
    )
    if adapter:
        client.base_url = BASE_URL
        client.mount(MOUNTED, adapter)
    client.engine_version = engine_version
    return client


def _ask(client: Client, limit_s: float) -> Mapping[str, Any]:
    """Ask an engine what it is."""
    with client.get(f"{client.base_url}/version", timeout=limit_s) as response:
        if not response.ok:
            raise APIError("refused", response=response, explanation=response.text)
        answer = response.json()
    if not isinstance(answer, dict):
        raise TypeError(answer)
    return answer


def _refuse_podman(version: Mapping[str, Any], address: Address) -> None:
    """Refuse the engine that answers in Docker's place.

    It has no BuildKit, and gives no digests of a registry (tried with 4.3).

    Raises:
        EngineMissingError: It is Podman.
    """
    for part in msgspec.convert(version.get("Components") or (), tuple[_Component, ...]):
        if part.name == _PODMAN:
            raise EngineMissingError(
                f"Podman {part.version} answers at {address.url}, and snapenv works with "
                "Docker's engine alone",
                hint="Install Docker's engine and point DOCKER_HOST at its socket, or use "
                "--engine venv, which needs none.",
            )


def _refuse_proxy(address: Address) -> None:
    """Refuse an engine behind a proxy that cannot be spoken with."""
    refused = refuse_socks(find_proxy(address.url), host=urlsplit(address.url).hostname or "")
    if refused:
        raise EngineMissingError(
            f"the Docker engine at {address.url} {refused.what}", hint=str(refused.hint)
        )
