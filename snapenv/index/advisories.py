"""Advisories from a service with OSV's API.

Source: https://google.github.io/osv.dev/api/
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from snapenv.errors import AdvisoryServiceError
from snapenv.json_text import read_json
from snapenv.model.osv import PYPI, Advisory, AffectedPackage
from snapenv.network.address import host_of
from snapenv.network.session import (
    Advice,
    Patience,
    RequestError,
    Session,
    choose_authorities,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.osv import Query

_AT_ONCE = 500  # queries in a request; OSV takes 1,000
_PAGES = 20
_READERS = 8
_MOST_BYTES = 64 << 20  # of an answer
_OTHERWISE = "Name another service with --service, or a copy of its database with --database."
_ADVICE = Advice(login=_OTHERWISE, absent=_OTHERWISE, busy="Try again in a while.")
_PATIENCE = Patience(connect_s=10.0, read_s=30.0)

T = TypeVar("T")


class _Question(Struct, frozen=True, omit_defaults=True):
    package: AffectedPackage
    version: str
    page_token: str | None = None


class _Batch(Struct, frozen=True):
    queries: tuple[_Question, ...]


class _Known(Struct, frozen=True):
    id: str


class _Answer(Struct, frozen=True):
    vulns: tuple[_Known, ...] = ()
    next_page_token: str | None = None


class _Answers(Struct, frozen=True):
    results: tuple[_Answer, ...]


class OsvService:
    """A service by its address, such as ``https://api.osv.dev``; as ``ports.Advisories`` says."""

    def __init__(self, url: str, *, patience: Patience = _PATIENCE) -> None:
        self._url, self._host = url.rstrip("/"), host_of(url) or url
        self._session = Session(advice=_ADVICE, patience=patience, keeps_tls=True)
        self._session.retry(frozenset({"cut", "timeout"}))
        self._verify = choose_authorities(os.environ) or True

    def find(self, queries: Sequence[Query]) -> tuple[Advisory, ...]:
        """Return what the service knows of any of these packages, sorted by id."""
        try:
            ids = sorted(set().union(*(self._ids(part) for part in _parts(queries))))
            with ThreadPoolExecutor(_READERS) as pool:
                return tuple(pool.map(self._read, ids))
        except RequestError as error:
            raise AdvisoryServiceError(
                f"{self._host} {error.what}", hint=error.hint or _OTHERWISE
            ) from error

    def _ids(self, queries: Sequence[Query]) -> set[str]:
        questions = [
            _Question(package=AffectedPackage(ecosystem=PYPI, name=each.name), version=each.version)
            for each in queries
        ]
        ids = set[str]()
        for _ in range(_PAGES):
            body = msgspec.json.encode(_Batch(queries=tuple(questions)))
            answers = self._ask("/v1/querybatch", _Answers, body).results
            if len(answers) != len(questions):
                raise RequestError("answers to other questions than were asked")
            ids.update(known.id for answer in answers for known in answer.vulns)
            questions = [
                msgspec.structs.replace(question, page_token=answer.next_page_token)
                for question, answer in zip(questions, answers, strict=True)
                if answer.next_page_token
            ]
            if not questions:
                return ids
        raise RequestError(f"has more than {_PAGES} pages of answers")

    def _read(self, name: str) -> Advisory:
        return self._ask(f"/v1/vulns/{quote(name, safe='')}", Advisory)

    def _ask(self, path: str, kind: type[T], body: bytes | None = None) -> T:
        with self._session.ask(
            f"{self._url}{path}",
            host=self._host,
            method="POST" if body else "GET",
            data=body,
            headers={"Content-Type": "application/json"} if body else None,
            verify=self._verify,
        ) as response:
            self._session.check_status(response.status_code)
            content = response.raw.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise RequestError("sends too much")
        try:
            return read_json(content, kind)
        except ValueError as error:
            raise RequestError("sends an answer that is not of OSV's API") from error


def _parts(queries: Sequence[Query]) -> list[Sequence[Query]]:
    return [queries[start : start + _AT_ONCE] for start in range(0, len(queries), _AT_ONCE)]
