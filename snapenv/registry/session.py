"""Requests to a registry, with docker's logins.

No credential goes to another host than the one it is for, and none over http but to this
machine itself, or where the engine is configured to do so.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeAlias
from urllib.parse import urljoin

from msgspec import Struct
from msgspec.structs import replace

from snapenv.network.address import host_of, realm
from snapenv.network.session import (
    Advice,
    RequestError,
    Session,
    basic,
    choose_authorities,
)
from snapenv.registry.documents import Token, parse
from snapenv.registry.repository import (
    Basic,
    Bearer,
    find_authority,
    find_client_certificate,
    parse_challenge,
)

if TYPE_CHECKING:
    from snapenv.network.cause import Kind
    from snapenv.network.session import Patience
    from snapenv.registry.repository import Login, Repository

Take: TypeAlias = Callable[[bytes], object]
"""Is given a piece of an answer."""

_CHUNK_BYTES = 64 << 10
_AT_FIRST: frozenset[Kind] = frozenset({"cut"})  # whoever has never answered is not waited for
_LATER: frozenset[Kind] = frozenset({"cut", "timeout"})


class Sendable(Protocol):
    """A body of a request that is read as it is sent; its length is what is left of it."""

    def read(self, size: int = -1, /) -> bytes:
        """Return as many bytes, or what is left."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


class Body(Struct, frozen=True, kw_only=True):
    """An answer, whole."""

    content: bytes
    headers: Mapping[str, str]  # by names in any case
    status: int


class _Request(Struct, frozen=True, kw_only=True):
    """What is asked, beside its address and its headers."""

    method: str = "GET"
    query: Mapping[str, str] | None = None
    form: Mapping[str, str] | None = None
    content: Callable[[], Sendable] | None = None  # made anew for each try
    take: Take | None = None  # is given the content of a good answer, a piece at a time
    max_bytes: int = _CHUNK_BYTES  # of the answer


_SMALL = _Request()


class RegistrySession:
    """Asks one registry; a token is kept for each repository, a login for as long as it lives."""

    def __init__(
        self, repository: Repository, *, login: Callable[[str], Login | None], patience: Patience
    ) -> None:
        self._repository = repository
        self._find_login = login
        self._authorizations: dict[str, str] = {}  # by repository
        self._base = f"https://{repository.address}"
        self._has_answered = False
        # where https is tried before http, both together have the time that one has elsewhere
        self._first_s = patience.connect_s / (2 if repository.may_speak_http else 1)
        self._is_known = not repository.may_speak_http
        self._session = Session(
            advice=_advice(repository.host),
            patience=replace(patience, connect_s=self._first_s),
            keeps_tls=True,
        )
        self._session.asks_proxies = (
            not repository.is_loopback
        )  # no proxy is asked for this machine
        self._session.retry(_AT_FIRST)

    def get(
        self,
        path: str,
        *,
        repository: str,
        accept: str,
        max_bytes: int,
        take: Take | None = None,
    ) -> Body:
        """Return the whole answer to one request below ``/v2/``; ``take`` is given its content.

        Raises:
            RequestError: It cannot be reached, refuses, breaks off, or sends too much.
        """
        headers, request = {"Accept": accept}, _Request(max_bytes=max_bytes, take=take)
        body = self._ask(f"{self._find_base()}/v2/{path}", headers, repository, request)
        self.check_status(body)
        return body

    def check_status(self, body: Body, *accepted: int) -> None:
        """Accept the status of an answer that brings content, or one of those that are named.

        Raises:
            RequestError: It is a refusal or a failure; one of a busy registry may pass.
        """
        self._session.check_status(body.status, accepted or (HTTPStatus.OK,))

    def send(
        self,
        method: str,
        place: str,
        *,
        repository: str,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Sendable] | None = None,
    ) -> Body:
        """Return the answer to a request that changes something, or asks for headers alone.

        ``place`` is a path below ``/v2/``, or an address that the registry has named; another
        host gets no login. A refusal is an answer, too.

        Raises:
            RequestError: It cannot be reached, or breaks off.
        """
        url = urljoin(f"{self._find_base()}/v2/", place)
        if self._base.startswith("https:") and not url.startswith("https:"):
            raise RequestError("names a place over an unencrypted connection")
        request = _Request(method=method, content=content, max_bytes=_CHUNK_BYTES)
        return self._ask(url, headers or {}, repository, request)

    def _ask(
        self, url: str, headers: Mapping[str, str], repository: str, request: _Request
    ) -> Body:
        """Ask with the login of a repository, where it is wanted."""
        if realm(url) != realm(self._base):
            return self._read(url, headers, request)
        known = self._authorizations.get(repository)
        body = self._read(url, _with_login(headers, known), request)
        if body.status == HTTPStatus.UNAUTHORIZED:
            answer = self._authorize(body, repository)
            if answer:
                self._authorizations[repository] = answer
                body = self._read(url, _with_login(headers, answer), request)
        return body

    @functools.cached_property
    def _trust(self) -> tuple[bool | str, tuple[str, str] | None]:
        """Whose certificates are trusted, and the one that is shown, as docker looks for both."""
        host = self._repository.host
        shown = find_client_certificate(host)
        if self._repository.may_speak_http:
            return False, shown
        return choose_authorities(os.environ, first=find_authority(host)) or True, shown

    def _find_base(self) -> str:
        """Return where to ask: https, or http where docker takes that and https is not spoken."""
        if not self._is_known:
            try:
                self._read(f"{self._base}/v2/", {}, _SMALL)
            except RequestError:
                self._base = f"http://{self._repository.address}"
            self._is_known = True
        return self._base

    def _authorize(self, body: Body, repository: str) -> str | None:
        """Answer a challenge; None where there is nothing to answer with."""
        challenge = parse_challenge(body.headers.get("WWW-Authenticate", ""))
        login = self._find_login(self._repository.host) if challenge else None
        if isinstance(challenge, Basic) and login and login.user:
            return basic(login.user, login.password)
        if isinstance(challenge, Bearer):
            return f"Bearer {self._token(challenge, login, repository)}"
        return None

    def _token(self, challenge: Bearer, login: Login | None, repository: str) -> str:
        """Ask the authority that the registry names for a token.

        Source: https://distribution.github.io/distribution/spec/auth/oauth/
        """
        self._refuse_unsafe(challenge.realm)
        fields = {"scope": challenge.scope or f"repository:{repository}:pull"}
        if challenge.service:
            fields["service"] = challenge.service
        if login and login.identity:
            fields |= {
                "grant_type": "refresh_token",
                "refresh_token": login.identity,
                "client_id": "snapenv",
            }
            body = self._read(challenge.realm, {}, _Request(method="POST", form=fields))
        else:
            headers = _with_login({}, basic(login.user, login.password) if login else None)
            body = self._read(challenge.realm, headers, _Request(query=fields))
        self._session.check_status(body.status)
        token = parse(body.content, Token, what="token")
        return token.token or token.access_token

    def _refuse_unsafe(self, realm: str) -> None:
        """Let no login go over http, but between parts of this machine."""
        ours = self._base.startswith("http:") and host_of(realm) == host_of(self._base)
        if not realm.startswith("https://") and not (realm.startswith("http://") and ours):
            raise RequestError("asks for a login over an unencrypted connection")

    def _read(self, url: str, headers: Mapping[str, str], request: _Request) -> Body:
        """Read an answer to its end."""
        verify, certificate = self._trust
        with self._session.ask(
            url,
            host=self._repository.host,
            method=request.method,
            first_s=None if self._has_answered else self._first_s,
            params=request.query,
            data=request.content() if request.content else request.form,
            headers=headers,
            allow_redirects=request.method in {"GET", "HEAD"},
            verify=verify,
            cert=certificate,
        ) as response:
            if not self._has_answered:
                self._has_answered = True
                self._session.retry(_LATER)
            content = bytearray()
            take = request.take if request.take and response.ok else content.extend
            size = 0
            for chunk in response.iter_content(_CHUNK_BYTES):
                size += len(chunk)
                if size > request.max_bytes:
                    raise RequestError(
                        f"sends more than {request.max_bytes >> 10} KiB, which is too much"
                    )
                take(chunk)
            return Body(
                content=bytes(content), headers=response.headers, status=response.status_code
            )


def _with_login(headers: Mapping[str, str], authorization: str | None) -> Mapping[str, str]:
    return {**headers, "Authorization": authorization} if authorization else headers


def _advice(host: str) -> Advice:
    return Advice(
        login=f"Log in: docker login {host}",
        absent="Check that the name and tag are right.",
        busy="Try again in a while.",
        causes={
            "plain-http": "Allow the engine to use HTTP for it: "
            f'{{"insecure-registries": ["{host}"]}} in its daemon.json, and '
            "restart Docker; snapenv then uses it too.",
            "unknown-authority": f"Put its authority into /etc/docker/certs.d/{host}/ca.crt, or "
            "name it in REQUESTS_CA_BUNDLE or SSL_CERT_FILE.",
            "client-certificate": "Put client.cert and client.key into "
            f"/etc/docker/certs.d/{host}.",
        },
    )
