"""Asks a Prometheus for what it has seen of runs.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from msgspec import Struct

from snapenv import promql
from snapenv.errors import UsageError, UsageSourceError
from snapenv.json_text import read_json
from snapenv.network.address import is_address, show_address
from snapenv.network.session import Advice, Patience, RequestError, Session, basic
from snapenv.usage.prometheus_runs import STEP_MS, Piece, Point, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.network.cause import Kind

_END_S = 4_102_444_800  # of 2100
_POINTS = 24 * 60  # a day: a server refuses more than 11,000, and 50 GPUs are 10 MB of JSON
_PIECE_MS = (_POINTS - 1) * STEP_MS
_ADVICE = Advice(
    login="Give it in the URL: https://USER:PASSWORD@HOST.",
    absent="Name the address below which Prometheus has /api/v1, such as http://HOST:9090.",
)
_USUAL = "Look whether Prometheus runs there, and answers this machine."
_PASSING: frozenset[Kind] = frozenset({"timeout", "cut"})
_IMAGES = (
    "group by (namespace, pod, image)"
    ' (max_over_time(kube_pod_container_info{{image=~".+@sha256:.+"}}[{seconds}s]))'
)


class _Data(Struct, frozen=True):
    result: tuple[_Result, ...]


class _Result(Struct, frozen=True):
    metric: Mapping[str, str]
    values: tuple[Point, ...] = ()


class _Answer(Struct, frozen=True):
    data: _Data


class Prometheus:
    """One server, by its address; a login in that is sent, and never shown."""

    def __init__(self, url: str, *, patience: Patience | None = None) -> None:
        """``url`` has a scheme and a host.

        Raises:
            UsageError: It has not.
        """
        parts = urlsplit(url if is_address(url) else "")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"{show_address(url)} is not the address of a Prometheus",
                hint="Name it with its scheme: http://HOST:9090.",
            )
        self.host = show_address(url)
        self.name = parts.hostname
        self._base = urlunsplit(
            (parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "")
        )
        self._login = (
            basic(unquote(parts.username), unquote(parts.password or ""))
            if parts.username
            else None
        )
        self._session = Session(advice=_ADVICE, patience=patience or Patience(read_s=300.0))
        self._session.retry(_PASSING)

    def pieces(self, since_ms: int, until_ms: int) -> Iterator[Piece]:
        """Yield what is known of a time, in pieces that the server answers for.

        Raises:
            UsageSourceError: It does not answer, refuses, or sends what is no answer of Prometheus.
        """
        first_ms = (since_ms // STEP_MS + 1) * STEP_MS  # the same points at each import
        while first_ms <= until_ms:
            last_ms = min(first_ms + _PIECE_MS, until_ms)
            yield self._piece(first_ms, last_ms)
            first_ms = last_ms // STEP_MS * STEP_MS + STEP_MS

    def _piece(self, first_ms: int, last_ms: int) -> Piece:
        def ask(expression: str, since_ms: int = first_ms) -> tuple[Series, ...]:
            times = {"start": f"{since_ms / 1000}", "end": f"{last_ms / 1000}"}
            step = {"step": f"{STEP_MS // 1000}"}
            return self._ask("query_range", {"query": expression, **times, **step})

        runs = ask(promql.RUN_GPUS)
        if not runs:
            return Piece(runs=())
        seconds = (last_ms - first_ms + STEP_MS) // 1000
        query = {"query": _IMAGES.format(seconds=seconds), "time": f"{last_ms / 1000}"}
        return Piece(
            runs=runs,
            utilization=ask(promql.UTILIZATION),
            memory=ask(promql.MEMORY_BYTES),
            power=ask(promql.POWER_WATTS),
            energy=ask(promql.ENERGY_JOULES, first_ms - STEP_MS),  # what it has grown from
            images={
                f"{labels.get('namespace')}/{labels.get('pod')}": labels.get("image", "")
                for labels in (series.metric for series in self._ask("query", query))
            },
        )

    def _ask(self, what: str, form: Mapping[str, str]) -> tuple[Series, ...]:
        headers = {"Authorization": self._login} if self._login else {}
        url = f"{self._base}/api/v1/{what}"
        try:
            with self._session.ask(
                url, host=self.host, method="POST", data=form, headers=headers
            ) as response:
                self._session.check_status(response.status_code, (HTTPStatus.OK,))
                content = response.content
        except RequestError as error:
            raise UsageSourceError(
                f"{self.host} {error.what}", hint=error.hint or _USUAL
            ) from error
        return parse_answer(content, host=self.host)


def _refuse_odd(points: Sequence[Point]) -> None:
    """Refuse points that no server has.

    Raises:
        ValueError: They are not in their order, not of our time, or not numbers.
    """
    times = [at for at, _ in points]
    if times != sorted({*times}) or not all(0 < at < _END_S for at in times):
        raise ValueError("its points are not in the order of time")
    for _, text in points:
        float(text)


def parse_answer(content: bytes, *, host: str) -> tuple[Series, ...]:
    """Read the answer to a query; ``host`` names the server in errors.

    Raises:
        UsageSourceError: It is none of Prometheus.
    """
    try:
        answer = read_json(content, _Answer)
        for series in answer.data.result:
            _refuse_odd(series.values)
    except ValueError as error:
        raise UsageSourceError(
            f"{host} sends what is no answer of Prometheus: {error}", hint=_ADVICE.absent
        ) from error
    return tuple(Series(each.metric, each.values) for each in answer.data.result)
