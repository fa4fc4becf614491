"""Requests to a registry, with docker's logins.

No credential goes to another host than the one it is for, and none over http but to this
machine itself, or where the engine is configured to do so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

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
    from collections.abc import Callable

    from snapenv.network.cause import Kind
    from snapenv.network.session import Patience
    from snapenv.registry.repository import Login, Repository

_CHUNK_BYTES = 64 << 10
_WHOLE_S = 120.0  # for one answer
_AT_FIRST: frozenset[Kind] = frozenset({"cut"})  # whoever has never answered is not waited for
_LATER: frozenset[Kind] = frozenset({"cut", "timeout"})


class Body(Struct, frozen=True, kw_only=True):
    """An answer, whole."""

    content: bytes
    headers: Mapping[str, str]  # by names in any case
    status: int


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
        self._session.trust_env = not repository.is_loopback  # no proxy is asked for this machine
        self._session.retry(_AT_FIRST)

    def get(self, path: str, *, repository: str, accept: str, max_bytes: int) -> Body:
        """Return the whole answer to one request below ``/v2/``.

        Raises:
            RequestError: It cannot be reached, refuses, breaks off, or sends too much.
        """
        url, headers = f"{self._find_base()}/v2/{path}", {"Accept": accept}
        known = self._authorizations.get(repository)
        body = self._read(url, _with_login(headers, known), max_bytes)
        if body.status == HTTPStatus.UNAUTHORIZED:
            answer = self._authorize(body, repository)
            if answer:
                self._authorizations[repository] = answer
                body = self._read(url, _with_login(headers, answer), max_bytes)
        self._session.check_status(body.status)
        return body

    def _find_base(self) -> str:
        """Return where to ask: https, or http where docker takes that and https is not spoken."""
        if not self._is_known:
            try:
                self._read(f"{self._base}/v2/", {}, _CHUNK_BYTES)
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
            body = self._read(challenge.realm, {}, _CHUNK_BYTES, form=fields)
        else:
            headers = _with_login({}, basic(login.user, login.password) if login else None)
            body = self._read(challenge.realm, headers, _CHUNK_BYTES, query=fields)
        self._session.check_status(body.status)
        token = parse(body.content, Token, what="token")
        return token.token or token.access_token

    def _refuse_unsafe(self, realm: str) -> None:
        """Let no login go over http, but between parts of this machine."""
        parts = urlsplit(realm)
        ours = self._base.startswith("http:") and parts.hostname == urlsplit(self._base).hostname
        if parts.scheme != "https" and not (parts.scheme == "http" and ours):
            raise RequestError("asks for a login over an unencrypted connection")

    def _read(
        self,
        url: str,
        headers: Mapping[str, str],
        max_bytes: int,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Body:
        """Read an answer to its end."""
        verify: bool | str = False
        if not self._repository.may_speak_http:
            own = find_authority(self._repository.host)
            verify = choose_authorities(os.environ, first=own) or True
        with self._session.ask(
            url,
            host=self._repository.host,
            method="POST" if form else "GET",
            first_s=None if self._has_answered else self._first_s,
            params=query,
            data=form,
            headers=headers,
            allow_redirects=not form,
            verify=verify,
            cert=find_client_certificate(self._repository.host),
        ) as response:
            if not self._has_answered:
                self._has_answered = True
                self._session.retry(_LATER)
            until, content = time.monotonic() + _WHOLE_S, bytearray()
            for chunk in response.iter_content(_CHUNK_BYTES):
                content += chunk
                if len(content) > max_bytes:
                    raise RequestError(f"sends more than {max_bytes >> 10} KiB, which is too much")
                if time.monotonic() > until:
                    raise RequestError("sends too slowly", passing=True)
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
