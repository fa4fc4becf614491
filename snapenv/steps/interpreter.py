"""Find the Python that is meant when the user names none, or names it loosely.

Source: https://docs.python.org/3/library/venv.html#how-venvs-work
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import EnvironmentMissingError, InterpreterError
from snapenv.places import exists, expanded, is_file, is_folder, is_link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.ports import Target

_ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")
_WHICH = """
for folder in "$VIRTUAL_ENV" "$CONDA_PREFIX"; do
    if [ "$folder" ] && [ -x "$folder/bin/python" ]; then
        echo "$folder/bin/python"
        exit
    fi
done
command -v python3 || command -v python
"""


def find_interpreter(named: str | None, environment: Mapping[str, str], *, own_prefix: str) -> str:
    """Return the path of a Python: the one named, the active environment's, or the one on PATH.

    ``named`` may be a path, an environment's folder, or a program on PATH. The environment at
    ``own_prefix``, which snapenv itself runs in, is taken only if it is named.

    Raises:
        InterpreterError: What was named is not there.
        EnvironmentMissingError: Nothing was named, and no environment but snapenv's own is active
            or on PATH.
    """
    path = environment.get("PATH", "")
    if named is not None:
        return _named(named, path)
    for variable in _ACTIVE:
        if environment.get(variable):
            _refuse_own(variable, environment[variable], own_prefix)
            return _active(variable, environment[variable])
    folders = (folder for folder in path.split(os.pathsep) if not _is_in(folder, own_prefix))
    python = shutil.which("python3", path=os.pathsep.join(folders))
    if python is None:
        raise EnvironmentMissingError(
            "no environment is active, and PATH has no other python3",
            hint="Activate the environment, or name it: --python ENV/bin/python.",
        )
    return python


def _refuse_own(variable: str, folder: str, own_prefix: str) -> None:
    if os.path.realpath(folder) == os.path.realpath(own_prefix):
        raise EnvironmentMissingError(
            f"the active environment ({variable}) is the one that snapenv itself runs in: {folder}",
            hint="Activate the environment that is meant, or name it: --python ENV/bin/python.",
        )


def _is_in(folder: str, prefix: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(os.path.join(prefix, "bin"))  # noqa: PTH118


def _named(named: str, path: str) -> str:
    place = expanded(named).absolute()
    names_folder = is_folder(place)
    if names_folder:
        place = place / "bin" / "python"
    _refuse_gone(place)
    if is_file(place):
        return str(place)
    program = None if names_folder else shutil.which(named, path=path)
    if program is None:
        raise InterpreterError(
            f"there is no Python at {place if names_folder else named}",
            hint="Give the path of a Python, such as --python ENV/bin/python.",
        )
    return str(Path(program).absolute())


def _refuse_gone(python: Path) -> None:
    """Check that the Python which an environment was made from is still there.

    Raises:
        InterpreterError: It is not, so that nothing in the environment can run.
    """
    base = _gone(python)
    if base is not None:
        raise InterpreterError(
            f"{python} cannot run: the Python it was made from is gone: {base}",
            hint="Install that Python again in its place, or make the environment anew.",
        )


def _gone(python: Path) -> Path | None:
    """Return what a link leads to that is not there, or the home of a copy that is not there."""
    if is_link(python) and not exists(python):
        return Path(os.path.realpath(python))
    if is_link(python) or not exists(python):
        return None
    home = venv_home(python.parents[1])
    return home if home is not None and not exists(home) else None


def venv_home(venv: Path) -> Path | None:
    """Return the folder of the Python that a venv was made from; None where nothing says so."""
    try:
        text = (venv / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    pairs = (line.partition("=") for line in text.splitlines())
    home = next((value.strip() for key, _, value in pairs if key.strip() == "home"), None)
    return type(venv)(home) if home else None


def _active(variable: str, folder: str) -> str:
    python = Path(folder, "bin", "python")
    _refuse_gone(python)
    if not is_file(python):
        raise EnvironmentMissingError(
            f"{variable} names {folder}, which has no bin/python",
            hint="Activate an environment that exists, or name one: --python ENV/bin/python.",
        )
    return str(python)


def find_in_container(target: Target) -> str:
    """Return the Python that a container's own variables name, else the one on its PATH.

    Where it has no shell, it is ``python3``, whatever that is in there.
    """
    try:
        done = target.run(("sh", "-c", _WHICH))
    except InterpreterError:
        return target.python
    return done.stdout.strip() or target.python
