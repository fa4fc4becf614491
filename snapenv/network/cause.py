"""What is behind a request that came to nothing: each cause has words and a mend of its own.

The same causes are told of what this machine asked itself, from exceptions, and of what a
container engine asked, from the words of the Go programs that it is made of.
Source: https://docs.openssl.org/3.0/man1/openssl-verification-options/ and Go's crypto/x509.
"""

from __future__ import annotations

import errno
import importlib.util
import re
import socket
import ssl
from typing import TYPE_CHECKING, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from snapenv.network.address import show_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TlsKind = Literal[
    "plain-http",
    "expired",
    "not-yet-valid",
    "other-name",
    "unknown-authority",
    "malformed",
    "client-certificate",
    "tls",
]
Kind = Literal[
    TlsKind,
    "proxy",
    "proxy-login",
    "proxy-refusal",
    "socks",
    "timeout",
    "refused",
    "unresolved",
    "unreachable",
    "cut",
]

TLS_KINDS: frozenset[Kind] = frozenset(get_args(TlsKind))
LASTING: frozenset[Kind] = TLS_KINDS | {"socks", "proxy-login", "proxy-refusal"}
HERE = "this machine"

_VERIFY_CODES: Mapping[int, Kind] = {  # X509_V_ERR_… of OpenSSL
    9: "not-yet-valid",
    10: "expired",
    18: "unknown-authority",
    19: "unknown-authority",
    20: "unknown-authority",
    21: "unknown-authority",
    62: "other-name",
    64: "other-name",
    **dict.fromkeys(range(80, 94), "malformed"),  # by X509_V_FLAG_X509_STRICT alone
}
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
_WANTS_OURS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE")
_ERRNOS: Mapping[int, Kind] = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.ECONNRESET: "cut",
    errno.ECONNABORTED: "cut",
    errno.EPIPE: "cut",
    errno.ETIMEDOUT: "timeout",
}
_CLASSES: Mapping[str, Kind] = {  # of requests and urllib3, where nothing lies behind them
    "ReadTimeoutError": "timeout",
    "ConnectTimeoutError": "timeout",
    "ReadTimeout": "timeout",
    "ConnectTimeout": "timeout",
    "RemoteDisconnected": "cut",
    "IncompleteRead": "cut",
    "ProtocolError": "cut",
    "ChunkedEncodingError": "cut",
    "NewConnectionError": "unreachable",
}
_UNCONNECTED: frozenset[Kind] = frozenset({"timeout", "refused", "unresolved", "unreachable"})
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_PROXY_LOGIN = "407"

_GO_WORDS: tuple[tuple[Kind, str], ...] = (  # the first counts
    ("proxy-login", r"proxy authentication required"),
    ("proxy", r"proxyconnect tcp|socks connect|unknown scheme: socks"),
    (
        "plain-http",
        r"server gave http response to https client|does not look like a tls handshake",
    ),
    ("not-yet-valid", r"x509: .*current time \S+ is before"),
    ("expired", r"x509: certificate has expired"),
    (
        "other-name",
        r"x509: (certificate (is valid for|is not valid for any|relies on legacy)|cannot validate)",
    ),
    ("unknown-authority", r"x509: certificate signed by unknown authority"),
    ("client-certificate", r"remote error: tls: (bad certificate|certificate required)"),
    ("tls", r"x509: |\btls: "),
)


class Cause(Struct, frozen=True, kw_only=True):
    """Why a request came to nothing; ``what`` follows the name of the host in a sentence."""

    kind: Kind
    what: str
    hint: str | None = None  # None where it depends on who was asked


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that is behind it, from the outermost to the innermost."""
    waiting, known = [error], set[int]()
    while waiting:
        error = waiting.pop(0)
        if id(error) in known:
            continue
        known.add(id(error))
        yield error
        behind = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
        waiting.extend(each for each in behind if isinstance(each, BaseException))


def refuse_socks(proxy: str | None, *, host: str) -> Cause | None:
    """Return why a SOCKS proxy cannot be used, where what speaks SOCKS is not installed."""
    if not proxy or not proxy.lower().startswith("socks"):
        return None
    if importlib.util.find_spec("socks") is not None:
        return None
    return Cause(
        kind="socks",
        what=f"is to be reached through {show_address(proxy)}, but PySocks, which SOCKS needs, "
        "is not installed",
        hint="Install PySocks beside snapenv (pip install pysocks), name an http proxy in "
        f"HTTPS_PROXY, or go past it: NO_PROXY={host}",
    )


def find_cause(
    error: BaseException, *, host: str, proxy: str | None = None, limit_s: float | None = None
) -> Cause | None:
    """Find the cause of an error of requests, urllib3 or ssl; None where it is none of the network.

    ``proxy`` is the address through which ``host`` is asked, and ``limit_s`` how long was waited.
    """
    chain = tuple(causes(error))
    kind = _innermost(chain)
    if proxy and (proxy_cause := _proxy_cause(chain, kind, proxy=show_address(proxy), host=host)):
        return proxy_cause
    if kind is None:
        return None
    return Cause(
        kind=kind,
        what=_what(kind, limit_s),
        hint=hint_for(kind, host=host, machine=HERE),
    )


def may_pass(error: BaseException, kinds: frozenset[Kind]) -> bool:
    """Return whether another try may succeed: the cause is one of ``kinds``, or is not known.

    Where a proxy refuses to connect, its status decides.
    """
    chain = tuple(causes(error))
    status, kind = _tunnel_status(chain), _innermost(chain)
    return status.startswith("5") if status else kind is None or kind in kinds


def find_in_words(text: str, *, host: str, machine: str) -> Cause | None:
    """Find the cause in the words of a Go program that runs on ``machine``."""
    for kind, words in _GO_WORDS:
        if re.search(words, text, re.IGNORECASE):
            return Cause(
                kind=kind,
                what=_WHAT[kind].format(machine=machine),
                hint=hint_for(kind, host=host, machine=machine),
            )
    return None


def hint_for(kind: Kind, *, host: str, machine: str) -> str | None:
    """Say what mends a cause on one side or the other; None where it depends on who was asked."""
    return _HINTS[kind].format(host=host, machine=machine) if kind in _HINTS else None


_WHAT: Mapping[Kind, str] = {
    "plain-http": "answers over plain HTTP where HTTPS is expected",
    "expired": "has a certificate that has expired",
    "not-yet-valid": "has a certificate that is not valid yet by the clock of {machine}",
    "other-name": "has a certificate for another host name",
    "unknown-authority": "has a certificate from an authority that is not trusted",
    "malformed": "has a certificate that lacks what RFC 5280 requires, which Python 3.13 and newer "
    "refuse",
    "client-certificate": "requires a client certificate",
    "tls": "fails the TLS handshake",
    "proxy": "cannot be reached through the proxy",
    "proxy-login": "cannot be reached: the proxy requires a login",
    "proxy-refusal": "cannot be reached: the proxy refuses the connection",
    "socks": "cannot be reached through a SOCKS proxy",
    "timeout": "does not answer in time",
    "refused": "does not answer: the connection is refused",
    "unresolved": "does not answer: its name cannot be resolved",
    "unreachable": "does not answer: there is no route to it",
    "cut": "does not answer: it closes the connection",
}
_HINTS: Mapping[Kind, str] = {
    "expired": "Renew the certificate of {host}; where it is valid, set the clock of {machine}: "
    "date",
    "not-yet-valid": "Set the clock of {machine}: sudo timedatectl set-ntp true; in WSL: "
    "sudo hwclock -s",
    "other-name": "Use a name that the certificate has (openssl s_client -connect {host}), or have "
    "one made for {host}.",
    "malformed": "See what it, or that of its authority, lacks: openssl s_client -x509_strict "
    "-connect {host}; have it issued again, or use snapenv on Python 3.12, which takes it.",
    "tls": "See what it offers: openssl s_client -connect {host}; an old server needs an update.",
    "refused": "Check that a server listens at {host}, and that the port is right.",
    "unresolved": "Check that {host} is spelled right, and that {machine} resolves it: "
    "getent hosts NAME; a VPN may be off.",
    "unreachable": "Check that {machine} has a network: ip route; a VPN may be off.",
}


def _what(kind: Kind, limit_s: float | None) -> str:
    if kind == "timeout" and limit_s:
        return f"does not answer in time: no answer within {limit_s:g} s"
    return _WHAT[kind].format(machine=HERE)


def _kind(error: BaseException) -> Kind | None:
    if isinstance(error, ssl.SSLError):
        return _tls_kind(error)
    if isinstance(error, socket.gaierror):
        return "unresolved"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and error.errno:
        return _ERRNOS.get(error.errno)
    return _CLASSES.get(type(error).__name__)


def _tls_kind(error: ssl.SSLError) -> Kind:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, "tls")
    if isinstance(error, ssl.SSLEOFError):
        return "cut"
    reason = error.reason or ""
    if any(word in reason for word in _PLAIN):
        return "plain-http"
    return "client-certificate" if any(word in reason for word in _WANTS_OURS) else "tls"


def _innermost(chain: tuple[BaseException, ...]) -> Kind | None:
    """Return the kind that tells most: of TLS, the narrower one; else of what lies deepest."""
    kinds = [kind for error in chain if (kind := _kind(error))]
    tls = sorted((kind for kind in kinds if kind in TLS_KINDS), key=lambda kind: kind == "tls")
    return next(iter((*tls, *kinds[::-1])), None)


def _tunnel_status(chain: tuple[BaseException, ...]) -> str | None:
    """Return the status with which a proxy refuses to connect."""
    statuses = (_TUNNEL.search(str(error)) for error in chain)
    return next((status[1] for status in statuses if status), None)


def _proxy_cause(
    chain: tuple[BaseException, ...], kind: Kind | None, *, proxy: str, host: str
) -> Cause | None:
    """Return what a proxy has to do with it; None where the host behind it failed itself."""
    status = _tunnel_status(chain)
    names = {type(error).__name__ for error in chain}
    if status == _PROXY_LOGIN:
        return Cause(
            kind="proxy-login",
            what=f"cannot be reached: the proxy {proxy} requires a login",
            hint="Write it in the proxy's variable: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
        )
    if status:
        return replace(_through(proxy, host, f"it answers with {status}"), kind="proxy-refusal")
    if "InvalidProxyURL" in names:
        return _through(proxy, host, "that is not an address")
    if "ProxyError" in names and kind == "plain-http":
        return _through(
            proxy, host, "it answers over plain HTTP, but its address begins with https://"
        )
    if "ProxyError" in names or kind in _UNCONNECTED:
        what = _WHAT[kind].partition(": ")[2] or _WHAT[kind] if kind else "it does not answer"
        return _through(proxy, host, what)
    return None


def _through(proxy: str, host: str, why: str) -> Cause:
    return Cause(
        kind="proxy",
        what=f"cannot be reached through the proxy {proxy}: {why}",
        hint="Check that the proxy runs and that HTTPS_PROXY, HTTP_PROXY and ALL_PROXY name the "
        f"right one, or go past it: NO_PROXY={host}",
    )
