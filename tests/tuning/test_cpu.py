"""The limits of control groups, of files as a kernel has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv_bench import cpu

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    """Return the folder of a group that is in another one."""
    folder = tmp_path / "jobs" / "run"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("outer_limit", "inner_limit", "quota"),
    [
        ("max 100000", "max 100000", None),
        ("max 100000", "150000 100000", 1.5),
        ("200000 100000", "max 100000", 2),
        ("200000 100000", "400000 100000", 2),
    ],
)
def test_the_least_limit_around_a_process_counts(
    tmp_path: Path, inner: Path, outer_limit: str, inner_limit: str, quota: float | None
) -> None:
    (inner.parent / "cpu.max").write_text(outer_limit)
    (inner / "cpu.max").write_text(inner_limit)

    groups = cpu.group_folders("0::/jobs/run\n", tmp_path)

    assert cpu.quota(groups) == quota


def test_the_group_that_limits_the_most_tells_what_it_held_up(tmp_path: Path, inner: Path) -> None:
    (inner.parent / "cpu.max").write_text("200000 100000")
    (inner.parent / "cpu.stat").write_text("usage_usec 5\nnr_periods 40\nnr_throttled 7\n")
    (inner / "cpu.stat").write_text("usage_usec 3\nnr_periods 0\nnr_throttled 0\n")

    groups = cpu.group_folders("0::/jobs/run\n", tmp_path)

    assert cpu.count_periods(groups) == (40, 7)


def test_a_group_of_version_1_is_below_its_controllers(tmp_path: Path) -> None:
    text = "5:memory:/other\n3:cpu,cpuacct:/jobs\n"

    folders = cpu.group_folders(text, tmp_path)

    names = [str(folder.relative_to(tmp_path)) for folder in folders]
    assert names == ["cpu,cpuacct/jobs", "cpu,cpuacct", "cpu/jobs", "cpu"]
