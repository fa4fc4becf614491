"""Requests to package indexes, with this machine's logins."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeVar, get_args

from msgspec import Struct, field

from snapenv.errors import PackageIndexError
from snapenv.network.address import realm
from snapenv.network.cause import LASTING, Kind
from snapenv.network.repeat import repeat
from snapenv.network.session import (
    REFUSED,
    Advice,
    RequestError,
    Session,
    basic,
    choose_authorities,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snapenv.index.address import Login
    from snapenv.index.credentials import Credentials
    from snapenv.model.wheels import IndexWheel
    from snapenv.network.session import Patience, Response

_RANGE_REFUSED = frozenset({400, 405, 416, 501})
_USUAL = "Check that the index answers, and that its proxy and certificate variables are right."
_ADVICE = Advice(
    login="Give its login in pip.conf, uv.toml, UV_INDEX_<NAME>_USERNAME and _PASSWORD, netrc, "
    "`uv auth login` or keyring; that of a conda channel in its address in .condarc, or by "
    "`pixi auth login`.",
    absent="Ask the index whether it was taken away, or capture again.",
    causes={
        "plain-http": "Write http:// in the address of the index, or give it a certificate.",
        "unknown-authority": "Name its authority's certificate in PIP_CERT, REQUESTS_CA_BUNDLE or "
        "SSL_CERT_FILE.",
    },
)
_PASSING: frozenset[Kind] = frozenset(get_args(Kind)) - LASTING

Answer = TypeVar("Answer")


class NoRangesError(Exception):
    """A host does not give parts of a file; ``refused`` says that it may know other ways to ask."""

    def __init__(self, *, refused: bool) -> None:
        super().__init__()
        self.refused = refused


class Trust(Struct, frozen=True, kw_only=True):
    """Whose certificates are trusted, beside the usual authorities or instead of them."""

    bundle: str | None = None  # a file, or a folder
    hosts: frozenset[str] = field(default_factory=frozenset)  # with any certificate

    def verify(self, host: str) -> bool | str:
        """Return what requests is told."""
        return False if host in self.hosts else self.bundle or True


def choose_trust(pip: Mapping[str, str], environment: Mapping[str, str]) -> Trust:
    """Trust whom variables name, else pip's files."""
    return Trust(
        bundle=choose_authorities(environment, last=pip.get("cert")),
        hosts=frozenset(host.partition(":")[0] for host in pip.get("trusted-host", "").split()),
    )


class IndexSession:
    """Asks for wheels; many may ask at once."""

    def __init__(self, credentials: Credentials, *, trust: Trust, patience: Patience) -> None:
        self._credentials = credentials
        self._trust = trust
        self._patience = patience
        self._session = Session(
            advice=_ADVICE,
            patience=patience,
            login_of=lambda url: _authorization(credentials.known(url)),
        )
        self._session.retry(_PASSING)

    def repeat(self, wheel: IndexWheel, act: Callable[[], Answer]) -> Answer:
        """Do something that asks for a wheel, again where it breaks off.

        Raises:
            PackageIndexError: It failed for good.
        """
        try:
            return repeat(act, self._patience.waits_s)
        except RequestError as error:
            raise PackageIndexError(
                f"{wheel.name} {wheel.version}: {wheel.host} {error.what}",
                hint=error.hint or _USUAL,
            ) from error

    @contextmanager
    def get(self, wheel: IndexWheel, *, part: str | None = None) -> Iterator[Response]:
        """Ask for a wheel, or for a part of it such as ``bytes=0-99``; the body is read inside.

        Raises:
            NoRangesError: The host does not understand that a part is asked for.
            RequestError: The host cannot be reached, refuses or breaks off.
        """
        login = self._credentials.known(wheel.url)
        with self._ask(wheel, login, part) as response:
            is_refused = response.status_code in REFUSED and realm(response.url) == realm(wheel.url)
            other = (
                self._credentials.login_after_refusal(wheel.url, index=wheel.index)
                if is_refused
                else None
            )
            if other is None:
                self._check(response, part)
                yield response
                return
        with self._ask(wheel, other, part) as response:
            self._check(response, part)
            yield response

    def _ask(
        self, wheel: IndexWheel, login: Login | None, part: str | None
    ) -> AbstractContextManager[Response]:
        headers = {"Range": part, "Authorization": _authorization(login)}
        return self._session.ask(
            self._credentials.with_token(wheel.url),
            host=wheel.host,
            headers={name: value for name, value in headers.items() if value},
            verify=self._trust.verify(wheel.host),
        )

    def _check(self, response: Response, part: str | None) -> None:
        if part and response.status_code in _RANGE_REFUSED:
            raise NoRangesError(refused=True)
        self._session.check_status(response.status_code)


def _authorization(login: Login | None) -> str | None:
    if login and login.bearer:
        return f"Bearer {login.password}"
    return basic(login.user, login.password or "") if login else None
