"""In every locale commands print without a failure, and write the same bytes.

Locales are made of the system's own sources, in a folder that LOCPATH names.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fire.cases import IMAGE, VENV
from tests.fire.making import furnished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fire.room import Room

pytestmark = pytest.mark.skipif(
    not shutil.which("localedef") or not Path("/usr/share/i18n/locales").is_dir(),
    reason="there is nothing to make locales of: apt-get install locales",
)

_LIMIT_S = 120
_OF_LETTERS = ("LANG", "LANGUAGE", "PYTHONCOERCECLOCALE", "PYTHONIOENCODING", "PYTHONUTF8")
UNICODE = "C.UTF-8"
# Reads every help in one process; what a command prints goes to stdout.
HELPS = """
import click
from snapenv.cli.main import cli, main
def each(command, words):
    yield words
    context = click.Context(command)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from each(command.get_command(context, name), (*words, name))
for words in each(cli, ()):
    code = main([*words, "--help"])
    assert code == 0, (words, code)
"""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a process is told what letters are."""

    name: str
    source: str = ""  # of the locale, and its letters; empty where every machine has it
    letters: str = "UTF-8"
    variables: Mapping[str, str] = field(default_factory=dict)
    terminal: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables that say so, and no others that would."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not (name.startswith("LC_") or name in _OF_LETTERS)
        }
        said = {} if self.name == "unset" else {"LC_ALL": self.name}
        return {**kept, **said, **self.variables}

    @property
    def is_unicode(self) -> bool:
        """Whether Python writes UTF-8."""
        return self.letters == "UTF-8" or self.variables.get("PYTHONUTF8") == "1"


SETTINGS = (
    Setting(name="C"),
    Setting(name="POSIX", variables={"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    Setting(name="unset"),
    Setting(name="nowhere_XX.UTF-8"),
    Setting(name="tr_TR.UTF-8", source="tr_TR"),  # whose small I has no dot
    Setting(name="tr_TR.ISO-8859-9", source="tr_TR", letters="ISO-8859-9"),
    Setting(name="de_DE.UTF-8", source="de_DE"),  # whose numbers have a comma
    Setting(name="de_DE.ISO-8859-1", source="de_DE", letters="ISO-8859-1"),
    Setting(name="en_US.ISO-8859-1", source="en_US", letters="ISO-8859-1"),
    Setting(name="ja_JP.EUC-JP", source="ja_JP", letters="EUC-JP"),
    Setting(name="zh_CN.GB18030", source="zh_CN", letters="GB18030"),
    Setting(name="ar_EG.UTF-8", source="ar_EG"),
    Setting(name="fa_IR.UTF-8", source="fa_IR"),  # with digits of its own
    Setting(name="hi_IN.UTF-8", source="hi_IN"),
    Setting(name="th_TH.TIS-620", source="th_TH", letters="TIS-620"),  # with years of its own
    Setting(name="de_DE.UTF-8", source="de_DE", terminal=True),
    Setting(name="C", variables={"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, terminal=True),
    Setting(
        name="en_US.ISO-8859-1", source="en_US", letters="ISO-8859-1", variables={"PYTHONUTF8": "1"}
    ),
)
SAMPLE = (SETTINGS[1], SETTINGS[5])
_PRINT_BYTES = "import sys; sys.stdout.buffer.write(bytes((0xC3, 0xA4, 10)))"  # whatever the locale
_ONCE = {"run", "export", "import", "capture", "render", "restore"}  # what they make is there then


def _parametrized(sample: Sequence[Setting]) -> list[object]:
    return [
        pytest.param(
            one,
            id=f"{number}-{one.name}",
            marks=() if one in sample else pytest.mark.full,
        )
        for number, one in enumerate(SETTINGS)
    ]


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the locales are made, each when it is needed."""
    return tmp_path_factory.mktemp("locales")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with furnished(tmp_path_factory.mktemp("locales-room")) as made:
        odd = {"ODD_NÄME": "ä", "ODD_BYTES": os.fsdecode(b"\xff\xfe")}
        made.variables = {**made.variables, **odd}
        yield made


@pytest.fixture(scope="module")
def written(room: Room, locales: Path) -> Mapping[str, bytes]:
    """What is written where letters are UTF-8."""
    return _use(room, Setting(name=UNICODE), locales)


def _located(setting: Setting, locales: Path) -> dict[str, str]:
    if setting.source and not (locales / setting.name).exists():
        words = ("localedef", "-i", setting.source, "-f", setting.letters, locales / setting.name)
        subprocess.run(words, check=False, capture_output=True)  # it warns of what is rare
        assert (locales / setting.name).exists()
    return (
        {**setting.environment, "LOCPATH": str(locales)} if setting.source else setting.environment
    )


def _run(
    words: Sequence[str | bytes], environment: Mapping[str, str], folder: Path, *, terminal: bool
) -> tuple[int, bytes, bytes]:
    """Run a program with a pipe or a terminal as stdout; stderr is a pipe."""
    if not terminal:
        done = subprocess.run(
            words,
            env=environment,
            cwd=folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        words,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    printed = bytearray()
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        printed += piece
    os.close(ours)
    assert process.stderr
    with process.stderr:
        errors = process.stderr.read()
    return process.wait(), bytes(printed), errors


def _use(room: Room, setting: Setting, locales: Path) -> dict[str, bytes]:
    """Use the commands that read and write; return what was written, and what JSON was printed."""
    room.renew()
    environment = {**room.environment}
    for name in [*environment]:
        if name.startswith("LC_") or name in _OF_LETTERS:
            del environment[name]
    situation = _located(setting, locales)
    environment |= {
        name: situation[name]
        for name in ("LC_ALL", "LOCPATH", *setting.variables)
        if name in situation
    }
    odd = os.fsencode("mäde-") + b"\xff"
    found = dict[str, bytes]()
    for words in (
        ("show", "snapshot"),
        ("diff", "snapshot", "after"),
        ("log", "after"),
        ("export", "snapshot", "-o", b"exported-" + odd),
        ("import", b"exported-" + odd, "-o", b"imported-" + odd),
        ("render", "snapshot", "--image", IMAGE, "--as", "kubernetes", "-o", b"rendered-" + odd),
        ("render", "snapshot", "--image", IMAGE, "--as", "github", "-o", b"ci-" + odd),
        ("capture", "--no-smoke", "--python", "environment/bin/python", "-o", b"captured-" + odd),
        (
            "verify",
            "snapshot",
            *VENV,
            "--no-smoke",
            "--into",
            "venv",
            "--report",
            b"page-" + odd + b".html",
        ),
        ("ps", "--all"),
        ("usage", "report"),
        ("usage", "report", "--format", "csv", "-o", b"report-" + odd),
        ("show", b"nowhere-" + odd),
        ("run", "venv", *VENV, "--into", "venv", "--", "python", "-c", _PRINT_BYTES),
        ("restore", "snapshot", *VENV, "--no-smoke", "--into", b"back-" + odd),
    ):
        for json_words in ((), ("--json",)):
            if json_words and words[0] in _ONCE:
                continue
            program = [sys.executable, "-m", "snapenv", *json_words, *words]
            code, out, err = _run(program, environment, room.work, terminal=setting.terminal)
            assert code < 70, (words, code, out, err)
            found[f"code of {json_words + words!r}"] = str(code).encode()
            for text in (out, err):
                assert b"Traceback" not in text, (words, text)
                assert b"UnicodeEncodeError" not in text, (words, text)
            if (
                json_words
                and not setting.terminal
                and isinstance(words[1], str)
                and words[0] in {"show", "diff", "log"}
            ):
                json.loads(out.decode("utf-8" if setting.is_unicode else "ascii"))
                value = json.dumps(json.loads(out), sort_keys=True)
                found[f"json of {words!r}"] = value.encode()
    return {**found, **_made(room.work, odd)}


def _made(work: Path, odd: bytes) -> dict[str, bytes]:
    """Return the files that were written, but for what says when it was or how long it took."""
    found = dict[str, bytes]()
    for path in sorted(work.rglob("*")):
        name = os.fsencode(path.relative_to(work))
        made = name.split(b"/")[0]
        if made == b"back-" + odd:  # an environment names where it lies
            continue
        if made.endswith((odd, odd + b".html")) and path.is_file():
            content = path.read_bytes()
            if path.name == "SHA256SUMS":  # its first line says when
                content = content.partition(b"\n")[2]
            if not made.startswith((b"page-", b"report-")):  # they say when, and how long it took
                found[repr(name)] = content
            else:
                content.decode("utf-8")
    return found


@pytest.mark.parametrize("setting", _parametrized(SAMPLE))
def test_every_help_is_printed(locales: Path, tmp_path: Path, setting: Setting) -> None:
    words = [sys.executable, "-c", HELPS]

    code, out, err = _run(words, _located(setting, locales), tmp_path, terminal=setting.terminal)

    assert (code, err) == (0, b"")
    assert out.count(b"--help") > 30


@pytest.mark.parametrize("setting", _parametrized(()))
def test_what_is_written_is_the_same_everywhere(
    room: Room, locales: Path, written: Mapping[str, bytes], setting: Setting
) -> None:
    found = _use(room, setting, locales)

    names = written if not setting.terminal else [one for one in written if "json of" not in one]
    assert [*found] == [*names]
    assert [name for name in found if found[name] != written[name]] == []
    assert len(found) > 10
