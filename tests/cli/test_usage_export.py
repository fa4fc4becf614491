from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.usage.ledger import open_ledger
from tests.command import Command
from tests.usage.values import sample_event, sample_run_gpu, sample_usage_run

if TYPE_CHECKING:
    from pathlib import Path

SNAPENV = Command()
FORMULA = '=HYPERLINK("x")'
USES = (
    ("ada-birds", "ada", "birds"),
    ("ben-birds", "ben", "birds"),
    ("ben-fish", "ben", "fish"),
    ("cho-fish", "cho", "fish"),
    ("ada-alone", "ada", None),
    ("ben-alone", "ben", None),
    ("eve-alone", "eve", None),
)


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "usage.sqlite3"
    monkeypatch.setenv("SNAPENV_LEDGER", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with open_ledger(path) as ledger:
        for key, user, project in USES:
            ledger.put_run(sample_usage_run(key=key, user=user, project=project, purpose=FORMULA))
            ledger.put_run_gpu(sample_run_gpu(key=key))
            ledger.add_event(sample_event(id=key, key=key))


def export(role: str, folder: Path) -> dict[str, Any]:
    return SNAPENV.result("usage", "export", "--role", role, "--output", str(folder))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_member_gets_a_ledger_of_the_own_projects(tmp_path: Path) -> None:
    result = export("member=ada", tmp_path / "out")

    assert (result["files"], result["rows"]) == (["usage.sqlite3"], 3)
    with open_ledger(tmp_path / "out" / "usage.sqlite3", read_only=True) as copy:
        keys = {"ada-birds", "ben-birds", "ada-alone"}
        assert {run.key for run in copy.runs(0, 2**62)} == keys
        assert {row.key for row in copy.run_gpus("2026-11", "2026-11")} == keys
        assert {event.key for event in copy.events(0, 2**62)} == keys
        assert copy.machine_gpus() == ()
        assert copy.outbox(9) == ()
    assert b"cho" not in (tmp_path / "out" / "usage.sqlite3").read_bytes()


def test_a_member_s_export_is_reported_like_any_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export("member=ada", tmp_path / "out")
    monkeypatch.setenv("SNAPENV_LEDGER", str(tmp_path / "out" / "usage.sqlite3"))

    report = SNAPENV.result("usage", "report", "--month", "2026-11", "--by", "user")

    assert {row["name"]: row["totals"]["runs"] for row in report["rows"]} == {"ada": 2, "ben": 1}


def test_managers_get_sums_by_pseudonym(tmp_path: Path) -> None:
    result = export("manager", tmp_path / "out")

    rows = table(tmp_path / "out" / "sums_by_user.csv")
    assert result["files"] == ["fleet.csv", "sums_by_user.csv"]
    assert result["rows"] == len(rows) == 7
    assert sorted(row["project"] for row in rows) == ["", "", "", "birds", "birds", "fish", "fish"]
    assert {row["is_rest"] for row in rows} == {"false"}
    assert {len(row["usr"]) for row in rows} == {12}
    assert len({row["usr"] for row in rows}) == 4
    assert {row["purpose"] for row in rows} == {f"'{FORMULA}"}
    texts = [file.read_text() for file in (tmp_path / "out").iterdir()]
    assert not [name for name in ("ada", "ben", "cho", "eve") if any(name in one for one in texts)]


def test_a_user_has_the_same_pseudonym_in_each_export(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export("manager", tmp_path / name)

    one, two = ((tmp_path / name / "sums_by_user.csv").read_bytes() for name in ("one", "two"))
    assert one == two


def test_finance_gets_sums_by_project_alone(tmp_path: Path) -> None:
    result = export("finance", tmp_path / "out")

    rows = table(tmp_path / "out" / "sums_by_project.csv")
    assert result["files"] == ["fleet.csv", "sums_by_project.csv"]
    assert [(row["project"], row["runs"]) for row in rows] == [
        ("birds", "2"),
        ("fish", "2"),
        ("", "3"),
    ]
    assert not {"usr", "purpose", "model", "tag", "snapshot", "failure"} & set(rows[0])
    assert rows[0]["b9"] == str(3_600_000)
    assert rows[0]["util_sources"] == "gpm_sm"


@pytest.mark.parametrize("role", ["member", "member=", "manager=ada", "owner", ""])
def test_a_role_that_is_none_is_refused(role: str, tmp_path: Path) -> None:
    done = SNAPENV.run("usage", "export", "--role", role, "--output", str(tmp_path / "out"))

    assert done.returncode == 2
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    SNAPENV.error(
        "place-taken", "usage", "export", "--role", "finance", "-o", str(tmp_path / "out")
    )

    assert list((tmp_path / "out").iterdir()) == []


def test_who_has_no_run_gets_nothing(tmp_path: Path) -> None:
    words = ("usage", "export", "--role", "member=zoe", "-o", str(tmp_path / "out"))

    stderr = SNAPENV.error("not-found", *words)

    assert "zoe" in stderr
    assert not (tmp_path / "out").exists()


def test_without_a_ledger_there_is_nothing_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAPENV_LEDGER", str(tmp_path / "none.sqlite3"))

    SNAPENV.error("not-found", "usage", "export", "--role", "finance", "-o", str(tmp_path / "out"))

    assert not (tmp_path / "none.sqlite3").exists()
    assert not (tmp_path / "out").exists()
