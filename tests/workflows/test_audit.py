from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import ArchiveError, NotFoundError
from snapenv.lock.store import write_snapshot
from snapenv.model.osv import Advisory
from snapenv.model.wheels import Vendored
from snapenv.workflows.audit import Audit, audit
from tests.advisories.records import record
from tests.samples import (
    sample_conda_lock,
    sample_conda_package,
    sample_distribution,
    sample_lock,
    sample_snapshot,
)
from tests.workflows.services import REPOSITORY, FakeAdvisories, services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.model.osv import Query
    from snapenv.model.outcome import Outcome
    from snapenv.model.results import AuditResult
    from snapenv.model.snapshot import Lock

OURS = sample_distribution("ours", "1.0")
LOCK = replace(
    sample_lock(),
    environment=replace(
        sample_lock().environment,
        distributions=(
            *(
                replace(each, version="2.11.0+cu130") if each.name == "torch" else each
                for each in sample_lock().environment.distributions
            ),
            OURS,
        ),
    ),
    packages={**sample_lock().packages, "ours": Vendored()},
)
RECORDS = (
    record(
        "torch",
        {"introduced": "0"},
        {"fixed": "99.1"},
        id="GHSA-torch",
        aliases=["CVE-2026-1"],
        summary="Loading a checkpoint runs its code",
        database_specific={"severity": "HIGH"},
    ),
    record("ours", versions=["1.0"], id="MAL-2026-1", summary="Steals keys"),
    record("torch", {"introduced": "98"}, id="PYSEC-later"),
)


def database(path: Path, *records: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for each in records:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    return path


def run(folder: Path, lock: Lock = LOCK, **options: Any) -> Outcome[AuditResult]:  # noqa: ANN401
    write_snapshot(sample_snapshot(lock), folder / "snapshot")
    request = Audit(
        ref=str(folder / "snapshot"),
        repository=REPOSITORY,
        service="https://osv.example.com",
        database=options.pop("database", None),
    )
    return audit(request, replace(services(), **options))


def test_a_copy_of_the_database_is_read_and_nobody_is_asked(tmp_path: Path) -> None:
    done = run(tmp_path, database=database(tmp_path / "all.zip", *RECORDS))

    assert done.exit_code == 1
    assert [(each.id, each.package, each.malicious) for each in done.result.advisories] == [
        ("MAL-2026-1", "ours", True),
        ("GHSA-torch", "torch", False),
    ]
    assert done.result.held == 3
    assert done.result.skipped == ()
    assert [check.package for check in done.checks if check.fails] == ["ours", "torch"]
    assert [line.replace(str(tmp_path), "") for line in done.lines] == wording(
        [
            "ours 1.0  MALICIOUS  MAL-2026-1: Steals keys",
            "torch 2.11.0  HIGH  GHSA-torch (CVE-2026-1): Loading a checkpoint runs its code; fixed in 99.1",
            "2 advisories about 2 packages, of 8 packages, in /all.zip, which holds 3 advisories",
        ]
    )


def test_a_service_is_not_told_what_no_index_has(tmp_path: Path) -> None:
    asked = list[str]()

    class Service(FakeAdvisories):
        def find(self, queries: Sequence[Query]) -> tuple[Advisory, ...]:
            asked.extend(f"{each.name} {each.version}" for each in queries)
            return tuple(msgspec.convert(each, Advisory) for each in RECORDS)

    done = run(tmp_path, advisories=Service)

    assert "ours 1.0" not in asked
    assert "torch 2.11.0" in asked  # no database knows +cu130
    assert [each.id for each in done.result.advisories] == ["GHSA-torch"]
    assert done.result.skipped == ("ours",)
    assert done.result.held is None


def test_no_advisory_is_a_yes(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert done.exit_code == 0
    assert done.result.advisories == ()
    assert done.lines[0].replace(str(tmp_path), "TMP") == wording(
        "no advisory, of 7 packages, in https://osv.example.com"
    )


def test_packages_of_conda_are_told_to_be_in_no_database(tmp_path: Path) -> None:
    lock = replace(LOCK, conda=sample_conda_lock(sample_conda_package("zlib")))

    assert "1 package of conda" in run(tmp_path, lock).warnings[0]


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_what_is_no_database_is_damage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(content)

    with pytest.raises(ArchiveError):
        run(tmp_path, database=path)


def test_a_database_without_advisories_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        run(tmp_path, database=database(tmp_path / "all.zip"))
    with pytest.raises(ArchiveError):
        run(tmp_path / "other", database=database(tmp_path / "b.zip", {"id": 3}))


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        run(tmp_path, database=tmp_path / "none.zip")
