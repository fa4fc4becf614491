"""Requests to a registry: with docker's logins, repeated where a failure may pass.

No credential goes to another host than the one it is for, and none over http but to this
machine itself, or where the engine is configured to do so.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from msgspec import Struct
from msgspec.structs import replace
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, select_proxy

from snapenv.http_errors import FailedRequestError, retry_after_s
from snapenv.network_cause import Cause, find_cause, refuse_socks
from snapenv.registry.documents import Token, parse
from snapenv.registry.repository import find_authority, find_client_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snapenv.network_cause import Kind
    from snapenv.registry.credentials import Login
    from snapenv.registry.repository import Repository

_CHUNK_BYTES = 64 << 10
_MOST_REDIRECTS = 5
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_REFUSED = (401, 403)
_ABSENT = 404
_SCHEME = re.compile(r"(?:^|,)\s*(bearer|basic)\s+(?=[a-z_]+=)", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-z_]+)=(?:"([^"]*)"|([^\s",]+))', re.IGNORECASE)
_MOST_CHALLENGE = 4096  # characters

_LOOK = "See that the registry can be reached from here, and try again."
_WAIT = "Try again in a while."
_MENDS: Mapping[Kind, str] = {
    "plain-http": 'Let the engine take http from it: {"insecure-registries": ["HOST"]} in its '
    "daemon.json, and restart Docker; snapenv then takes it too.",
    "unknown-authority": "Put its authority into /etc/docker/certs.d/HOST/ca.crt, or name it in "
    "SSL_CERT_FILE.",
    "client-certificate": "Put client.cert and client.key into /etc/docker/certs.d/HOST.",
}

Answer = TypeVar("Answer")


class Patience(Struct, frozen=True, kw_only=True):
    """How long to wait for a registry: for its answer, and before each further try."""

    first_s: float = 10.0  # until it answers at all
    read_s: float = 30.0  # of silence, once it has
    whole_s: float = 120.0  # for one answer
    before_retries_s: tuple[float, ...] = (0.5, 2.0, 5.0)
    longest_wait_s: float = 30.0  # whatever a registry asks for


class RequestError(FailedRequestError):
    """A request to a registry came to nothing."""

    usual_hint = _LOOK


class RefusedError(RequestError):
    """No login, a wrong one, or one that may not."""


class UnreachableError(RequestError):
    """Nothing can be asked there: no server, no trust, or no way to it."""


class AbsentError(RequestError):
    """There is no such thing."""


class Body(Struct, frozen=True, kw_only=True):
    """An answer, whole."""

    content: bytes
    headers: CaseInsensitiveDict[str]
    status: int


def repeat(act: Callable[[], Answer], patience: Patience) -> Answer:
    """Do something, again while its failure may pass.

    Raises:
        RequestError: It failed for good.
    """
    for before_s in patience.before_retries_s:
        try:
            return act()
        except RequestError as error:  # noqa: PERF203 - each turn waits for a host
            if not error.passing:
                raise
            time.sleep(max(before_s, min(error.wait_s, patience.longest_wait_s)))
    return act()


class RegistrySession:
    """Asks one registry; a token is kept for each repository, a login for as long as it lives."""

    def __init__(
        self, repository: Repository, *, login: Callable[[str], Login | None], patience: Patience
    ) -> None:
        self._repository = repository
        self._find_login = login
        self._patience = patience
        self._authorizations: dict[str, str] = {}  # by repository
        self._session = requests.Session()
        self._session.trust_env = not repository.is_loopback  # no proxy is asked for this machine
        self._base = f"https://{repository.address}"
        self._has_answered = False
        # where https is tried before http, both together have the time that one has elsewhere
        self._first_s = patience.first_s / (2 if repository.may_speak_http else 1)
        self._is_known = not repository.may_speak_http
        if repository.may_speak_http:  # else urllib3 warns of what docker takes for granted
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def get(self, path: str, *, repository: str, accept: str, most_bytes: int) -> Body:
        """Return the whole answer to one request below ``/v2/``.

        Raises:
            AbsentError: 404.
            RefusedError: 401 or 403, also with the login that there is.
            RequestError: It cannot be reached, refuses, breaks off, or sends too much.
        """
        url = f"{self._find_base()}/v2/{path}"
        known = self._authorizations.get(repository)
        body = self._ask(url, accept, most_bytes, known)
        if body.status == requests.codes.unauthorized:
            found = self._authorize(body, repository)
            if found:
                self._authorizations[repository] = found
                body = self._ask(url, accept, most_bytes, found)
        _check(body, host=self._repository.host)
        return body

    def _find_base(self) -> str:
        """Return where to ask: https, or http where docker takes that and https is not spoken."""
        if not self._is_known:
            try:
                with self._open(f"{self._base}/v2/", {}):
                    pass
            except RequestError:
                self._base = f"http://{self._repository.address}"
            self._is_known = True
        return self._base

    def _authorize(self, body: Body, repository: str) -> str | None:
        """Answer a challenge; None where there is nothing to answer with."""
        wanted = parse_challenge(body.headers.get("WWW-Authenticate", ""))
        login = self._find_login(self._repository.host) if wanted else None
        if isinstance(wanted, Basic) and login and login.user:
            return _basic(login)
        if isinstance(wanted, Bearer):
            return f"Bearer {self._token(wanted, login, repository)}"
        return None

    def _token(self, wanted: Bearer, login: Login | None, repository: str) -> str:
        """Ask the authority that the registry names for a token.

        Source: https://distribution.github.io/distribution/spec/auth/oauth/
        """
        self._refuse_unsafe(wanted.realm)
        fields = {"scope": wanted.scope or f"repository:{repository}:pull"}
        if wanted.service:
            fields["service"] = wanted.service
        if login and login.identity:
            fields |= {
                "grant_type": "refresh_token",
                "refresh_token": login.identity,
                "client_id": "snapenv",
            }
            body = self._read(wanted.realm, {}, _CHUNK_BYTES, form=fields)
        else:
            headers = {"Authorization": _basic(login)} if login else {}
            body = self._read(wanted.realm, headers, _CHUNK_BYTES, query=fields)
        _check(body, host=self._repository.host)
        given = parse(body.content, Token, what="token")
        return given.token or given.access_token

    def _refuse_unsafe(self, realm: str) -> None:
        """Let no login go over http, but between parts of this machine."""
        parts = urlsplit(realm)
        ours = self._base.startswith("http:") and parts.hostname == urlsplit(self._base).hostname
        if parts.scheme != "https" and not (parts.scheme == "http" and ours):
            raise RequestError("wants a login sent where others could read it", hint=_LOOK)

    def _ask(self, url: str, accept: str, most_bytes: int, authorization: str | None) -> Body:
        headers = {"Accept": accept}
        if authorization:
            headers["Authorization"] = authorization
        return self._read(url, headers, most_bytes)

    def _read(
        self,
        url: str,
        headers: Mapping[str, str],
        most_bytes: int,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Body:
        """Read an answer to its end, following redirects with no login to another host."""
        headers, query = dict(headers), dict(query or {})
        for _ in range(_MOST_REDIRECTS):
            with self._open(url, headers, query=query, form=form) as response:
                to = response.headers.get("Location", "")
                if response.status_code not in _REDIRECTS or not to:
                    content = self._content(response, most_bytes)
                    return Body(
                        content=content, headers=response.headers, status=response.status_code
                    )
            before, url, query = url, urljoin(url, to), {}
            if form or (before.startswith("https:") and not url.startswith("https:")):
                break
            if _origin(before) != _origin(url):
                headers.pop("Authorization", None)
        raise RequestError("redirects in a way that is not followed")

    @contextlib.contextmanager
    def _open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        proxy, known = self._proxy(url), self._has_answered
        first_s = self._first_s
        try:
            with self._session.request(
                "POST" if form else "GET",
                url,
                params=query,
                data=form,
                headers={"Accept-Encoding": "identity", **headers},
                auth=_unchanged,
                stream=True,
                allow_redirects=False,
                timeout=(first_s, self._patience.read_s if known else first_s),
                verify=self._verify(),
                cert=find_client_certificate(self._repository.host),
            ) as response:
                self._has_answered = True
                yield response
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            # not "from error": its text may hold an address with a login
            raise self._failure(error, proxy, first_s=None if known else first_s) from None

    def _proxy(self, url: str) -> str | None:
        """Return the proxy through which an address is asked.

        Raises:
            UnreachableError: It is one that snapenv cannot speak with.
        """
        if not self._session.trust_env:
            return None
        proxy = select_proxy(url, get_environ_proxies(url))
        refused = refuse_socks(proxy, host=self._repository.host)
        if refused:
            raise _request_error(refused, self._repository)
        return proxy

    def _failure(
        self, error: Exception, proxy: str | None, *, first_s: float | None
    ) -> RequestError:
        """Say why nothing came; who has not answered once is not waited for again."""
        cause = find_cause(error, host=self._repository.host, proxy=proxy, limit_s=first_s)
        if cause is None:
            what = f"answers in a way that cannot be followed ({type(error).__name__})"
            return RequestError(what)
        if first_s is not None and cause.kind == "timeout":
            cause = replace(cause, passing=False)
        return _request_error(cause, self._repository)

    def _verify(self) -> bool | str:
        if self._repository.may_speak_http:
            return False
        return find_authority(self._repository.host) or os.environ.get("SSL_CERT_FILE") or True

    def _content(self, response: requests.Response, most_bytes: int) -> bytes:
        until, content = time.monotonic() + self._patience.whole_s, bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            content += chunk
            if len(content) > most_bytes:
                raise RequestError(f"sends more than {most_bytes >> 10} KiB where a few are due")
            if time.monotonic() > until:
                raise RequestError("sends too slowly", passing=True)
        return bytes(content)


def _check(body: Body, *, host: str) -> None:
    """Accept an answer that brings content."""
    status = body.status
    if status in _REFUSED:
        raise RefusedError(f"refuses with {status}", hint=f"Log in: docker login {host}")
    if status == _ABSENT:
        raise AbsentError("has none")
    if status in _TRY_AGAIN:
        wait_s = retry_after_s(body.headers.get("Retry-After", ""))
        raise RequestError(f"answers with {status}", hint=_WAIT, passing=True, wait_s=wait_s)
    if status != requests.codes.ok:
        raise RequestError(f"answers with {status}")


def _request_error(cause: Cause, repository: Repository) -> RequestError:
    kind = RequestError if cause.kind in {"timeout", "cut"} else UnreachableError
    mend = _MENDS.get(cause.kind, _LOOK).replace("HOST", repository.host)
    return kind(cause.what, hint=cause.hint or mend, passing=cause.passing)


def _basic(login: Login) -> str:
    pair = f"{login.user}:{login.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no login: without this, requests takes one out of ~/.netrc."""
    return request


class Bearer(Struct, frozen=True, kw_only=True):
    """A token is wanted, and is given out at ``realm``."""

    realm: str  # an address
    service: str | None = None
    scope: str | None = None  # None: the one who asks names it


class Basic(Struct, frozen=True):
    """A user name and a password are wanted."""


def parse_challenge(header: str) -> Bearer | Basic | None:
    """Read WWW-Authenticate; a token goes before a password. None for any other wish.

    Source: https://distribution.github.io/distribution/spec/auth/token/
    """
    parts = _SCHEME.split(header[:_MOST_CHALLENGE])
    wishes = {
        scheme.lower(): {name.lower(): quoted or plain for name, quoted, plain in found}
        for scheme, text in zip(parts[1::2], parts[2::2], strict=True)
        if (found := _PARAMETER.findall(text))
    }
    if "realm" in wishes.get("bearer", {}):
        asked = wishes["bearer"]
        return Bearer(realm=asked["realm"], service=asked.get("service"), scope=asked.get("scope"))
    is_basic = "basic" in wishes or header.strip().lower() == "basic"
    return Basic() if is_basic else None
