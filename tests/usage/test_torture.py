"""A ledger among others that write, are killed, have no room or may not write."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import LedgerError, WriteError
from snapenv.usage.ledger import open_ledger
from tests.small_disk import mounted
from tests.steady import steady
from tests.usage.values import KEY, sample_run_gpu, sample_usage_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.usage.ledger import Ledger

# Writes runs one after another, and tells the key of each that was written.
WRITER = """
import sys
from pathlib import Path
from snapenv.usage.ledger import open_ledger
from tests.usage.values import sample_run_gpu, sample_usage_run

path, name = Path(sys.argv[1]), sys.argv[2]
with open_ledger(path) as ledger:
    for number in range(100_000):
        key = f"{name}-{number}"
        ledger.put_run(sample_usage_run(key=key))
        ledger.put_run_gpu(sample_run_gpu(key=key))
        print(key, flush=True)
"""
OPENER = """
import sys
from pathlib import Path
from snapenv.usage.ledger import open_ledger
from tests.usage.values import sample_usage_run

with open_ledger(Path(sys.argv[1])) as ledger:
    ledger.put_run(sample_usage_run(key=sys.argv[2]))
"""
READER = """
import os
import sys
from pathlib import Path
from snapenv.usage.ledger import open_ledger

if len(sys.argv) > 3:  # once imported: that user may not be allowed to read where Python lies
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[3]))
with open_ledger(Path(sys.argv[1]), read_only=True) as ledger:
    assert ledger.run(sys.argv[2])
"""


@pytest.mark.parametrize(
    "kills", [3, pytest.param(100, marks=pytest.mark.full)], ids=lambda kills: f"{kills}-kills"
)
def test_a_writer_that_is_killed_loses_nothing_that_it_has_told_of(
    tmp_path: Path, kills: int
) -> None:
    path = tmp_path / "usage.sqlite3"
    moments = random.Random(17)
    (tmp_path / "told").mkdir()
    survivor = start_writer(path, "survivor")

    for number in range(kills):
        writer = start_writer(path, f"killed-{number}")
        time.sleep(moments.random() / 5)
        end(writer)
    end(survivor)

    # Without a line that is cut off
    told = [
        key for file in (tmp_path / "told").iterdir() for key in file.read_text().split("\n")[:-1]
    ]

    with open_ledger(path) as ledger:
        held = {run.key for run in ledger.runs(0, 2**62)}
        assert set(told) - held == set()
        assert len(held) - len(told) <= kills + 1  # each may have written one that it did not tell
    assert {key.rpartition("-")[0] for key in told} == {
        "survivor",
        *(f"killed-{number}" for number in range(kills)),
    }
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]


def test_many_processes_may_make_the_ledger_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state" / "usage.sqlite3"
    keys = [f"{number}" for number in range(6)]

    started = [start(OPENER, path, key) for key in keys]

    assert [ended(process) for process in started] == [0] * len(keys)
    with open_ledger(path, read_only=True) as ledger:
        assert sorted(run.key for run in ledger.open_runs() + ledger.runs(0, 2**62)) == keys
        assert len({line.id for line in ledger.outbox(100)}) == len(keys)


def test_changes_of_many_at_once_are_all_made(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite3"
    with open_ledger(path) as ledger:
        ledger.put_run(sample_usage_run(max_cost=0))

    def count(_: int) -> None:
        with open_ledger(path) as own:
            for _ in range(25):
                own.change_run(KEY, exit_code=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))

    with open_ledger(path) as ledger:
        run = ledger.run(KEY)
        assert run is not None
        assert run.rev == 101


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "2m")


def test_a_full_disk_stops_the_writing_until_there_is_room(small_disk: Path) -> None:
    path = small_disk / "usage.sqlite3"
    written: list[str] = []
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    with open_ledger(path) as ledger:
        with pytest.raises(WriteError) as caught:
            fill(ledger, written)

        assert steady(caught.value) == wording(
            "the ledger of usage cannot be written: TMP/disk/usage.sqlite3: database or disk is full"
        )
        with pytest.raises(WriteError):
            ledger.change_run("0", exit_code=9)
        assert len(ledger.runs(0, 2**62)) == len(written) > 10
        ballast.unlink()

        ledger.put_run_gpu(sample_run_gpu(key="0"))

        assert ledger.change_run("0", exit_code=9).rev == 2
        assert ledger.run_gpus_of("0") == (sample_run_gpu(key="0"),)
        assert len(ledger.runs(0, 2**62)) == len(written)


def test_a_disk_without_room_for_a_ledger_is_named(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(2 * 1024 * 1024))

    with pytest.raises(WriteError, match=str(small_disk / "usage.sqlite3")):
        open_ledger(small_disk / "usage.sqlite3")


def test_a_ledger_on_a_disk_that_cannot_be_written_is_read(small_disk: Path) -> None:
    path = small_disk / "usage.sqlite3"
    with open_ledger(path) as ledger:
        ledger.put_run(sample_usage_run())
    remount(small_disk, "ro")

    with open_ledger(path, read_only=True) as ledger:
        assert ledger.run(KEY) == sample_usage_run()
    with pytest.raises(WriteError, match=r"cannot be written: .*usage\.sqlite3"):
        open_ledger(path)


def test_what_is_in_the_log_of_a_disk_that_cannot_be_written_is_not_passed_over(
    small_disk: Path, tmp_path: Path
) -> None:
    path = small_disk / "usage.sqlite3"
    with open_ledger(tmp_path / "usage.sqlite3") as ledger:
        ledger.put_run(sample_usage_run())
        for suffix in ("", "-wal"):  # as a machine leaves them that lost its power
            (small_disk / f"usage.sqlite3{suffix}").write_bytes(
                (tmp_path / f"usage.sqlite3{suffix}").read_bytes()
            )
    remount(small_disk, "ro")

    with pytest.raises(LedgerError, match="was not closed"):
        open_ledger(path, read_only=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_a_ledger_that_is_in_use_and_one_that_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite3"
    open_ledger(path).close()
    path.chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o011)

    with open_ledger(path) as ledger:
        ledger.put_run(sample_usage_run())
        in_use = ended(start(READER, path, KEY, "65534"))

    assert (in_use, ended(start(READER, path, KEY, "65534"))) == (0, 0)


def fill(ledger: Ledger, written: list[str]) -> None:
    for number in range(100_000):
        ledger.put_run(sample_usage_run(key=f"{number}"))
        written.append(f"{number}")


def remount(disk: Path, how: str) -> None:
    subprocess.run(("mount", "-o", f"remount,{how}", disk), check=True)


def start(program: str, path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-c", program, path, *words), stdout=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=300)
    return process.returncode


def start_writer(path: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a writer, which tells of its runs in a file of its name, and wait for its first."""
    told = path.parent / "told" / name
    with told.open("wb") as file:
        command = (sys.executable, "-c", WRITER, path, name)
        writer = subprocess.Popen(command, stdout=file)
    while told.stat().st_size == 0:
        time.sleep(0.01)
        assert writer.poll() is None
    return writer


def end(writer: subprocess.Popen[bytes]) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
