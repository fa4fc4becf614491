"""Requests to package indexes with this machine's logins, repeated where a failure may pass."""

from __future__ import annotations

import time
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import requests
import urllib3
from msgspec import Struct, field
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from snapenv.errors import PackageIndexError
from snapenv.index.address import realm
from snapenv.index.transfer import TransferError, check_status, transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snapenv.index.address import Login
    from snapenv.index.credentials import Credentials
    from snapenv.model.wheels import IndexWheel

_CONNECTIONS = 32  # kept open to one host, for as many who ask at once
_SHORT_BYTES = 64 << 10
_LONGEST_WAIT_S = 30.0  # whatever a host asks for
_REFUSED = (requests.codes.unauthorized, requests.codes.forbidden)

Answer = TypeVar("Answer")


class Patience(Struct, frozen=True, kw_only=True):
    """How long to wait for a host: for its answer, and before each further try."""

    connect_s: float = 15.0
    read_s: float = 60.0
    before_retries_s: tuple[float, ...] = (0.5, 2.0, 5.0)


class Trust(Struct, frozen=True, kw_only=True):
    """Whose certificates are trusted, beside the usual authorities or instead of them."""

    bundle: str | None = None  # a file, or a folder
    hosts: frozenset[str] = field(default_factory=frozenset)  # with any certificate

    def verify(self, host: str) -> bool | str:
        """Return what requests is told."""
        return False if host in self.hosts else self.bundle or True


def choose_trust(pip: Mapping[str, str], environment: Mapping[str, str]) -> Trust:
    """Trust whom variables name, pip's before those of requests and OpenSSL, else pip's files."""
    names = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    bundles = (*(environment.get(name) for name in names), pip.get("cert"))
    return Trust(
        bundle=next((path for path in bundles if path and Path(path).exists()), None),
        hosts=frozenset(host.partition(":")[0] for host in pip.get("trusted-host", "").split()),
    )


class IndexSession:
    """Asks for wheels; many may ask at once."""

    def __init__(self, credentials: Credentials, *, trust: Trust, patience: Patience) -> None:
        self._credentials = credentials
        self._trust = trust
        self._patience = patience
        self._session = _Session(credentials)
        if trust.hosts:  # else urllib3 warns at each request of what a person has decided
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def repeat(self, wheel: IndexWheel, act: Callable[[], Answer]) -> Answer:
        """Do something that asks for a wheel, again while its failure may pass.

        Raises:
            PackageIndexError: It failed for good.
        """
        for before_s in (*self._patience.before_retries_s, None):
            try:
                return act()
            except TransferError as error:  # noqa: PERF203 - each turn waits for a host
                if before_s is None or not error.passing:
                    raise index_error(wheel, error.what, hint=error.hint) from error
                time.sleep(max(before_s, min(error.wait_s, _LONGEST_WAIT_S)))
        raise AssertionError  # the last turn returns or raises

    @contextmanager
    def get(self, wheel: IndexWheel, *, part: str | None = None) -> Iterator[requests.Response]:
        """Ask for a wheel, or for a part of it such as ``bytes=0-99``; the body is read inside.

        Raises:
            NoRangesError: The host does not understand that a part is asked for.
            TransferError: The host cannot be reached, refuses or breaks off.
        """
        with transfer(wheel.url):
            response = self._ask(wheel, self._credentials.known(wheel.url), part)
            if response.status_code in _REFUSED and realm(response.url) == realm(wheel.url):
                login = self._credentials.asked(wheel.url, index=wheel.index)
                if login:
                    _let_go(response)
                    response = self._ask(wheel, login, part)
            with response:
                if not response.ok:
                    _let_go(response)
                check_status(response, part=part is not None)
                yield response

    def _ask(self, wheel: IndexWheel, login: Login | None, part: str | None) -> requests.Response:
        # as it lies there: no encoding on the way
        headers = {"Accept-Encoding": "identity", **({"Range": part} if part else {})}
        return self._session.get(
            wheel.url,
            headers=headers,
            auth=_as_auth(login),
            stream=True,
            timeout=(self._patience.connect_s, self._patience.read_s),
            verify=self._trust.verify(wheel.host),
        )


def index_error(wheel: IndexWheel, what: str, *, hint: str) -> PackageIndexError:
    """Say of a wheel what its host does, by their names alone."""
    return PackageIndexError(f"{wheel.name} {wheel.version}: {wheel.host} {what}", hint=hint)


def _let_go(response: requests.Response) -> None:
    """Be done with a refusal; a short one is read, so that its connection can be used again."""
    size = response.headers.get("Content-Length", "")
    if size.isdecimal() and int(size) <= _SHORT_BYTES:
        response.raw.drain_conn()
    response.close()


class _Session(requests.Session):
    """A session that keeps no cookies, and gives no host the login of another."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Ask another host with its own login, if it has one; requests would look into netrc."""
        before, url = response.request.url or "", prepared_request.url or ""
        if realm(before) != realm(url):
            prepared_request.headers.pop("Authorization", None)
            prepared_request.prepare_auth(_as_auth(self._credentials.known(url)), url)


class _Nobody(AuthBase):
    """Sends no login; without it requests would look into netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _as_auth(login: Login | None) -> AuthBase:
    if login is None:
        return _Nobody()
    return HTTPBasicAuth(login.user.encode(), (login.password or "").encode())
