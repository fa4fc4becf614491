"""What tools put into an environment is known by what it holds, and by no name alone."""

from __future__ import annotations

import shutil
import subprocess
import venv as stdlib_venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv.travel.pack import PROGRAMS
from snapenv_probe import tools
from tests.probe.environments import Venv, make_venv, write_files

if TYPE_CHECKING:
    from collections.abc import Callable


def by_venv(folder: Path, prompt: str | None) -> Venv:
    stdlib_venv.EnvBuilder(symlinks=True, prompt=prompt).create(folder)
    return Venv(folder)


def by_uv(folder: Path, prompt: str | None) -> Venv:
    return make_venv(folder, *(("--prompt", prompt) if prompt else ()))


MAKERS = {"venv": by_venv, "uv": by_uv}


def loose(venv: Venv) -> list[str]:
    return [found.path for found in venv.look().environment.untracked]


@pytest.mark.parametrize("prompt", [None, "my project (3)"])
@pytest.mark.parametrize("maker", MAKERS)
def test_of_a_clean_environment_nothing_travels(
    maker: str, prompt: str | None, tmp_path: Path
) -> None:
    assert loose(MAKERS[maker](tmp_path / "a b", prompt)) == []


@pytest.mark.parametrize("edit", [lambda text: text + "export OURS=1\n", lambda _: "", str.upper])
@pytest.mark.parametrize("maker", MAKERS)
def test_what_somebody_edited_travels(
    maker: str, edit: Callable[[str], str], tmp_path: Path
) -> None:
    venv = MAKERS[maker](tmp_path / "venv", None)
    scripts = [*(venv.folder / "bin").glob("*activate*"), *venv.site.glob("_virtualenv.*")]
    for script in scripts:
        script.write_text(edit(script.read_text()))

    assert len(loose(venv)) == len(scripts) > 1


def test_what_somebody_put_under_a_name_of_a_tool_travels(venv: Venv) -> None:
    (venv.folder / "bin" / "pydoc.bat").unlink(missing_ok=True)
    site = dict.fromkeys(("README.txt", "_virtualenv.py", "distutils-precedence.pth"), "ours = 1\n")
    hooks = (
        "activate.local",
        "activate-cuda.sh",
        "deactivate.local",
        "pydoc.bat",
        "pip",
        "python9",
    )
    write_files(venv.site, site)
    write_files(venv.folder / "bin", dict.fromkeys(hooks, "#!/bin/sh\nexport OURS=1\n"))
    write_files(venv.folder, {"share/python-wheels/ours.txt": "", "include/python3.11/ours.h": ""})

    assert loose(venv) == sorted(
        [
            *site,
            *(f"../../../bin/{name}" for name in hooks),
            "../../../share/python-wheels/ours.txt",
            "../../../include/python3.11/ours.h",
        ]
    )


def test_an_interpreter_that_is_a_copy_is_no_file_of_somebody(venv: Venv) -> None:
    python = venv.folder / "bin" / "python3"
    original = python.resolve()
    python.unlink()
    shutil.copy(original, python)

    assert loose(venv) == []


def test_the_own_venv_of_an_interpreter_tells_what_no_list_has(
    tmp_path: Path,
) -> None:
    venv = by_venv(tmp_path / "venv", "of today")
    code = (
        f"import sys; sys.path.insert(0, {str(PROGRAMS)!r}); import snapenv_probe.tools as tools;"
        "tools.DIGESTS = frozenset();"
        "print(*(tools.is_of_tool(sys.prefix + '/bin/' + name, '../../../bin/' + name)"
        " for name in ('activate', 'activate.csh', 'activate.fish', 'Activate.ps1')))"
    )

    said = subprocess.check_output((venv.python, "-B", "-c", code), text=True)

    assert said.split() == ["True"] * 4


@given(
    at=st.integers(min_value=0),
    line=st.from_regex(r"(export|alias|unset) [A-Z_]{1,9}", fullmatch=True),
)
def test_a_line_more_makes_another_script(at: int, line: str) -> None:
    template = Path(stdlib_venv.__file__).parent / "scripts" / "common" / "activate"
    lines = template.read_text().splitlines()
    at %= len(lines) + 1
    edited = [*lines[:at], line, *lines[at:]]

    assert tools.digest("\n".join(edited).encode()) != tools.digest("\n".join(lines).encode())
