"""Every document that is kept is read or refused, and the rules that are watched can be broken."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.errors import LockError
from tests.fuzz.mutate import mutate
from tests.fuzz.target import SECRET, Target, scratch, try_reader, writing_below
from tests.fuzz.targets import SEEDS, TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """What each target did with its seeds, in a process whose every call is watched."""
    scratch_folder = str(tmp_path_factory.mktemp("scratch"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--replay"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": scratch_folder},
        capture_output=True,
        text=True,
        check=False,
    )
    read = defaultdict[str, list[Any]](list)
    for line in done.stdout.splitlines():
        told = json.loads(line)
        read[told["target"]].append(told)
    assert done.stderr == ""
    return read


@pytest.mark.parametrize("name", [target.name for target in TARGETS])
def test_every_seed_is_read_or_refused_and_one_at_least_is_read(
    replayed: Mapping[str, Sequence[Mapping[str, Any]]], name: str
) -> None:
    told = replayed[name]

    assert [one["finding"] for one in told if one["finding"]] == []
    assert any(one["taken"] for one in told)
    assert {one["seed"] for one in told} == {path.name for path in (SEEDS / name).iterdir()}


def test_no_seed_is_of_a_target_that_is_gone() -> None:
    assert {path.name for path in SEEDS.iterdir()} == {target.name for target in TARGETS}


def _connects(_: bytes) -> None:
    import socket

    socket.create_connection(("127.0.0.1", 9))


def _starts(_: bytes) -> None:
    subprocess.run(["true"], check=True)


def _writes(content: bytes) -> None:
    Path(content.decode()).write_bytes(b"")


def _links_out(content: bytes) -> None:
    with scratch() as folder:
        (folder / "out").symlink_to(Path(content.decode()).parent)
        (folder / "out" / "x").write_bytes(b"")


def _renames(content: bytes) -> None:
    with scratch() as folder:
        (folder / "x").write_bytes(b"")
        (folder / "x").rename(content.decode())


def _tells(_: bytes) -> None:
    raise LockError(f"no login of {SECRET}", hint="Log in.")


def _never_ends(_: bytes) -> None:
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass


def _is_interrupted(_: bytes) -> None:
    """Take long at the first try, as where others have the processors."""
    _SLOW.append(b"")
    until = time.process_time() + (0.08 if len(_SLOW) == 1 else 0)
    while time.process_time() < until:
        pass


_SLOW: list[bytes] = []


def _waits(_: bytes) -> None:
    """Wait for longer than a reader may compute."""
    time.sleep(0.1)


def _is_endless(_: bytes) -> None:
    while True:
        pass


def _breaks(_: bytes) -> None:
    raise KeyError("x")


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (_breaks, "KeyError: 'x'"),
        (_connects, "BrokenRuleError: socket."),
        (_is_endless, "BrokenRuleError: had a processor for 1 s"),
        (_links_out, "BrokenRuleError: open "),
        (_never_ends, "took "),
        (_renames, "BrokenRuleError: os.rename "),
        (_starts, "BrokenRuleError: subprocess.Popen "),
        (_tells, "LockError: tells the secret"),
        (_writes, "BrokenRuleError: open "),
    ],
)
def test_what_no_reader_may_do_is_a_finding(
    tmp_path: Path, read: Callable[[bytes], None], what: str
) -> None:
    (tmp_path / "scratch").mkdir()
    target = Target(name="odd", read=read, form="text", cpu_s=0.05)

    with writing_below(str(tmp_path / "scratch")):
        finding, taken = try_reader(target, str(tmp_path / "outside").encode())

    assert finding
    assert finding.what.startswith(what)
    assert not (tmp_path / "outside").exists()
    assert taken == (read is _never_ends)


def test_what_a_reader_refuses_and_what_it_reads_are_none() -> None:
    def refuse(content: bytes) -> None:
        if content:
            raise LockError("the lock is damaged", hint="Get it again.")

    target = Target(name="odd", read=refuse, form="text")

    assert try_reader(target, b"x") == (None, False)
    assert try_reader(target, b"") == (None, True)


@pytest.mark.parametrize("read", [_is_interrupted, _waits])
def test_what_is_slow_because_the_machine_is_busy_is_no_finding(
    read: Callable[[bytes], None],
) -> None:
    assert try_reader(Target(name="odd", read=read, form="text", cpu_s=0.05), b"") == (None, True)


def test_security_counts_all_readers() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")

    assert f"fuzzed, {len(TARGETS)} readers in all" in text


def test_documents_of_every_form_are_changed_within_their_form() -> None:
    changed = 0
    for target in TARGETS:
        seed = max((SEEDS / target.name).iterdir(), key=lambda path: path.stat().st_size)
        content = seed.read_bytes()
        for number in range(3):
            changed += mutate(target.form, content, random.Random(number)) != content

    assert changed > 2 * len(TARGETS)
