"""Install snapenv in each way that the documentation names, on each Python that can be had here.

``python -m tests.benchmarks.installs`` builds a wheel and a source distribution and installs both with pip on
the Pythons of this machine and, as root, on those of fresh root folders of Debian; and the wheel
with uv and pipx. Each installation must say its version, capture an environment and render it.
``--demo`` runs README's first command in the root folders, from a clone of what is committed.
It prints a table of what was installed, and ends with 1 where one of them failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from uv import find_uv_bin

from snapenv.index.wheels import IndexWheels
from tests.engines.base import debootstrap
from tests.engines.place import UnavailableError, say
from tests.engines.sid import enter_words

ROOT = Path(__file__).parents[2]
MINORS = ("3.10", "3.11", "3.12", "3.13", "3.14")
RELEASES = ("bookworm", "trixie", "sid")  # of Debian
_OF_DEBIAN = ("ca-certificates", "git", "make", "python3", "python3-venv")
_OF_INDEX = (
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "UV_CACHE_DIR",
)  # files that they name
# $1: what pip, uv or pipx installs; $2: a Python. Prints its version, packages, MiB, and
# the ms of a processor that a start takes.
_PIP = """
"$2" -m venv env
env/bin/pip install --quiet --disable-pip-version-check "$1"
snapenv=env/bin/snapenv
"""
_UV_TOOL = """
export UV_TOOL_DIR="$PWD/tools" UV_TOOL_BIN_DIR="$PWD/bin"
uv tool install --quiet --python "$2" "$1"
snapenv=bin/snapenv
"""
_PIPX = """
"$2" -m venv pipx
pipx/bin/pip install --quiet --disable-pip-version-check pipx
export PIPX_HOME="$PWD/home" PIPX_BIN_DIR="$PWD/bin"
pipx/bin/pipx install --quiet "$1" > pipx.txt
snapenv=bin/snapenv
"""
_TRY = """
$snapenv --version > version
"$2" -m venv --without-pip captured
"$PWD/$snapenv" capture --python captured/bin/python --no-smoke -o snapshot > capture.txt
"$PWD/$snapenv" render snapshot --image "$3" --as compose > render.txt
grep -q '^FROM ' snapshot/Dockerfile
grep -q "image: $3" compose.yaml
"$2" - "$PWD/$snapenv" <<'PROGRAM'
import os, pathlib, platform, resource, subprocess, sys
program = pathlib.Path(sys.argv[1]).resolve()
site, = program.parent.parent.glob("lib/python*/site-packages")
own = [each for each in site.rglob("*") if each.is_file() and "pip" != each.relative_to(site).parts[0]]
names = [each.name for each in site.glob("*.dist-info") if not each.name.startswith(("pip-", "setuptools-"))]
taken = []
for _ in range(9):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([program, "--help"], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
size = sum(each.stat().st_size for each in own if each.suffix != ".pyc")
print(platform.python_version(), len(names), round(size / 2**20, 1), round(sorted(taken)[4] * 1000))
PROGRAM
"""
_DEMO = """
git clone --quiet "$1" clone
cd clone
make demo
"""
IMAGE = f"example.com/team/env:tag@sha256:{'5e' * 32}"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where commands run: on this machine, or in a root folder."""

    name: str
    python: str
    before: Sequence[str] = ()


@click.command()
@click.option("--python", "minors", multiple=True, default=MINORS, help="Only this, as in 3.12.")
@click.option("--debian", "releases", multiple=True, default=RELEASES, help="Only this release.")
@click.option("--demo", is_flag=True, help="Run make demo in the root folders of Debian, too.")
def main(minors: Sequence[str], releases: Sequence[str], *, demo: bool) -> None:
    """Try each way, and print what came of it."""
    with tempfile.TemporaryDirectory(prefix="snapenv-installs-", dir="/var/tmp") as made:
        told = list(_try_all(Path(made), minors, releases, demo=demo))
    sys.exit(not all(told))


def _try_all(
    folder: Path, minors: Sequence[str], releases: Sequence[str], *, demo: bool
) -> Iterator[bool]:
    wheel, source = _build(folder / "dist")
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.2f} MiB")
    print(f"{source.name}: {source.stat().st_size / 2**20:.2f} MiB")
    print(f"{'way':<18} {'where':<24} Python, packages, MiB, ms of --help", flush=True)
    machines = [*_of_this_machine(minors), *_of_debian(folder, releases)]
    for machine in machines:
        yield _tell("pip, wheel", machine, folder, _PIP + _TRY, str(wheel))
        yield _tell("pip, sdist", machine, folder, _PIP + _TRY, str(source))
        if demo and machine.before:
            yield _tell("make demo", machine, folder, _DEMO, str(ROOT))
    for machine in machines[:1]:
        yield _tell("uv tool install", machine, folder, _UV_TOOL + _TRY, str(wheel))
        yield _tell("pipx install", machine, folder, _PIPX + _TRY, str(wheel))


def _build(dist: Path) -> tuple[Path, Path]:
    done = subprocess.run(
        [find_uv_bin(), "build", "--quiet", "--out-dir", str(dist), str(ROOT)],
        env={**os.environ, **IndexWheels(None).variables()},
        check=False,
    )
    if done.returncode:
        sys.exit("neither a wheel nor a source distribution could be built")
    return next(dist.glob("*.whl")), next(dist.glob("*.tar.gz"))


def _of_this_machine(minors: Sequence[str]) -> Iterator[Machine]:
    """Find Pythons on the path and in pyenv's folder."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in minors:
        own = sorted(pyenv.glob(f"{minor}.*/bin/python{minor}"))
        python = str(own[-1]) if own else f"/usr/bin/python{minor}"
        if Path(python).exists():
            yield Machine(name=f"Python {minor}", python=python)


def _of_debian(folder: Path, releases: Sequence[str]) -> Iterator[Machine]:
    """Make root folders, which reach the index as this machine does."""
    named = [Path(os.environ[name]) for name in _OF_INDEX if name in os.environ]
    config = Path.home() / ".config"
    shared = {
        folder,
        ROOT,
        *(path.parent for path in named),
        *([config] if config.exists() else []),
    }
    for release in releases:
        root = folder / "roots" / release
        say(f"making a root folder of {release}")
        try:
            debootstrap(release, root, _OF_DEBIAN)
        except UnavailableError as error:
            say(f"{release}: {error}")
            continue
        before = enter_words(root, [path for path in sorted(shared) if path.exists()])
        yield Machine(name=f"Debian {release}", python="/usr/bin/python3", before=before)


def _tell(way: str, machine: Machine, folder: Path, script: str, what: str) -> bool:
    """Run a script in a folder of its own, and print the end of what it says."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        words = ("sh", "-euc", f'cd "{own}"\n{script}', "sh", what, machine.python, IMAGE)
        done = subprocess.run(
            [*machine.before, *words],
            env={**_environment(), "HOME": str(Path.home())},
            capture_output=True,
            text=True,
            check=False,
        )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    ending = lines[-1] if lines else f"exited with {done.returncode}"
    print(f"{way:<18} {machine.name:<24} {ending}", flush=True)
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """Return the variables of a user's shell, in which uv finds the index that pip finds."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join(
        (str(Path(find_uv_bin()).parent), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    )
    return {**own, **IndexWheels(None).variables(), "PATH": path}


if __name__ == "__main__":
    main()
