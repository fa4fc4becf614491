"""The one session for HTTP requests, over requests and urllib3, and what its failures mean.

The texts of requests' own errors hold addresses, and an address that a server redirected to may
hold a signature: they are never shown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import requests
import urllib3
from msgspec import Struct, field
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import InsecureRequestWarning, InvalidHeader, MaxRetryError

from snapenv import __version__
from snapenv.network.address import AUTHORITY_VARIABLES, realm
from snapenv.network.cause import Kind, find_cause, may_pass, refuse_socks
from snapenv.network.pace import PacedAdapter
from snapenv.network.repeat import FailedError
from snapenv.places import exists

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import TracebackType

    from typing_extensions import Self
    from urllib3.connectionpool import ConnectionPool
    from urllib3.response import BaseHTTPResponse


Response: TypeAlias = requests.Response

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})

_CONTENT = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
_BROKEN_OFF: frozenset[Kind] = frozenset({"timeout", "cut"})
_CONNECTIONS = 32  # kept open to one host, for as many as ask at once
_MAX_REDIRECTS = 10
_SHORT_DIGITS = 5
_SHORT_BYTES = 64 << 10
_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, ValueError)


class Patience(Struct, frozen=True, kw_only=True):
    """How long to wait for a server, and how often to ask it again."""

    connect_s: float = 15.0
    read_s: float = 60.0  # of silence; twice that, and 1 s more for each 1,000 bytes, in all
    retries: int = 3
    backoff_s: float = 1.0  # doubled for each further try
    max_wait_s: float = 30.0  # whatever Retry-After says

    @property
    def waits_s(self) -> tuple[float, ...]:
        """How long to wait before each further try."""
        return tuple(
            min(self.backoff_s * 2**number, self.max_wait_s) for number in range(self.retries)
        )


class Advice(Struct, frozen=True, kw_only=True):
    """What to do about each failure of one sort of server."""

    login: str
    absent: str
    busy: str | None = None
    causes: Mapping[Kind, str] = field(default_factory=dict)


class RequestError(FailedError):
    """A request failed: ``what`` follows the server's name in a sentence."""

    def __init__(
        self,
        what: str,
        *,
        hint: str | None = None,
        kind: Kind | None = None,
        status: int | None = None,
        passing: bool = False,
    ) -> None:
        super().__init__(what, passing=passing)
        self.what = what
        self.hint = hint  # None: the usual advice
        self.kind = kind
        self.status = status

    @property
    def is_unreachable(self) -> bool:
        """Whether nothing can be asked there: no server, no trust, or no way to it."""
        return self.kind is not None and self.kind not in _BROKEN_OFF


class Session(requests.Session):
    """A session that keeps no cookies, reads no netrc, and sends each server its own login alone.

    Where an answer does not begin, urllib3's Retry asks again; many may ask at once.
    """

    def __init__(
        self,
        *,
        advice: Advice,
        patience: Patience,
        login_of: Callable[[str], str | None] = lambda _: None,
        keeps_tls: bool = False,
    ) -> None:
        """``login_of`` gives the Authorization of an address that a server redirects to.

        ``keeps_tls`` refuses to be redirected from https to http.
        """
        super().__init__()
        self._advice, self._patience = advice, patience
        self._login_of, self._keeps_tls = login_of, keeps_tls
        self._proxies: dict[tuple[str, str, int | None], dict[str, str]] = {}
        self.auth = _unchanged
        self.trust_env = False  # it would look up the proxies anew for each request, which is slow
        self.asks_proxies = True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.max_redirects = _MAX_REDIRECTS
        # as it is stored: no encoding on the way
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": f"snapenv/{__version__}"})
        for scheme in ("https://", "http://"):
            self.mount(scheme, PacedAdapter(pool_maxsize=_CONNECTIONS))
        # whoever trusts any certificate has decided so, and needs no warning at each request
        urllib3.disable_warnings(InsecureRequestWarning)

    def retry(self, kinds: frozenset[Kind]) -> None:
        """Repeat requests that a busy server refuses, or that fail for one of these causes."""
        retry = _Retry(
            self._patience.retries,
            status_forcelist=BUSY,
            allowed_methods=("GET", "HEAD", "POST"),  # a POST asks for a token, or begins an upload
            backoff_factor=self._patience.backoff_s,
            backoff_jitter=self._patience.backoff_s,
            backoff_max=self._patience.max_wait_s,
            raise_on_status=False,
        )
        retry.kinds, retry.max_wait_s = kinds, self._patience.max_wait_s
        for adapter in self.adapters.values():
            adapter.max_retries = retry  # type: ignore[attr-defined]

    @contextmanager
    def ask(
        self,
        url: str,
        *,
        host: str,
        method: str = "GET",
        first_s: float | None = None,
        **options: Any,  # noqa: ANN401 - as requests has them
    ) -> Iterator[Response]:
        """Ask a server, called ``host`` in errors; the body of a good answer is read inside.

        ``first_s`` is how long to wait for its answer to begin, where that is not as long as later.

        Raises:
            RequestError: It cannot be reached, does not answer, or breaks off.
        """
        proxies = self._environ_proxies(url)
        proxy = select_proxy(url, proxies)
        refused = refuse_socks(proxy, host=host)
        if refused:
            raise RequestError(refused.what, hint=refused.hint, kind=refused.kind)
        timeout = (self._patience.connect_s, first_s or self._patience.read_s)
        try:
            response = self.request(
                method, url, stream=True, timeout=timeout, proxies={**proxies}, **options
            )
        except _ERRORS as error:
            # not "from error": its text may hold an address
            raise self._failure(error, host, proxy, limit_s=first_s, begun=False) from None
        with response:
            if not response.ok:
                _skip_body(response.raw)
            try:
                yield response
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise self._failure(error, host, proxy, limit_s=None, begun=True) from None

    def check_status(self, status: int, accepted: Collection[int] = _CONTENT) -> None:
        """Accept the status of an answer: one that brings content, or one of ``accepted``.

        Raises:
            RequestError: It is a refusal or a failure.
        """
        if status in REFUSED:
            raise RequestError(f"refuses with {status}", hint=self._advice.login, status=status)
        if status in ABSENT:
            what = f"does not have it: {status}"
            raise RequestError(what, hint=self._advice.absent, status=status)
        if status not in accepted:
            hint = self._advice.busy if status in BUSY else None
            raise RequestError(f"answers with {status}", hint=hint, status=status)

    def get_redirect_target(self, resp: Response) -> str | None:
        """Return where an answer leads; requests would read it to its end, however long it is."""
        target = super().get_redirect_target(resp)
        if target is not None:
            _skip_body(resp.raw)
        return target

    def rebuild_proxies(
        self, prepared_request: requests.PreparedRequest, proxies: Mapping[str, str] | None
    ) -> dict[str, str]:
        """Return the proxies of where an answer leads; requests would keep those of before."""
        del proxies
        own = dict(self._environ_proxies(prepared_request.url or ""))
        rebuilt: dict[str, str] = super().rebuild_proxies(prepared_request, own)  # type: ignore[no-untyped-call]
        return rebuilt

    def _environ_proxies(self, url: str) -> dict[str, str]:
        """Return the proxies that the variables name for a host, by scheme."""
        if not self.asks_proxies:
            return {}
        host = realm(url)
        if host not in self._proxies:
            self._proxies[host] = get_environ_proxies(url)
        return self._proxies[host]

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Ask another server with its own login, if it has one; requests would look into netrc."""
        before, url = response.request.url or "", prepared_request.url or ""
        if self._keeps_tls and before.startswith("https:") and not url.startswith("https:"):
            raise requests.TooManyRedirects
        if realm(before) != realm(url):
            prepared_request.headers.pop("Authorization", None)
            login = self._login_of(url)
            if login:
                prepared_request.headers["Authorization"] = login

    def _failure(
        self, error: Exception, host: str, proxy: str | None, *, limit_s: float | None, begun: bool
    ) -> RequestError:
        """Say why nothing came; what failed before the answer began has been repeated already."""
        if isinstance(error, requests.TooManyRedirects):
            return RequestError("redirects too often, or away from HTTPS")
        cause = find_cause(error, host=host, proxy=proxy, limit_s=limit_s)
        if cause is None and isinstance(
            error, (requests.ConnectionError, urllib3.exceptions.HTTPError)
        ):
            return RequestError("cannot be reached, or closed the connection", passing=begun)
        if cause is None:
            what = f"sends an invalid answer ({type(error).__name__})"
            return RequestError(what)
        return RequestError(
            cause.what,
            hint=cause.hint or self._advice.causes.get(cause.kind),
            kind=cause.kind,
            passing=begun and cause.kind in _BROKEN_OFF,
        )


class _Retry(urllib3.Retry):
    """urllib3's own, which does not repeat what fails for a lasting cause."""

    kinds: frozenset[Kind] = frozenset()
    max_wait_s = 0.0

    def new(self, **changes: Any) -> Self:  # noqa: ANN401 - as urllib3 has it
        made = super().new(**changes)
        made.kinds, made.max_wait_s = self.kinds, self.max_wait_s
        return made

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if error is not None and not may_pass(error, self.kinds):
            raise MaxRetryError(_pool, url or "", error) from error  # type: ignore[arg-type]
        if response is not None:  # urllib3 would read it to its end, however long it is
            _skip_body(response)
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def parse_retry_after(self, retry_after: str) -> float:
        """Read how long a server asks to wait, in seconds; 0.0 where that cannot be read."""
        try:
            return min(super().parse_retry_after(retry_after), self.max_wait_s)
        except (InvalidHeader, ValueError, OverflowError):
            return 0.0


def choose_authorities(
    environment: Mapping[str, str], *, first: str | None = None, last: str | None = None
) -> str | None:
    """Choose whose certificates to trust in place of the usual authorities: a file or a folder.

    The variables stand between the other two.
    """
    paths = (first, *map(environment.get, AUTHORITY_VARIABLES), last)
    return next((path for path in paths if path and exists(Path(path))), None)


def find_proxy(url: str) -> str | None:
    """Return the proxy through which requests asks for an address."""
    proxy: str | None = select_proxy(url, get_environ_proxies(url))
    return proxy


def basic(user: str, password: str) -> str:
    """Return the Authorization of a user and a password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no login: without this, requests takes one out of ~/.netrc."""
    return request


def _skip_body(response: BaseHTTPResponse) -> None:
    """Read what is short, so that its connection can be used again, and nothing of what is not."""
    size = response.headers.get("Content-Length", "")
    if size.isdecimal() and len(size) <= _SHORT_DIGITS and int(size) <= _SHORT_BYTES:
        response.drain_conn()
    else:
        response.close()
