"""Which tests stay on one worker, which begin first, and that none is outside its group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot as wording

from tests.grouping import NEWER_ENGINES, group_of, missing_mark, place_in_line, short_id

MODULE = "tests/test_grouping.py"


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="not on a worker of xdist")
def test_a_module_is_a_group_of_tests_that_one_worker_runs(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith(f"@{MODULE}")


@pytest.mark.parametrize(
    ("marks", "fixtures", "params", "group"),
    [
        ({"parametrize"}, (), ("docker28",), MODULE),
        ({"browser"}, ("browser",), (), MODULE),
        ({"docker", "browser"}, ("engine_host", "browser"), (), "docker"),
        ({"docker"}, ("registry",), ("docker20",), "docker"),
        ({"docker"}, ("registry",), ("a", "docker28"), NEWER_ENGINES),
        ({"docker"}, ("registry",), ("docker28c",), NEWER_ENGINES),
        ({"docker"}, ("engine_host",), ("docker28",), "docker"),
        ({"docker"}, ("engine_host", "newer_host"), (), NEWER_ENGINES),
        ({"docker"}, ("engine_host", "newer_host"), ("docker28",), NEWER_ENGINES),
        ({"docker"}, ("engine_host", "newer_host"), ("docker20",), "docker"),
        ({"exact"}, ("exact_python",), (), "exact"),
        ({"ssh"}, ("ssh",), (), "ssh"),
    ],
)
def test_tests_that_share_a_part_are_a_group(
    marks: set[str], fixtures: tuple[str, ...], params: tuple[str, ...], group: str
) -> None:
    assert group_of(marks=marks, fixtures=fixtures, params=params, module=MODULE) == group


@pytest.mark.parametrize(
    ("marks", "fixtures", "missing"),
    [
        ((), ("tmp_path",), None),
        ((), ("tmp_path", "engine_host"), "docker"),
        ((), ("base_image",), "docker"),
        ((), ("newer_host",), "docker"),
        (("docker",), ("torch_image", "browser"), "browser"),
        (("docker",), ("exact_python",), "exact"),
        (("exact",), ("ssh",), "ssh"),
        (("docker", "browser"), ("browser", "torch_image"), None),
    ],
)
def test_a_part_that_tests_share_needs_its_mark(
    marks: tuple[str, ...], fixtures: tuple[str, ...], missing: str | None
) -> None:
    assert missing_mark(marks=marks, fixtures=fixtures) == missing


def test_the_longest_groups_are_begun_first() -> None:
    groups = ["tests/lock/a.py", "tests/probe/a.py", "ssh", "tests/zoo/a.py", NEWER_ENGINES]

    in_line = sorted([*groups, "exact", "docker"], key=place_in_line)

    assert in_line[:5] == ["docker", "exact", NEWER_ENGINES, "ssh", "tests/zoo/a.py"]
    assert in_line[5:] == ["tests/probe/a.py", "tests/lock/a.py"]


@pytest.mark.parametrize("value", ["x" * 120, 7, None])
def test_what_is_short_is_called_as_pytest_does(value: object) -> None:
    assert short_id(value) is None


def test_bytes_are_called_by_their_size_as_they_may_hold_the_time_of_collection() -> None:
    assert short_id(b"PK\x03\x04\xc1;}]") == short_id(b"PK\x03\x04\xc2;}]") == "8 bytes"


def test_a_long_text_has_a_short_name() -> None:
    assert short_id("[" * 10_000_000) == f"{'[' * 40!r} and 9999960 more"


UNMARKED = """
def test_the_engine(engine_host): ...
"""


def collect(folder: Path, *words: str) -> str:
    """Collect a test that uses the engine and is not marked; give what pytest says of it."""
    file = folder / "test_unmarked.py"
    file.write_text(UNMARKED)
    plugins = ("-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(Path.cwd()))
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "--collect-only", *plugins, *words, str(file)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    return done.stderr


def test_a_test_without_its_mark_is_no_test(tmp_path: Path) -> None:
    assert collect(tmp_path).replace(str(tmp_path), "TMP") == wording("""\
ERROR: ::test_the_engine lacks the mark docker

""")


def test_groups_are_not_torn_apart_between_workers(tmp_path: Path) -> None:
    assert "add --dist loadgroup" in collect(tmp_path, "-n", "2")
