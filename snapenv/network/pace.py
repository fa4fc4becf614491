"""Answers are waited for as long as they come at a pace.

Python's time limit is for the silence before each single byte. A server that sends one byte now and
then, or says ``100 Continue`` again and again, would be listened to for ever.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket

    from urllib3 import PoolManager, ProxyManager

_LEAST_BYTES_A_SECOND = 1000
_SILENCES = 2  # so long an answer is waited for in all, beside that
_MOST_BYTES = 1 << 20  # before the body begins


class _Paced(io.RawIOBase):
    """What a connection brings; who is too slow is met by the error of silence."""

    def __init__(self, raw: io.RawIOBase, allowed_s: float | None) -> None:
        self._raw, self._allowed_s = raw, allowed_s
        self._waited_s, self._bytes = 0.0, 0
        self.is_head = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # noqa: ANN401 - as io has it
        late_s = self._waited_s - self._bytes / _LEAST_BYTES_A_SECOND
        if self._allowed_s is not None and late_s > self._allowed_s:
            raise TimeoutError("timed out")
        if self.is_head and self._bytes > _MOST_BYTES:
            raise http.client.LineTooLong("head")
        begun = time.monotonic()
        count = self._raw.readinto(buffer)
        self._waited_s += time.monotonic() - begun
        self._bytes += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer, from its status to its last byte."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *arguments, **options)
        silence_s = sock.gettimeout()
        self.fp.close()
        raw: Any = sock.makefile("rb", buffering=0)
        self._paced = _Paced(raw, silence_s and silence_s * _SILENCES)
        self.fp = io.BufferedReader(self._paced)

    def begin(self) -> None:
        super().begin()
        self._paced.is_head = False


class _Connection(HTTPConnection):
    response_class = _Answer  # type: ignore[mutable-override]


class _TlsConnection(HTTPSConnection):
    response_class = _Answer  # type: ignore[mutable-override]


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # type: ignore[mutable-override]


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # type: ignore[mutable-override]


class PacedAdapter(HTTPAdapter):
    """requests' own, whose answers come at a pace or end."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*arguments, **options)
        _pace(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> ProxyManager:  # noqa: ANN401
        manager: ProxyManager = super().proxy_manager_for(*arguments, **options)
        _pace(manager)
        return manager


def _pace(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
