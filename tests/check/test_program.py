"""snapenv-check in an environment that changes under it, as a container's does."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.model.snapshot import CHECK_FILE
from tests.check.making import Checked, install, lock_of, make_checked
from tests.probe.environments import write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    return make_checked(tmp_path_factory.mktemp("unchanged"))


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    return make_checked(tmp_path)


def test_what_has_not_changed_is_as_locked_and_no_file_is_read(unchanged: Checked) -> None:
    document = unchanged.check(code=0)

    assert document == {
        "schema": 1,
        "ok": True,
        "tag": "train-yolov8.4.190-base-cu130",
        "packages": 2,
        "by": "record",
        "findings": [],
        "smoke_train": None,
        "summary": wording("snapenv-check: train-yolov8.4.190-base-cu130: as locked: 2 packages"),
    }
    assert [*unchanged.temporary.iterdir()] == []


def test_its_last_line_says_it_all(unchanged: Checked) -> None:
    done = unchanged.run(OMP_NUM_THREADS="3")

    change = "OMP_NUM_THREADS absent became 3"
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"no    variables: {change}",
        f"snapenv-check: train-yolov8.4.190-base-cu130: not as locked: {change}",
    ]


def test_the_threads_of_a_limit_of_cpus_are_only_told(unchanged: Checked) -> None:
    document = unchanged.check(code=0, OMP_NUM_THREADS="3", PYTHON_CPU_COUNT="3")

    (finding,) = document["findings"]
    assert (finding["subject"], finding["actual"], finding["counts"]) == (
        "OMP_NUM_THREADS",
        "3",
        False,
    )
    assert unchanged.check(code=1, OMP_NUM_THREADS="2", PYTHON_CPU_COUNT="3")["ok"] is False


def test_rehash_reads_every_file(unchanged: Checked) -> None:
    assert unchanged.check("--rehash", code=0)["by"] == "files"


def test_bytecode_is_no_change(unchanged: Checked) -> None:
    done = unchanged.venv.site / "plain" / "__pycache__" / "x.cpython-39.pyc"
    done.parent.mkdir(exist_ok=True)
    done.write_bytes(b"compiled")

    assert unchanged.check(code=0)["by"] == "record"


def test_an_edit_shows_although_size_and_time_are_put_back(checked: Checked) -> None:
    file = checked.venv.site / "plain" / "__init__.py"
    before = file.stat()
    file.write_text("ANSWER = 43\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert file.stat().st_size == before.st_size
    assert checked.subjects() == [("packages", "plain")]


def test_each_kind_of_change_is_named(checked: Checked) -> None:
    site = checked.venv.site
    (site / "plain" / "data.bin").unlink()
    (site / "of_nobody.py").write_text("NOBODY = 2\n")
    shutil.rmtree(site / "other-1.0.dist-info")
    checked.venv.install(write_wheel(checked.root, "added", {"added.py": ""}))

    found = checked.subjects(PYTORCH_JIT="0")

    assert found == [
        ("packages", "added"),
        ("packages", "other"),
        ("packages", "plain"),
        ("files", "of_nobody.py"),
        ("files", "other.py"),
        ("variables", "PYTORCH_JIT"),
    ]


def test_what_shadows_a_module_is_named(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "plain.py").touch()
    (tmp_path / "shadow" / "json.py").write_text("raise SystemExit(0)")

    found = checked.subjects(PYTHONPATH=str(tmp_path / "shadow"))

    assert ("startup", "PYTHONPATH") in found


def test_what_was_not_as_locked_when_the_image_was_made_is_told_each_time(checked: Checked) -> None:
    locked = lock_of(checked.venv.look())
    (checked.venv.site / "plain" / "__init__.py").write_text("ANSWER = 44\n")

    install(checked, locked)

    document = checked.check(code=1)
    assert document["by"] == "record"
    assert [each["package"] for each in document["findings"]] == ["plain"]


@pytest.mark.parametrize("words", [["--device", "cpu"], ["--smoke-train", "--device", "0"], ["x"]])
def test_a_wrong_command_line_is_usage(unchanged: Checked, words: list[str]) -> None:
    done = unchanged.run(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: snapenv-check" in done.stderr


@pytest.mark.parametrize("content", [None, b"{", b"[]", b'{"schema": 2}', b"\xff"])
def test_without_what_it_compares_with_it_cannot_tell(
    unchanged: Checked, content: bytes | None
) -> None:
    with replaced(unchanged.snapshot / CHECK_FILE, content):
        document = unchanged.check(code=3)

    assert (document["ok"], document["findings"]) == (None, [])
    assert CHECK_FILE in document["summary"]


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00", b"[1]"])
def test_a_damaged_record_costs_only_time(unchanged: Checked, content: bytes | None) -> None:
    with replaced(unchanged.record, content):
        document = unchanged.check(code=0)

    assert (document["ok"], document["by"]) == (True, "files")


def test_without_a_baseline_nothing_is_trained_and_packages_are_compared(
    unchanged: Checked,
) -> None:
    document = unchanged.check("--smoke-train", "--device", "cpu", code=3)

    assert (document["ok"], document["smoke_train"]) == (None, None)
    assert document["packages"] > 0
    assert ": as locked: " in document["summary"]
    assert document["summary"] == wording(
        "snapenv-check: train-yolov8.4.190-base-cu130: as locked: 2 packages; its training cannot be compared: the lock has no losses to compare with: it was captured without any"
    )

    changed = unchanged.check("--smoke-train", code=1, OMP_NUM_THREADS="3")

    assert changed["ok"] is False
    assert changed["summary"] == wording(
        "snapenv-check: train-yolov8.4.190-base-cu130: not as locked: OMP_NUM_THREADS absent became 3; its training cannot be compared: the lock has no losses to compare with: it was captured without any"
    )


@contextmanager
def replaced(file: Path, content: bytes | None) -> Iterator[None]:
    """Put other content into a file for the block, or nothing in its place."""
    kept = file.with_name("kept")
    file.rename(kept)
    try:
        if content is not None:
            file.write_bytes(content)
        yield
    finally:
        kept.replace(file)
