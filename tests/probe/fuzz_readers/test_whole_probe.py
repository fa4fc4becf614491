"""The whole program, on environments full of hostile distributions, and on what is no file."""

from __future__ import annotations

import os
import subprocess
import time
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import pytest

from snapenv.probe.probe import parse_facts
from snapenv.travel.pack import pack
from tests.probe.fuzz_readers.hostile import CONDA, READ, Mutator, write_distribution

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.model.facts import Facts
    from tests.probe.environments import Venv

Odd: TypeAlias = "Callable[[Path], None]"
RUNS = 6 if os.environ.get("CI") else 2
IN_ONE = 1_000 if os.environ.get("CI") else 250  # hostile distributions in one environment
TIMEOUT_S = 300  # what is not linear takes hours
LINES = 1_000_000 if os.environ.get("CI") else 100_000


def look(venv: Venv, program: Path) -> Facts:
    """Run the probe as a target does, for a limited time."""
    program.write_bytes(pack("snapenv_probe"))
    done = subprocess.run(
        [venv.python, "-B", program], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return parse_facts(done.stdout)


@pytest.mark.parametrize("seed", range(RUNS))
def test_an_environment_full_of_hostile_distributions_is_answered(
    venv: Venv, tmp_path: Path, seed: int
) -> None:
    mutator = Mutator(Random(seed))
    (venv.folder / CONDA).mkdir()
    for number in range(IN_ONE):
        write_distribution(venv.site, number, {kind: mutator.content(kind) for kind in READ[1:]})
        nameless = {"METADATA": mutator.content("METADATA")}
        write_distribution(venv.site, IN_ONE + number, nameless)
        (venv.folder / CONDA / f"{number}.json").write_bytes(mutator.content(CONDA))

    facts = look(venv, tmp_path / "probe.pyz")

    names = {found.name for found in facts.environment.distributions}
    assert names >= {f"plain-{number}" for number in range(IN_ONE)}


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    (path / "inner").mkdir(parents=True)


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def make_link_without_end(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_link_to_nothing(path: Path) -> None:
    path.symlink_to("/nonexistent/nothing")


def make_unreadable(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # a plain file, of which even root cannot read the start


def make_secret(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)


ODD = (
    make_pipe,
    make_folder,
    make_link_to_itself,
    make_link_without_end,
    make_link_to_nothing,
    make_unreadable,
    make_secret,
)


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__[len("make_") :])
def test_what_is_no_readable_file_is_read_as_nothing(venv: Venv, tmp_path: Path, make: Odd) -> None:
    (venv.folder / CONDA).mkdir()
    make(venv.folder / CONDA / "odd.json")
    for number, name in enumerate((*READ, "INSTALLER", "PKG-INFO", "entry_points.txt")):
        write_distribution(venv.site, number, {"RECORD": b""})
        place = venv.site / f"plain_{number:04}-1.0.dist-info" / name
        place.unlink(missing_ok=True)
        make(place)

    facts = look(venv, tmp_path / "probe.pyz")

    names = {found.name for found in facts.environment.distributions}
    assert names >= {f"plain-{number}" for number in range(1, 7)}


def test_a_record_of_very_many_lines_is_read_in_time(venv: Venv, tmp_path: Path) -> None:
    record = "".join(f"plain/{number},sha256=x,1\n" for number in range(LINES))
    write_distribution(venv.site, 1, {"RECORD": record.encode()})
    before = time.monotonic()

    facts = look(venv, tmp_path / "probe.pyz")

    (found,) = facts.environment.distributions
    assert found.files
    assert len(found.files.missing) == LINES
    assert time.monotonic() - before < TIMEOUT_S


def test_a_record_that_names_files_of_the_kernel_neither_reads_nor_tells_them(
    venv: Venv, tmp_path: Path
) -> None:
    up = "../" * 40
    names = ("/proc/kmsg", "/proc/self/environ", f"{up}proc/kcore", "/dev/zero", f"{up}dev/random")
    record = "".join(f"{name},,\n" for name in names)
    write_distribution(venv.site, 1, {"RECORD": record.encode()})

    (found,) = look(venv, tmp_path / "probe.pyz").environment.distributions

    assert found.files
    assert (found.files.count, found.files.missing) == (0, ())
