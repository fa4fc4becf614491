"""What activating a prefix of conda sets, which a program in it finds as if it were activated.

Sources: https://docs.conda.io/projects/conda/en/stable/dev-guide/deep-dives/activation.html and
https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from snapenv.json_text import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "\0snapenv-activated\0"
"""What stands between the two lists of variables, ended by NUL, in the program's answer."""

ACTIVATE = rf"""
env -0
for script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do
    [ -f "$script" ] && . "$script" >&2 </dev/null
done
printf '{MARK.replace(chr(0), chr(92) + "0")}'
env -0
"""
"""A script of bash, which most of these scripts are written for, in conda's order."""

_OF_THE_SHELL = {"_", "SHLVL", "PWD", "OLDPWD"}


class _State(Struct):
    env_vars: dict[str, str] = field(default_factory=dict)


def parse_state(content: bytes) -> Mapping[str, str]:
    """Read what ``conda env config vars set`` has set, of ``conda-meta/state``.

    Raises:
        ValueError: It is damaged.
    """
    return read_json(content, _State).env_vars


def prefix_variables(prefix: str) -> Mapping[str, str]:
    """Return what conda itself sets of an environment without a name."""
    return {"CONDA_PREFIX": prefix, "CONDA_DEFAULT_ENV": prefix, "CONDA_SHLVL": "1"}


def parse_activated(stdout: str) -> Mapping[str, str | None]:
    """Read what ``ACTIVATE`` printed: the variables that the scripts set, None where they unset.

    Raises:
        ValueError: It did not come to its end.
    """
    before, mark, after = stdout.partition(MARK)
    if not mark:
        raise ValueError("no answer")
    old, new = _variables(before), _variables(after)
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    return {
        name: value
        for name, value in {**dict.fromkeys(old.keys() - new.keys()), **changed}.items()
        if name not in _OF_THE_SHELL
    }


def _variables(text: str) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in text.split("\0") if entry)
    return {name: value for name, _, value in pairs}
