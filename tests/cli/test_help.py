"""What --help shows: groups of options, and examples that the command line takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from snapenv.cli.help import Command as HelpfulCommand
from snapenv.cli.main import cli
from tests.command import COMMANDS, parse

if TYPE_CHECKING:
    from snapenv.cli.group import LazyGroup

commands = pytest.mark.parametrize("name", COMMANDS)
groups = pytest.mark.parametrize("group", [cli, cli.get_command(click.Context(cli), "usage")])


def shown(name: str) -> str:
    command = COMMANDS[name]
    return command.get_help(click.Context(command, info_name=f"snapenv {name}"))


@commands
def test_each_option_is_listed_once_in_a_group(name: str) -> None:
    text = shown(name)

    for param in COMMANDS[name].params:
        if isinstance(param, click.Option):
            assert (
                len(re.findall(rf"^  (?:-\w, )?{param.opts[-1]}(?![\w-])", text, re.MULTILINE)) == 1
            )
    assert "\nOptions:" not in text
    assert text.index("\nOther options:\n") < text.index("\nExamples:\n  snapenv ")


def test_the_first_help_ends_with_the_whole_way() -> None:
    text = cli.get_help(click.Context(cli, info_name="snapenv"))

    _, _, examples = text.partition("\nExamples:\n")
    lines = [shlex.split(line) for line in examples.splitlines()]
    assert [(program, name) for program, name, *_ in lines] == [
        ("snapenv", "capture"),
        ("snapenv", "build"),
        ("snapenv", "restore"),
    ]
    for _, *words in lines:
        parse(words)


@groups
def test_what_a_group_says_of_a_command_is_how_its_own_help_begins(group: LazyGroup) -> None:
    context = click.Context(group)

    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        assert group.says[name] == command.get_short_help_str(limit=1000)


def test_the_first_help_imports_no_command() -> None:
    code = "import sys; from snapenv.cli.main import main; main(['--help']); print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    imported = done.stdout.splitlines()[-1].split()
    assert "snapenv.cli.group" in imported
    assert not {f"snapenv.cli.{module}" for module, _ in cli.table.values()} & {*imported}


@groups
def test_a_narrow_terminal_cuts_no_sentence(group: click.Group) -> None:
    context = click.Context(group, terminal_width=50)

    text = group.get_help(context).partition("\nCommands:\n")[2].partition("\nExamples:")[0]

    assert "..." not in text
    assert max(map(len, text.splitlines())) <= 50


@commands
def test_each_example_is_a_command_line(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, HelpfulCommand)
    assert command.examples

    for example in command.examples:
        program, *words = shlex.split(example)

        assert program == "snapenv"
        assert parse(words).info_name == name
