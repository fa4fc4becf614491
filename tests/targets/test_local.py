from __future__ import annotations

import io
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import InterpreterError, SnapshotDamagedError, WriteError
from snapenv.model.launch import Gpu
from snapenv.ports import Completed, Target
from snapenv.targets.local import LocalTarget, list_gpus
from tests.steady import steady
from tests.targets.processes import all_end
from tests.targets.speaking import speaker

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTE = 1 << 20


def python(code: str) -> tuple[str, str, str]:
    return (sys.executable, "-c", code)


@pytest.fixture
def local() -> Target:
    return LocalTarget(sys.executable)


def test_a_program_gives_its_exit_code_and_both_streams(local: Target) -> None:
    done = local.run(python("import sys; print('out'); print('err', file=sys.stderr); exit(7)"))

    assert done == Completed(exit_code=7, stdout="out\n", stderr="err\n")


def test_a_program_finds_its_files_alone_in_its_folder(local: Target) -> None:
    files = {"a.txt": b"one", "below/b.bin": b"\x00\xff"}
    code = (
        "import pathlib\n"
        "for path in sorted(pathlib.Path().rglob('*')):\n"
        "    print(path, path.read_bytes() if path.is_file() else None)"
    )

    done = local.run(python(code), files=files)

    assert done.stdout == "a.txt b'one'\nbelow None\nbelow/b.bin b'\\x00\\xff'\n"


def test_a_program_may_change_a_file_of_ours_and_ours_stays_as_it_was(
    local: Target, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine" * MEBIBYTE)
    mine.chmod(0o400)
    code = "f = open('below/x', 'r+b'); print(len(f.read())); f.seek(0); f.write(b'changed')"

    done = local.run(python(code), files={"below/x": mine})

    assert done.stdout == f"{4 * MEBIBYTE}\n", done.stderr
    assert mine.read_bytes() == b"mine" * MEBIBYTE


def test_a_file_of_ours_that_is_gone_is_named_and_nothing_runs(
    local: Target, tmp_path: Path
) -> None:
    with pytest.raises(SnapshotDamagedError) as caught:
        local.run(python(f"open({str(tmp_path / 'ran')!r}, 'w')"), files={"x": tmp_path / "gone"})

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP/gone cannot be read: No such file or directory"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_place_without_room_for_the_files_is_named(
    local: Target,
) -> None:
    with pytest.raises(WriteError, match="cannot write .*n: File name too long"):
        local.run(python(""), files={"n" * 300: b""})


def test_the_folder_is_gone_afterwards_with_all_that_was_written(local: Target) -> None:
    code = "import os; os.makedirs('new/below'); open('new/f', 'w').close(); print(os.getcwd())"

    done = local.run(python(code), files={"a.txt": b""})

    assert done.exit_code == 0
    assert Path(done.stdout.strip()).name.startswith("snapenv-")
    assert not Path(done.stdout.strip()).exists()


def test_two_runs_share_no_folder(local: Target) -> None:
    first, second = (local.run(python("import os; print(os.getcwd())")) for _ in range(2))

    assert first.stdout != second.stdout


def test_variables_are_added_to_what_is_set_here(
    local: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAPENV_PROGRAM_KEPT", "kept")
    monkeypatch.setenv("SNAPENV_PROGRAM_CHANGED", "before")
    code = "import os; print(*(v for n, v in sorted(os.environ.items()) if 'SNAPENV_PROGRAM' in n))"

    done = local.run(
        python(code), environment={"SNAPENV_PROGRAM_CHANGED": "after", "SNAPENV_PROGRAM_NEW": "new"}
    )

    assert done.stdout == "after kept new\n"


def test_what_belongs_to_the_python_of_snapenv_does_not_mislead_another(
    local: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")

    done = local.run(python("import os; print(os.environ.get('PYTHONHOME'))"))

    assert (done.exit_code, done.stdout) == (0, "None\n")


def test_each_line_of_stderr_is_heard_while_the_program_runs(local: Target, tmp_path: Path) -> None:
    words, heard, hear = speaker(tmp_path)

    done = local.run(words, on_line=hear)

    assert heard == ["  one", "  two", "  three"]
    assert done.exit_code == 0
    assert done.stderr == "  one\n  two  \n  three\n"


def test_a_program_waits_for_no_input(local: Target) -> None:
    done = local.run(python("import sys; print(repr(sys.stdin.read()))"))

    assert done.stdout == "''\n"


def test_what_is_no_text_is_replaced_and_no_failure(local: Target) -> None:
    code = "import os; os.write(1, b'a\\xff\\n'); os.write(2, b'b\\xfe\\n')"

    assert local.run(python(code)) == Completed(exit_code=0, stdout="a�\n", stderr="b�\n")


def test_much_on_both_streams_stops_nothing(local: Target) -> None:
    code = (
        "import sys\n"
        f"for _ in range(8):\n"
        f"    sys.stdout.write('o' * {MEBIBYTE} + chr(10)); sys.stdout.flush()\n"
        f"    sys.stderr.write('e' * {MEBIBYTE} + chr(10)); sys.stderr.flush()"
    )

    done = local.run(python(code))

    assert (len(done.stdout), len(done.stderr)) == (8 * MEBIBYTE + 8, 8 * MEBIBYTE + 8)


def test_raw_stdout_is_the_very_bytes(local: Target) -> None:
    raw = io.BytesIO()
    code = f"import os, sys; sys.stdout.buffer.write(bytes(range(256)) * {MEBIBYTE >> 8}); exit(3)"

    done = local.run(python(code), stdout=raw)

    assert done == Completed(exit_code=3, stdout="", stderr="")
    assert raw.getvalue() == bytes(range(256)) * (MEBIBYTE >> 8)


def test_raw_stdout_takes_no_memory_to_pass_through(local: Target, tmp_path: Path) -> None:
    code = f"import sys\nfor _ in range(64): sys.stdout.buffer.write(bytes({MEBIBYTE}))"

    tracemalloc.start()
    with (tmp_path / "raw").open("wb") as raw:
        local.run(python(code), stdout=raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (tmp_path / "raw").stat().st_size == 64 * MEBIBYTE
    assert peak < 4 * MEBIBYTE


def test_a_disk_that_is_full_ends_the_program_at_once(local: Target) -> None:
    begun = time.monotonic()

    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(OSError, match="No space"),
    ):
        local.run(python("import time; print(1, flush=True); time.sleep(600)"), stdout=full)

    assert time.monotonic() - begun < 300


def test_a_program_that_a_signal_ended_is_no_success(local: Target) -> None:
    done = local.run(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))

    assert done.exit_code == -9


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Permission denied"),
        (lambda path: path.touch(mode=0o600), "Permission denied"),
        (lambda path: (path.write_bytes(b"\0\1\2"), path.chmod(0o755)), "Exec format error"),
    ],
    ids=["missing", "folder", "not executable", "no program"],
)
def test_what_cannot_be_run_is_named(
    local: Target, tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / "python")

    with pytest.raises(InterpreterError) as caught:
        local.run((str(tmp_path / "python"), "-c", ""))

    assert steady(caught.value.message, said=said) == wording("cannot run TMP/python: SAID")
    assert "--python" in caught.value.hint


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_ends_the_program_and_what_it_started_at_once(
    local: Target, tmp_path: Path, error: type[BaseException]
) -> None:
    child = f"import time; time.sleep(600); open({str(tmp_path / 'lived')!r}, 'w')"
    code = (
        "import subprocess, sys, os\n"
        f"child = subprocess.Popen((sys.executable, '-c', {child!r}))\n"
        "print(os.getpid(), child.pid, os.getcwd(), file=sys.stderr, flush=True)\n"
        "child.wait()"
    )
    heard: list[str] = []

    def interrupt(line: str) -> None:
        heard.extend(line.split())
        raise error

    begun = time.monotonic()
    with pytest.raises(error):
        local.run(python(code), on_line=interrupt)

    assert time.monotonic() - begun < 300
    assert not Path(heard[2]).exists()
    assert all_end(*map(int, heard[:2]))


def test_an_interruption_amid_much_output_is_quiet(
    local: Target, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys\nprint('begin', file=sys.stderr, flush=True)\nwhile True: print('much ' * 100)"
    )

    def interrupt(_: str) -> None:
        time.sleep(0.2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local.run(python(code), on_line=interrupt)

    assert capfd.readouterr().err == ""


def test_gpus_are_those_of_the_drivers_files(tmp_path: Path) -> None:
    for place, text in (
        ("0000:1b:00.0", "Model: \t\t NVIDIA L4\nIRQ:   17\nGPU UUID: \t GPU-b\n"),
        ("0000:0a:00.0", "Model: \t\t NVIDIA H200\nIRQ:   16\nGPU UUID: \t GPU-a\n"),
        ("0000:2c:00.0", "IRQ:   16\nGPU UUID: \t GPU-c\n"),
        ("0000:3d:00.0", "Model: \t\t Unknown\n"),
    ):
        (tmp_path / "gpus" / place).mkdir(parents=True)
        (tmp_path / "gpus" / place / "information").write_text(text)

    assert list_gpus(tmp_path) == (
        Gpu(number=0, uuid="GPU-a", name="NVIDIA H200"),
        Gpu(number=1, uuid="GPU-b", name="NVIDIA L4"),
        Gpu(number=2, uuid="GPU-c"),
    )
    assert list_gpus(tmp_path / "nowhere") == ()
