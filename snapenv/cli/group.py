"""A group of commands, each of which is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from snapenv.cli.help import write_examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class LazyGroup(click.Group):
    """A group that knows the module and the function of each of its commands, in their order.

    ``says`` has the first sentence of each, so that the group's help imports none. Those in
    ``for_programs`` are those that no person types; no help lists them.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - Click's
        table: Mapping[str, tuple[str, str]],
        says: Mapping[str, str],
        for_programs: Sequence[str] = (),
        examples: Sequence[str] = (),
        **attributes: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **attributes)
        self.table = table
        self.says = says
        self.for_programs = for_programs
        self.examples = tuple(examples)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names that people type, in the order of their use."""
        del ctx
        return [name for name in self.table if name not in self.for_programs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of the name."""
        del ctx
        if cmd_name not in self.table:
            return None
        module, function = self.table[cmd_name]
        command: click.Command = getattr(import_module(f"snapenv.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of each command, all of it on a narrow terminal too."""
        rows = [(name, self.says[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each a line to copy."""
        del ctx
        write_examples(formatter, self.examples)


def typed_command(group: LazyGroup, words: Sequence[str]) -> str:
    """Return the words of the command among all that were typed; empty where there is none."""
    at: click.Command | None = group
    names = []
    for word in words:
        if isinstance(at, LazyGroup) and word in at.table:
            at = at.get_command(click.Context(at), word)
            names.append(word)
    return "" if isinstance(at, LazyGroup) else " ".join(names)


def listed_commands(context: click.Context) -> Iterator[click.Context]:
    """Return the context of each command that people type, those of groups within too."""
    group = context.command
    assert isinstance(group, LazyGroup)  # noqa: S101 - as all groups are
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command  # noqa: S101 - it was listed
        within = click.Context(command, info_name=name, parent=context)
        yield from listed_commands(within) if isinstance(command, LazyGroup) else (within,)
