"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from snapenv.cli.main import cli
from snapenv.errors import SnapenvError

README = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    told = re.findall(r"^\| (\d+) \| (\S+) \|", README, re.MULTILINE)

    errors: list[type[SnapenvError]] = [SnapenvError, *SnapenvError.__subclasses__()]
    assert sorted(told) == sorted((str(error.exit_code), error.slug) for error in errors)


def test_every_option_that_it_names_is_one() -> None:
    options = {word for command in cli.commands.values() for p in command.params for word in p.opts}
    commands = "\n".join(line for line in README.splitlines() if "snapenv " in line)

    named = set(re.findall(r"(--[a-z][a-z-]+)", commands))
    assert named - {"--json"} <= options
