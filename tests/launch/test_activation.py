from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from snapenv.launch.activation import ACTIVATE, parse_activated, parse_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def activate(prefix: Path, **scripts: str) -> Mapping[str, str | None]:
    folder = prefix / "etc/conda/activate.d"
    folder.mkdir(parents=True)
    for name, text in scripts.items():
        (folder / f"{name}.sh").write_text(text)
    variables = {"CONDA_PREFIX": str(prefix), "PATH": "/usr/bin:/bin", "OLD": "old", "GONE": "x"}
    done = subprocess.run(
        ["bash", "-c", ACTIVATE], env=variables, capture_output=True, check=False, text=True
    )
    return parse_activated(done.stdout)


def test_the_scripts_of_a_prefix_say_what_is_set_and_what_is_not(tmp_path: Path) -> None:
    first = 'export MKL="$CONDA_PREFIX/lib"\nexport TWO_LINES="a\nb"\nexport OLD=old\nunset GONE\n'
    second = "local_only=1\nif [[ -n $MKL ]]; then export AFTER=$MKL; fi\necho what a script says\n"

    variables = activate(tmp_path, a=first, b=second)

    library = f"{tmp_path}/lib"
    assert variables == {"MKL": library, "TWO_LINES": "a\nb", "GONE": None, "AFTER": library}


def test_a_prefix_without_scripts_sets_nothing(tmp_path: Path) -> None:
    assert activate(tmp_path) == {}


def test_a_script_that_ends_the_shell_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no answer"):
        activate(tmp_path, a="exit 3\n")


def test_variables_of_the_state_are_read_and_damage_is_refused() -> None:
    assert parse_state(b'{"env_vars": {"A": "1"}, "version": 1}') == {"A": "1"}
    assert parse_state(b"{}") == {}
    with pytest.raises(ValueError, match="env_vars"):
        parse_state(b'{"env_vars": 3}')
