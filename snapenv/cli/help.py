"""How ``--help`` reads: options in groups, and an example at the end."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_OTHERS = "Other"


class Option(click.Option):
    """An option with the title of the group that it is listed in."""

    def __init__(self, *args: Any, group: str = _OTHERS, **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **attributes)
        self.group = group


class Command(click.Command):
    """A command whose help lists its options by group, and ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)

    def option_groups(self, ctx: click.Context) -> dict[str, list[click.Parameter]]:
        """Return the options by the title of their group, those of none at the end."""
        groups: dict[str, list[click.Parameter]] = {}
        for param in self.get_params(ctx):
            if param.param_type_name == "option":
                groups.setdefault(getattr(param, "group", _OTHERS), []).append(param)
        others = groups.pop(_OTHERS, [])
        return {**groups, _OTHERS: others} if others else groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a table for each group."""
        for title, params in self.option_groups(ctx).items():
            with formatter.section(f"{title} options"):
                formatter.write_dl([row for param in params if (row := param.get_help_record(ctx))])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each a line to copy."""
        del ctx
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """Write the section of examples, if there are any; lines to copy are not wrapped."""
    if examples:
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in examples))


command = functools.partial(click.command, cls=Command)
option = functools.partial(click.option, cls=Option)
