"""Programs of another machine: a real ssh, and a real sshd on loopback."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snapenv.errors import (
    InterpreterError,
    SnapshotDamagedError,
    SshError,
    WriteError,
)
from snapenv.ports import Completed, Target
from snapenv.targets.ssh import SshTarget
from tests.engines.ssh import BARE, GREETING, HOST, REFUSING, SHELLS, STRANGER
from tests.sampling import is_full
from tests.targets.processes import all_end
from tests.targets.speaking import speaker

BLOCK = "bytes(range(256)) * 4096"  # 1 MiB
NOBODY = "nobody.invalid"
ODD = "a'b\"c\\n\\\\\n\n\tü $HOME `id` $(id) !x %s ~ *;&|<> # \\"

pytestmark = [pytest.mark.ssh, pytest.mark.usefixtures("ssh")]


def on(host: str) -> SshTarget:
    return SshTarget(host, sys.executable)


def python(code: str) -> tuple[str, str, str]:
    return (sys.executable, "-c", code)


@pytest.fixture
def there() -> Target:
    return on(HOST)


@pytest.mark.parametrize("host", [HOST, *SHELLS, GREETING, BARE])
def test_a_program_runs_the_same_below_every_login_shell(host: str) -> None:
    heard: list[str] = []
    code = (
        "import pathlib, os, sys\n"
        "for path in sorted(pathlib.Path().rglob('*')):\n"
        "    print(path, path.read_bytes() if path.is_file() else None)\n"
        "print(sys.argv[1:] == [os.environ['ODD']], repr(sys.stdin.read()))\n"
        "print('one', file=sys.stderr)\n"
        "os.write(2, b'two')\n"
        "sys.exit(7)"
    )

    done = on(host).run(
        (*python(code), ODD),
        files={"a.txt": b"one", "below/b.bin": b"\x00\xff"},
        environment={"ODD": ODD},
        on_line=heard.append,
    )

    assert done == Completed(
        exit_code=7,
        stdout="a.txt b'one'\nbelow None\nbelow/b.bin b'\\x00\\xff'\nTrue ''\n",
        stderr="one\ntwo",
    )
    assert heard == ["one", "two"]


@pytest.mark.parametrize("host", [HOST, BARE])
def test_a_file_of_ours_is_sent_a_piece_at_a_time(host: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    (tmp_path / "mine").write_bytes(content)
    code = "import hashlib; print(hashlib.sha256(open('below/x', 'rb').read()).hexdigest())"

    done = on(host).run(python(code), files={"a": b"", "below/x": tmp_path / "mine"})

    assert done.stdout == f"{hashlib.sha256(content).hexdigest()}\n", done.stderr


def test_a_file_of_ours_that_is_gone_ends_the_connection(there: Target, tmp_path: Path) -> None:
    with pytest.raises(SnapshotDamagedError, match="gone cannot be read: No such file"):
        there.run(python(""), files={"x": tmp_path / "gone"})


def test_a_value_that_is_no_text_arrives_as_it_is(there: Target) -> None:
    value = b"\xff\xfe \x80".decode(errors="surrogateescape")

    done = there.run(python("import os; print(os.environb[b'ODD'])"), environment={"ODD": value})

    assert done.stdout == "b'\\xff\\xfe \\x80'\n"


def test_variables_are_on_no_command_line(there: Target) -> None:
    code = (
        "import os, pathlib\n"
        "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    try: print(path.read_bytes())\n"
        "    except OSError: pass\n"
    )

    done = there.run(python(code), environment={"TOLD": "val" + "ue-of-ours"})

    assert sys.executable in done.stdout
    assert "value-of-ours" not in done.stdout


def test_a_program_is_given_its_three_streams_and_no_other(there: Target) -> None:
    done = there.run(python("import os; print(sorted(os.listdir('/proc/self/fd')))"))

    assert done.stdout == "['0', '1', '2', '3']\n"  # the last is the look itself


def test_programs_that_end_at_once_do_not_stop_the_shell_over_there(there: Target) -> None:
    for _ in range(20 if is_full() else 5):
        assert there.run(("false",)) == Completed(exit_code=1, stdout="", stderr="")


def test_the_folder_is_the_users_alone_and_gone_afterwards(there: Target) -> None:
    code = (
        "import os; os.makedirs('new/below'); open('new/f', 'w').close()\n"
        "print(os.getcwd(), oct(os.stat('..').st_mode & 0o777))"
    )

    done = there.run(python(code), files={"a.txt": b""})

    folder, mode = done.stdout.split()
    assert mode == "0o700"
    assert Path(folder).parent.name.startswith("snapenv-")
    assert not Path(folder).parent.exists()


def test_much_raw_stdout_is_the_very_bytes(there: Target, tmp_path: Path) -> None:
    code = f"import sys\nfor _ in range(64): sys.stdout.buffer.write({BLOCK})"

    with (tmp_path / "raw").open("wb") as raw:
        done = there.run(python(code), stdout=raw)

    assert done == Completed(exit_code=0, stdout="", stderr="")
    assert digest((tmp_path / "raw").read_bytes()) == digest(eval(BLOCK) * 64)


def test_raw_stdout_begins_below_a_greeting() -> None:
    raw = io.BytesIO()

    on(GREETING).run(python("import os; os.write(1, bytes(range(256)))"), stdout=raw)

    assert raw.getvalue() == bytes(range(256))


def test_each_line_of_stderr_is_heard_while_the_program_runs(there: Target, tmp_path: Path) -> None:
    words, heard, hear = speaker(tmp_path)

    done = there.run(words, on_line=hear)

    assert heard == ["  one", "  two", "  three"]
    assert done.exit_code == 0


def test_an_exit_code_like_that_of_ssh_is_the_programs_own(there: Target) -> None:
    assert there.run(python("exit(255)")).exit_code == 255


@pytest.mark.parametrize(
    ("program", "said"),
    [("/no/python", "not found"), ("no-python", "not found"), ("/etc/passwd", "Permission denied")],
)
def test_a_program_that_is_not_there_is_named(there: Target, program: str, said: str) -> None:
    with pytest.raises(InterpreterError, match=f"cannot run {program} on {HOST}: .*{said}") as it:
        there.run((program, "-V"))

    assert "--python" in it.value.hint


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (NOBODY, "nobody.invalid cannot be reached: .*resolve hostname"),
        (STRANGER, "stranger cannot be reached: .*Permission denied"),
        (REFUSING, "refusing runs no programs over ssh: This account is not available."),
    ],
)
def test_a_host_that_cannot_be_used_is_told_in_the_words_of_ssh(host: str, said: str) -> None:
    with pytest.raises(SshError, match=said) as caught:
        on(host).run((sys.executable, "-V"))

    assert f"ssh -o BatchMode=yes {host} true" in caught.value.hint


def test_without_an_ssh_it_is_said(monkeypatch: pytest.MonkeyPatch, there: Target) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(SshError, match="cannot run ssh: No such file"):
        there.run((sys.executable, "-V"))


def test_a_machine_that_cannot_hold_the_files_is_named(there: Target) -> None:
    with pytest.raises(WriteError, match=f"{HOST} cannot take the files of a run: .*a/b: "):
        there.run((sys.executable, "-V"), files={"a": b"", "a/b": b""})


def test_a_connection_that_breaks_is_not_the_programs_own_end(there: Target) -> None:
    code = (
        "import os, sys, time; print(os.environ['SSH_CONNECTION'], file=sys.stderr, flush=True)\n"
        "time.sleep(600)"
    )

    with pytest.raises(SshError, match=f"the connection to {HOST} broke: .*closed"):
        there.run(python(code), on_line=break_connection)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("host", [HOST, BARE])
def test_an_interruption_ends_the_program_over_there_with_all_that_it_started(
    host: str, error: type[BaseException], *, deaf: bool
) -> None:
    child = "import time; time.sleep(600)"
    code = (
        "import os, signal, subprocess, sys\n"
        f"if {deaf}: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen((sys.executable, '-c', {child!r}))\n"
        "print(os.getpid(), child.pid, os.getcwd(), file=sys.stderr, flush=True)\n"
        "child.wait()\n"
        "while True: signal.pause()"
    )
    heard: list[str] = []

    def interrupt(line: str) -> None:
        heard.extend(line.split())
        raise error

    begun = time.monotonic()
    with pytest.raises(error):
        on(host).run(python(code), on_line=interrupt)

    assert time.monotonic() - begun < 300
    assert all_end(*map(int, heard[:2]))
    assert not Path(heard[2]).parent.exists()


def test_an_interruption_ends_the_program_where_it_has_no_process_group_of_its_own() -> None:
    code = (
        "import os, sys, time; print(os.getpid(), os.getcwd(), file=sys.stderr, flush=True)\n"
        "time.sleep(600)"
    )
    heard: list[str] = []

    def interrupt(line: str) -> None:
        heard.extend(line.split())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on(GREETING).run(python(code), on_line=interrupt)

    assert all_end(int(heard[0]))
    assert not Path(heard[1]).parent.exists()


def test_an_interruption_amid_much_output_ends_it_too(there: Target) -> None:
    code = (
        "import os, sys\nprint(os.getpid(), file=sys.stderr, flush=True)\n"
        "while True: print('much ' * 100)"
    )
    heard: list[int] = []

    def interrupt(line: str) -> None:
        heard.append(int(line))
        time.sleep(0.2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.run(python(code), on_line=interrupt)

    assert all_end(heard[0])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def break_connection(line: str) -> None:
    """End the sshd that serves the connection, by its ports."""
    client_port, server_port = line.split()[1], line.split()[3]
    shown = subprocess.run(
        ["ss", "--no-header", "--tcp", "--processes", "--numeric", "state", "established"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for each in shown.splitlines():
        if re.search(rf":{server_port}\s.*:{client_port}\s", each):
            for pid in re.findall(r"pid=(\d+)", each):
                os.kill(int(pid), 9)
