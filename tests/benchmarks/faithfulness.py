"""What each tool brings back of the zoo's odd environments, by the way that its own pages describe.

Each environment is made once, captured by every tool, and taken away with all that it was installed
from; then every tool restores it to another folder, with caches that know nothing of it. What is
there afterwards is compared by the zoo's own look, which knows none of the tools:

* same: every file and distribution as before, and a program prints what it printed before
* works: the program prints the same; files are missing, are others, or are more
* broken: restored without a complaint, and the program does not print the same
* failed: the restore ended with an error
* refused: the capture ended with an error

pip and uv restore from an index on loopback that has what is really published of these
environments: names that nobody has registered are not asked for outside. reprozip is given back the
folder that it packed in, so that what names that folder works.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapenv.index.wheels import IndexWheels
from tests.benchmarks.bench import SNAPENV, UV, Bench, home_of
from tests.benchmarks.capture import pip
from tests.benchmarks.results import Outcome
from tests.conda.channel import make_channel
from tests.conda.packages import usual
from tests.engines.index_server import serve_index
from tests.zoo.cases import BACK, BACK_AS_REGULAR, REFUSED, move_away
from tests.zoo.conda_cases import CASES, Prefix
from tests.zoo.environment import LOOK, Venv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What the zoo installs from the index, and what building an sdist of it needs.
PUBLISHED = ("click", "six==1.16.0", "tabulate==0.9.0", "markupsafe", "docopt==0.6.2", "setuptools")
_LOOK = LOOK.replace(  # venv-pack lets scripts ask env for their Python
    'python.sub(b"PYTHON", file.read())',
    'python.sub(b"PYTHON", file.read().replace(b"/usr/bin/env python", b"PYTHON"))',
)
_OF_CONDA_PACK = re.compile(r"bin/(?:conda[-_]unpack.*|(?:de)?activate(?:\.\w+)?)\Z")
_FOLDERS = re.compile(r"(?:\w+://)?/?(?:[^\s'\"/:]+/){2,}|(?<![\w.])/(?:[^\s'\"/:]+/)+")
_MOST = 200  # characters of a reason


class ToolError(Exception):
    """A tool ended with an error; the message is the last that it said."""


@dataclass(frozen=True, kw_only=True)
class Odd:
    """An odd environment: where it was made, and what a program says in it.

    ``seen`` and ``said`` are what the look and the program told before it was lost.
    """

    name: str
    group: str
    python: Path
    code: str
    into: str
    look: Callable[[Path], Any]
    seen: Any
    said: str


@dataclass(frozen=True, kw_only=True)
class Tool:
    """How one tool captures into a folder, and restores from it to another."""

    name: str
    capture: Callable[[Odd, Path], None]
    restore: Callable[[Odd, Path, Path], None]
    back: Callable[[Odd, Path], Path] = lambda _, into: into  # where it then lies


@dataclass
class Surroundings:
    """What tools are run with."""

    bench: Bench
    index: str
    folder: Path
    first: dict[str, str] = field(init=False)  # the variables of captures
    second: dict[str, str] = field(init=False)  # and of restores

    def __post_init__(self) -> None:
        usual_index = IndexWheels(None).variables()
        first, second = (dict(home_of(self.folder / name)) for name in ("first", "second"))
        self.first = {**first, **usual_index}
        self.second = {**second, **usual_index}

    @property
    def loopback(self) -> dict[str, str]:
        """Variables of pip and uv, as on a machine that knows this one index."""
        unset = dict.fromkeys(("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_FIND_LINKS"), "")
        pips = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index, **unset}
        return {**self.second, **pips, "UV_DEFAULT_INDEX": self.index, "UV_NO_CONFIG": "1"}

    def tools(self) -> list[Tool]:
        return [self.snapenv(), self.pip_freeze(), self.uv_pip_freeze(), self.uv_export()]

    def snapenv(self) -> Tool:
        def capture(odd: Odd, folder: Path) -> None:
            words = ("--python", str(odd.python), "--no-smoke", "-o", str(folder / "snapshot"))
            call(*SNAPENV, "capture", *words, environment=self.first)

        def restore(_: Odd, folder: Path, into: Path) -> None:
            words = ("--engine", "venv", "--into", str(into), "--no-smoke")
            call(*SNAPENV, "restore", str(folder / "snapshot"), *words, environment=self.second)

        return Tool(name="snapenv", capture=capture, restore=restore)

    def pip_freeze(self) -> Tool:
        def capture(odd: Odd, folder: Path) -> None:
            write_pins(folder, call(str(odd.python), pip(), "freeze", environment=self.first))

        def restore(_: Odd, folder: Path, into: Path) -> None:
            make_venv(into)
            words = ("install", "--quiet", "-r", str(folder / "requirements.txt"))
            call(str(into / "bin" / "python"), pip(), *words, environment=self.loopback)

        return Tool(name="pip freeze", capture=capture, restore=restore)

    def uv_pip_freeze(self) -> Tool:
        def capture(odd: Odd, folder: Path) -> None:
            words = ("pip", "freeze", "--python", str(odd.python))
            write_pins(folder, call(UV, *words, environment=self.first))

        def restore(_: Odd, folder: Path, into: Path) -> None:
            self._sync(folder / "requirements.txt", into)

        return Tool(name="uv pip freeze", capture=capture, restore=restore)

    def uv_export(self) -> Tool:
        """Lock what is installed as uv's guide of migrating from pip does."""

        def capture(odd: Odd, folder: Path) -> None:
            here = self.loopback | dict(home_of(self.folder / "first"))
            freeze = ("pip", "freeze", "--exclude-editable", "--python", str(odd.python))
            write_pins(folder, call(UV, *freeze, environment=here))
            project = ("--directory", str(folder))
            call(UV, "init", "--bare", *project, "--name", "project", environment=here)
            add = ("add", "--no-sync", *project, "-r", "requirements.txt")
            call(UV, *add, "--python", str(odd.python), environment=here)
            export = ("export", "--quiet", *project, "--no-emit-project", "-o", "pylock.toml")
            call(UV, *export, environment=here)

        def restore(_: Odd, folder: Path, into: Path) -> None:
            self._sync(folder / "pylock.toml", into)

        return Tool(name="uv export", capture=capture, restore=restore)

    def _sync(self, file: Path, into: Path) -> None:
        make_venv(into)
        words = ("pip", "sync", "--quiet", "--python", str(into / "bin" / "python"), str(file))
        call(UV, *words, environment=self.loopback)

    def venv_pack(self) -> Tool:
        return Tool(name="venv-pack", capture=self._packing("venv-pack"), restore=_unpack)

    def conda_pack(self) -> Tool:
        def restore(odd: Odd, folder: Path, into: Path) -> None:
            _unpack(odd, folder, into)
            call("bash", "-c", '. "$0/bin/activate" && conda-unpack', str(into), environment={})

        return Tool(name="conda-pack", capture=self._packing("conda-pack"), restore=restore)

    def _packing(self, name: str) -> Callable[[Odd, Path], None]:
        program = str(self.bench.tool(name, name, "setuptools"))

        def capture(odd: Odd, folder: Path) -> None:
            packed = ("-o", str(folder / "env.tar.gz"))
            call(program, "-q", "-p", str(odd.python.parents[1]), *packed, environment=self.first)

        return capture

    def reprozip(self) -> Tool:
        """Trace the program that the case runs, and unpack what it used where it was."""
        program = str(self.bench.tool("reprozip", "reprozip", "setuptools"))
        unpacker = str(self.bench.tool("reprounzip", "reprounzip", "setuptools"))

        def capture(odd: Odd, folder: Path) -> None:
            trace = ("-d", str(folder / "trace"))
            python = (str(odd.python), "-B", "-c", odd.code)
            call(program, "trace", *trace, *python, environment=self.first)
            call(program, "pack", *trace, str(folder / "env.rpz"), environment=self.first)

        def restore(odd: Odd, folder: Path, into: Path) -> None:
            unpacked = str(into / "unpacked")
            into.mkdir(parents=True)
            setup = ("directory", "setup", str(folder / "env.rpz"), unpacked)
            call(unpacker, *setup, environment=self.second)
            place = odd.python.parents[2]
            for packed in (Path(unpacked) / "root" / place.relative_to("/")).iterdir():
                shutil.move(packed, place)

        def back(odd: Odd, _: Path) -> Path:
            return odd.python.parents[1]

        return Tool(name="reprozip", capture=capture, restore=restore, back=back)


def _unpack(_: Odd, folder: Path, into: Path) -> None:
    into.mkdir(parents=True)
    call("tar", "-xzf", str(folder / "env.tar.gz"), "-C", str(into), environment={})


def measure(bench: Bench) -> Iterator[Outcome]:
    """Yield what each tool brought back of each environment, two environments at a time."""
    folder = bench.folder / "zoo"
    folder.mkdir()
    with _loopback(folder) as index, ThreadPoolExecutor(2) as pool:
        around = Surroundings(bench, index, folder)
        # reprozip is the last: what it restores lies where the environment was.
        venv = [*around.tools(), around.venv_pack(), around.reprozip()]
        conda = [around.snapenv(), around.conda_pack(), around.reprozip()]
        channel = make_channel(folder / "channel", usual())
        works = [
            *((make_odd, name, group, venv) for group, cases in GROUPS.items() for name in cases),
            *((make_conda(channel, folder), name, "conda", conda) for name in CASES),
        ]
        for outcomes in pool.map(lambda work: list(_case(folder, *work)), works):
            yield from outcomes


_SITE = "import os, sysconfig; site = sysconfig.get_path('purelib');"
_REFUSED = {
    "a .pth leads into another environment": "import ours; print(ours.ANSWER)",
    "a link to a folder of data leads out": f"{_SITE} print(os.listdir(site + '/ours'))",
    "compiled, from conda": "import markupsafe; print(markupsafe.escape('<'))",
    "a line break in a name": f"{_SITE} print(any('\\n' in name for name in os.listdir(site)))",
    "known to be malicious": "import u; print('ran')",
}
GROUPS: Mapping[str, Mapping[str, tuple[Callable[[Venv], None], str]]] = {
    "in a venv": BACK,
    "editable, or leading outside": BACK_AS_REGULAR,
    "what snapenv refuses": {name: (REFUSED[name][0], code) for name, code in _REFUSED.items()},
}


@contextmanager
def _loopback(folder: Path) -> Iterator[str]:
    """Serve what is published of the zoo's environments, fetched once from the real index."""
    wheels = folder / "published"
    words = ("download", "--quiet", "--no-deps", "-d", str(wheels), *PUBLISHED)
    call(sys.executable, "-m", "pip", *words, environment={})
    files = [(path.name, path.read_bytes()) for path in wheels.iterdir()]
    with serve_index(*files) as server:
        yield server.index


def make_odd(name: str, group: str, place: Path) -> Odd:
    make, code = GROUPS[group][name]
    venv = Venv(place / "working").make()
    make(venv)
    return Odd(
        name=name,
        group=group,
        python=venv.python,
        code=code,
        into="back",
        look=look,
        seen=look(venv.folder),
        said=say(venv.folder, code),
    )


def make_conda(channel: Path, folder: Path) -> Callable[[str, str, Path], Odd]:
    def make_prefix(name: str, group: str, place: Path) -> Odd:
        make, code, into = CASES[name]
        prefix = Prefix(place / "working", (channel.as_uri(),), folder / "pkgs")
        make(prefix)
        return Odd(
            name=name,
            group=group,
            python=prefix.python,
            code=code,
            into=into,
            look=look_at_prefix,
            seen=look_at_prefix(prefix.folder),
            said=say(prefix.folder, code),
        )

    return make_prefix


def _case(
    folder: Path, make: Callable[[str, str, Path], Odd], name: str, group: str, tools: list[Tool]
) -> Iterator[Outcome]:
    place = folder / f"{group} {name}".replace(" ", "-").replace("/", "-")
    place.mkdir()
    odd = make(name, group, place)
    refused = {tool.name: _try(tool, "capture", odd, place) for tool in tools}
    move_away(Venv(odd.python.parents[1]))
    for tool in tools:
        outcome, why = _restored(tool, odd, place, refused[tool.name])
        yield Outcome(group=group, case=name, tool=tool.name, outcome=outcome, why=why)
    shutil.rmtree(place)


def _restored(tool: Tool, odd: Odd, place: Path, refused: str) -> tuple[str, str]:
    if refused:
        return "refused", refused
    failed = _try(tool, "restore", odd, place)
    if failed:
        return "failed", failed
    try:
        back = tool.back(odd, _into(tool, odd, place))
        said, seen = say(back, odd.code), odd.look(back)
    except (ToolError, OSError) as error:
        return "broken", _shortened(error)
    if said != odd.said:
        return "broken", "the program prints something else"
    why = difference(odd.seen, seen)
    return ("works", why) if why else ("same", "")


def _try(tool: Tool, what: str, odd: Odd, place: Path) -> str:
    """Return why a step failed, in the tool's last words; nothing if it did not."""
    folder = place / f"captured-{tool.name.replace(' ', '-')}"
    try:
        if what == "capture":
            folder.mkdir()
            tool.capture(odd, folder)
        else:
            tool.restore(odd, folder, _into(tool, odd, place))
    except (ToolError, OSError) as error:
        return _shortened(error) or "no word"
    return ""


def _shortened(error: Exception) -> str:
    """Return the last of what a tool said, without the folders of this machine."""
    return _FOLDERS.sub("…/", str(error))[-_MOST:]


def _into(tool: Tool, odd: Odd, place: Path) -> Path:
    return place / f"restored-{tool.name.replace(' ', '-')}" / odd.into


def difference(before: Any, after: Any) -> str:  # noqa: ANN401 - what a look gives
    """Say what a look found other than before, in numbers."""
    old, new = before["files"], after["files"]
    counts = {
        "missing": len(old.keys() - new.keys()),
        "other": sum(old[path] != new[path] for path in old.keys() & new.keys()),
        "more": len(new.keys() - old.keys()),
    }
    words = [f"{count} {name}" for name, count in counts.items() if count]
    files = [f"of {len(old)} files {', '.join(words)}"] if words else []
    packages = ["other packages"] if before["dists"] != after["dists"] else []
    return "; ".join((*files, *packages))


def look(folder: Path) -> Any:  # noqa: ANN401 - the look's own form
    return json.loads(call(str(folder / "bin" / "python"), "-B", "-c", _LOOK, environment={}))


def look_at_prefix(folder: Path) -> Any:  # noqa: ANN401 - the look's own form
    """Look at a prefix without the scripts that conda-pack adds for itself."""
    files = {
        path: seen for path, seen in Prefix(folder).look().items() if not _OF_CONDA_PACK.match(path)
    }
    return {"files": files, "dists": None}


def say(folder: Path, code: str) -> str:
    said = call(str(folder / "bin" / "python"), "-B", "-c", code, environment={})
    return said.replace(str(folder), "P")


def make_venv(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    call(UV, "venv", "--quiet", "--python", sys.executable, str(folder), environment={})


def write_pins(folder: Path, text: str) -> None:
    (folder / "requirements.txt").write_text(text)


def call(*argv: str, environment: Mapping[str, str]) -> str:
    """Run a program and give what it printed.

    Raises:
        ToolError: It failed.
    """
    done = subprocess.run(
        argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ToolError(" ".join(words[-3:]) or f"exit code {done.returncode}")
    return done.stdout
