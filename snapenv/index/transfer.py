"""Why a request to an index came to nothing, in words that hold no address.

The texts of requests' own errors hold addresses, and an address that a host redirected to may
hold a signature: they are never shown.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from snapenv.http_errors import FailedRequestError, retry_after_s
from snapenv.network_cause import TLS_KINDS, find_cause, refuse_socks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.network_cause import Cause, Kind

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_REFUSED = frozenset({400, 405, 416, 501})
_LOOK = "See that the index answers, and that its proxy and certificate variables are right."
_LOGIN = (
    "Give its login in pip.conf, uv.toml, UV_INDEX_<NAME>_USERNAME and _PASSWORD, netrc, "
    "`uv auth login` or keyring."
)
_MENDS: Mapping[Kind, str] = {
    "plain-http": "Write http:// in the address of the index, or give it a certificate.",
    "unknown-authority": "Name its authority's certificate in PIP_CERT, REQUESTS_CA_BUNDLE or "
    "SSL_CERT_FILE.",
}
_LASTING = TLS_KINDS | {"socks", "proxy-login"}  # not over at the next try
_GONE = "Ask the index whether it was taken away, or capture again."


class NoRangesError(Exception):
    """A host does not give parts of a file; ``refused`` says that it may know other ways to ask."""

    def __init__(self, *, refused: bool) -> None:
        super().__init__()
        self.refused = refused


class TransferError(FailedRequestError):
    """A request to a package index came to nothing."""

    usual_hint = _LOOK


@contextmanager
def transfer(url: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise inside, which asks for ``url``, into a TransferError.

    Raises:
        TransferError: The host cannot be reached, does not answer, or breaks off.
    """
    host = urlsplit(url).hostname or ""
    proxy = select_proxy(url, get_environ_proxies(url))
    refused = refuse_socks(proxy, host=host)
    if refused:
        raise TransferError(refused.what, hint=refused.hint)
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # not "from error": its text may hold an address
        raise _translated(error, find_cause(error, host=host, proxy=proxy)) from None


def check_status(response: requests.Response, *, part: bool) -> None:
    """Accept an answer that brings content.

    Raises:
        NoRangesError: A part was asked for, and that was not understood.
        TransferError: It is a refusal or a failure.
    """
    status = response.status_code
    if part and status in _RANGE_REFUSED:
        raise NoRangesError(refused=True)
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        raise TransferError(f"refuses with {status}", hint=_LOGIN)
    if status in (requests.codes.not_found, requests.codes.gone):
        raise TransferError(f"does not have it: {status}", hint=_GONE)
    if status in _TRY_AGAIN:
        wait_s = retry_after_s(response.headers.get("Retry-After", ""))
        raise TransferError(f"answers with {status}", passing=True, wait_s=wait_s)
    if status not in (requests.codes.ok, requests.codes.partial):
        raise TransferError(f"answers with {status}")


def _translated(error: Exception, cause: Cause | None) -> TransferError:
    if cause is None and isinstance(
        error, (requests.ConnectionError, urllib3.exceptions.HTTPError)
    ):
        return TransferError("cannot be reached, or broke off", passing=True)
    if cause is None:
        return TransferError(f"answers in a way that cannot be followed ({type(error).__name__})")
    hint = cause.hint or _MENDS.get(cause.kind)
    return TransferError(cause.what, hint=hint, passing=cause.kind not in _LASTING)
