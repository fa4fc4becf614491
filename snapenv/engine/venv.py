"""The venv engine: an environment from a lock alone, without a daemon and without root.

A venv is made by uv. An environment of conda is a prefix with its own Python, made by py-rattler,
into which uv then installs what pip had put over it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Mapping
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.content import read_chunks, write_content
from snapenv.engine.conda import check_rattler, install_conda_packages
from snapenv.engine.full_disk import could_not_make
from snapenv.engine.venv_python import attempts, is_not_here, no_python
from snapenv.errors import InstallError, WriteError
from snapenv.model.snapshot import (
    APPLY_OVERLAY,
    CONDA_LOCK_FILE,
    INSTALL_CONDA,
    OVERLAY,
    PYLOCK_FILE,
    STAGED,
    VENDOR,
)
from snapenv.model.uv import UvSettings, first_words
from snapenv.ports import Target
from snapenv.pylock import parse_pylock
from snapenv.toml import write_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.pylock import Package, Pylock

    from snapenv.model.carried import Content
    from snapenv.ports import Completed, Task

_STAGED_LOCK = f"{STAGED}/{PYLOCK_FILE}"  # says of some wheels that they lie beside it
_STAGED_CONDA_LOCK = f"{STAGED}/{CONDA_LOCK_FILE}"
_LAST_SETTING = b"\ninclude-system-site-packages = "  # that uv has written to pyvenv.cfg
_NO_SPACE = "No space left on device"


class UvVenvs(Struct, frozen=True):
    """Makes venvs with the uv at ``uv``; ``local`` gives the target of a Python here."""

    uv: str
    local: Callable[[str], Target]
    settings: Callable[[], UvSettings] = UvSettings

    def create(
        self, files: Mapping[str, Content], *, python: str, into: Path, task: Task
    ) -> Target:
        """Make a venv as ``ports.Venvs`` says."""
        into = into.absolute()
        target = self.local(str(into / "bin" / "python"))
        if CONDA_LOCK_FILE in files:
            self._make_prefix(files, into, task)
        else:
            task.note(f"Python {python}")
            self._make(target, python, into, task)
        task.note("installing the packages")
        self._install(target, _below(files, PYLOCK_FILE, VENDOR, STAGED), into, task)
        if APPLY_OVERLAY in files:
            words = (target.python, "-B", APPLY_OVERLAY)
            _check(target.run(words, files=_below(files, OVERLAY)))
        return target

    def _make(self, target: Target, python: str, into: Path, task: Task) -> None:
        """Make a venv without packages, with the first Python that is found of those asked for."""
        refusals = list[str]()
        for attempt in attempts(python):
            words = ("venv", "--quiet", "--allow-existing", "--python", attempt.python, str(into))
            done = self._ask_uv(target, words, task, attempt.variables)
            if done.exit_code == 0:
                _refuse_cut_off(into / "pyvenv.cfg", _LAST_SETTING)
                return
            if not is_not_here(done.stderr):
                raise _failed(done)
            refusals.append(done.stderr)
        raise no_python(python, refusals)

    def _make_prefix(self, files: Mapping[str, Content], into: Path, task: Task) -> None:
        check_rattler()
        task.note("installing conda's packages")
        wanted = _below(files, CONDA_LOCK_FILE, INSTALL_CONDA, VENDOR, STAGED)
        with _laid_out(wanted, within=into) as folder:
            lock = _STAGED_CONDA_LOCK if _STAGED_CONDA_LOCK in files else CONDA_LOCK_FILE
            install_conda_packages(self.local(sys.executable), folder, lock, into)

    def _install(
        self, target: Target, files: Mapping[str, Content], into: Path, task: Task
    ) -> None:
        """Install the lock among ``files`` from a folder within ``into`` that is gone afterwards.

        uv knows a wheel of an index by that index, whose name in the lock is enough to find it in
        the user's cache; nothing is asked of the index. A wheel of a folder alone it knows by its
        place: in the user's cache it would stay for ever and be of no use. So those have a cache
        of their own.
        """
        name = _STAGED_LOCK if _STAGED_LOCK in files else PYLOCK_FILE
        indexed, carried = _split(parse_pylock(b"".join(read_chunks(files[name]))))
        install = ("pip", "install", "--require-hashes", "--no-deps")
        with _laid_out(files, within=into) as folder:
            own = {"UV_CACHE_DIR": str(folder / "cache")}
            for part, lock, cache in (("index", indexed, {}), ("carried", carried, own)):
                if lock.packages:
                    place = (folder / name).with_name(f"pylock.{part}.toml")
                    place.write_text(write_toml(lock.to_dict()))
                    words = ("--python", target.python, "--requirements", str(place))
                    done = self._ask_uv(target, (*install, *_indexes(lock), *words), task, cache)
                    _check(done)
        for installer in into.glob("lib/*/site-packages/*.dist-info/INSTALLER"):
            if installer.read_bytes() == b"uv":
                _refuse_cut_off(installer.with_name("RECORD"))

    def _ask_uv(
        self, target: Target, arguments: Sequence[str], task: Task, variables: Mapping[str, str]
    ) -> Completed:
        settings = self.settings()
        return target.run(
            settings.words(self.uv, *arguments),
            files=settings.files,
            environment={**settings.variables, **variables},
            on_line=lambda line: task.note(line.strip()[:60]),
        )


@contextlib.contextmanager
def _laid_out(files: Mapping[str, Content], *, within: Path) -> Iterator[Path]:
    """Yield a folder of files for a program that only reads: those of ours are links, no copies."""
    with tempfile.TemporaryDirectory(prefix=".snapenv-", dir=within) as folder:
        for name, content in files.items():
            _lay_out(Path(folder, name), content)
        yield Path(folder)


def _lay_out(place: Path, content: Content) -> None:
    try:
        place.parent.mkdir(exist_ok=True)
        if isinstance(content, Path):
            place.symlink_to(content.absolute())
        else:
            write_content(place, content)
    except OSError as error:
        raise WriteError(
            f"cannot write {place}: {error.strerror}",
            hint="Free some space, or give another place with --into.",
        ) from error


def _split(lock: Pylock) -> tuple[Pylock, Pylock]:
    """Return the lock of what an index is known of, or that is fetched, and of what only lies here.

    An index that is not an address is left out: uv would take it for an option or a folder.
    """
    packages = [
        package if _is_address(package.index) else dataclasses.replace(package, index=None)
        for package in lock.packages
    ]
    carried = [package for package in packages if _is_carried(package)]
    indexed = [package for package in packages if not _is_carried(package)]
    return (
        dataclasses.replace(lock, packages=indexed, tool=None),
        dataclasses.replace(lock, packages=carried, tool=None),
    )


def _is_carried(package: Package) -> bool:
    return package.index is None and any(wheel.path for wheel in package.wheels or ())


def _is_address(index: str | None) -> bool:
    return index is not None and index.startswith(("https://", "http://"))


def _indexes(lock: Pylock) -> Iterator[str]:
    """Yield what tells uv to look into its cache for what it has of these indexes."""
    named = dict.fromkeys(package.index for package in lock.packages if package.index)
    for option, index in zip(chain(["--default-index"], repeat("--index")), named, strict=False):
        yield from (option, index)


def _below(files: Mapping[str, Content], *names: str) -> Mapping[str, Content]:
    return {name: content for name, content in files.items() if name.split("/")[0] in names}


def _check(done: Completed) -> None:
    if done.exit_code != 0:
        raise _failed(done)


def _refuse_cut_off(file: Path, holds: bytes = b"") -> None:
    """Check the end of what uv wrote: it does not say where the disk fails at the last bytes.

    Without its settings a venv's Python is the one that it was made of, with the packages of that.

    Raises:
        WriteError: It ends within a line, lacks what it ``holds``, or is not there.
    """
    try:
        text = file.read_bytes()
        is_whole = text.endswith(b"\n") and holds in text
    except OSError:
        is_whole = False
    if not is_whole:
        raise WriteError(
            f"{file} is cut off: the disk failed, or is full",
            hint="See df -h of it, and the kernel's log; nothing was left behind.",
        )


def _failed(done: Completed) -> InstallError | WriteError:
    stderr = " ".join(done.stderr.split())
    if _NO_SPACE in stderr and could_not_make(stderr):
        return WriteError(
            "the disk is full, of bytes or of inodes: uv could not write the packages",
            hint="See df -h and df -i of it, and free some; nothing was left behind.",
        )
    if _NO_SPACE in stderr:
        return WriteError(
            "the disk is full: uv could not write the packages",
            hint="Free some space; nothing was left behind.",
        )
    return InstallError(
        f"the lock could not be installed: {first_words(done.stderr)}",
        hint="Check that the hosts of pylock.toml answer from here.",
    )
