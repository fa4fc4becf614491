"""A service with OSV's API, which is asked for advisories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.errors import AdvisoryServiceError
from snapenv.index.advisories import OsvService
from snapenv.model.osv import Query
from snapenv.network.session import Patience
from tests.advisories.records import record
from tests.advisories.service import Service
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Patience(connect_s=60.0, read_s=60.0, retries=1, backoff_s=0.01, max_wait_s=0.05)


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(Service()) as running:
        yield running


def find(service: Service, *packages: tuple[str, str]) -> list[str]:
    queries = [Query(name=name, version=version) for name, version in packages]
    return [each.id for each in OsvService(service.url, patience=QUICK).find(queries)]


def test_all_pages_are_read_and_each_advisory_once(service: Service) -> None:
    shared = record("demo", id="GHSA-1")
    service.known = {"demo": [shared, record("demo", id="PYSEC-2")], "other": [shared]}

    assert find(service, ("demo", "1.0"), ("none", "2.0"), ("other", "3.0")) == [
        "GHSA-1",
        "PYSEC-2",
    ]
    assert service.questions[0] == {
        "package": {"ecosystem": "PyPI", "name": "demo"},
        "version": "1.0",
    }


def test_many_packages_are_asked_for_in_parts(service: Service) -> None:
    names = [f"p{number}" for number in range(1201)]
    service.known = {"p1200": [record("p1200")]}

    assert find(service, *((name, "1") for name in names)) == ["PYSEC-2026-1"]
    assert [each["package"]["name"] for each in service.questions] == names


def test_nothing_is_asked_for_nothing(service: Service) -> None:
    assert find(service) == []
    assert service.questions == []


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (500, None, "answers with 500"),
        (403, None, "refuses with 403"),
        (200, b"<html>", "not of OSV's API"),
        (200, b'{"results": []}', "answers to other questions"),
    ],
)
def test_a_service_that_does_not_answer_is_named(
    service: Service, status: int, body: bytes | None, problem: str
) -> None:
    service.status, service.body = status, body

    with pytest.raises(AdvisoryServiceError) as caught:
        find(service, ("demo", "1.0"))

    assert caught.value.message.startswith("127.0.0.1 ")
    assert problem in caught.value.message


def test_a_service_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(AdvisoryServiceError) as caught:
        OsvService("http://127.0.0.1:9", patience=QUICK).find([Query(name="demo", version="1")])

    assert "127.0.0.1" in caught.value.message
    assert caught.value.hint
