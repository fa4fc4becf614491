"""Write what is generated of the documentation, or say what of it is out of date.

The JSON Schemas of the commands come from the values that they answer, the reference pages from the
commands themselves, the outputs that pages show from what ``docs/record.py`` recorded, and figures
from what ``tests.benchmarks`` recorded: a block between ``<!-- generated: NAME -->`` and
``<!-- end -->``. ``make docs`` writes all of it, and ``make check`` compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from docs import measured
from docs.imports import draw_imports
from snapenv import errors
from snapenv.cli.group import LazyGroup, listed_commands
from snapenv.cli.help import Command
from snapenv.cli.main import cli
from snapenv.errors import SnapenvError
from snapenv.report.schemas import RESULTS, command_schema, file_stem
from tests.gpu.tolerances import read_records, table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RECORDED = DOCS / "recorded"
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DRAWN = re.compile(r"[├└]── (\w+) +\d+ +(.*)")
_SNAPENV = click.Context(cli, info_name="snapenv")


def generated() -> dict[Path, str]:
    """Return the text of each file that is generated, or holds a part that is."""
    schemas = {
        ROOT / "snapenv" / "schemas" / f"{file_stem(command)}.json": _json(command_schema(command))
        for command in RESULTS
    }
    references = {
        DOCS / "commands" / f"{file_stem(_name(context))}.md": page(context)
        for page, contexts in ((_page, _commands()), (_group_page, _groups()))
        for context in contexts
    }
    pages = {path: _filled(path) for path in _pages()}
    return {**schemas, **references, **pages, **measured.pictures()}


def _pages() -> tuple[Path, ...]:
    return (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(DOCS.glob("*.md")))


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _commands() -> tuple[click.Context, ...]:
    return tuple(listed_commands(_SNAPENV))


def _name(context: click.Context) -> str:
    """Return what people type after the program's name: ``usage report``."""
    return context.command_path.partition(" ")[2]


def _groups() -> Iterator[click.Context]:
    """Return the groups of commands below the first one."""
    for name in cli.list_commands(_SNAPENV):
        group = cli.get_command(_SNAPENV, name)
        if isinstance(group, LazyGroup):
            yield click.Context(group, info_name=name, parent=_SNAPENV)


def _group_page(context: click.Context) -> str:
    """Return the reference page of a group: its commands, each with its own page."""
    lines = (_command_line(one, "") for one in listed_commands(context))
    table = "\n".join(("| command | |", "| --- | --- |", *lines))
    return "\n\n".join((*_head(context), table)) + "\n"


def _head(context: click.Context) -> tuple[str, ...]:
    command = context.command
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    return (
        "<!-- make docs writes this page from the command itself -->",
        f"# {context.command_path}",
        *_paragraphs(command.help or ""),
        f"    {usage}",
    )


def _page(context: click.Context) -> str:
    """Return the reference page of a command."""
    command, name = context.command, _name(context)
    assert isinstance(command, Command)  # noqa: S101 - all of ours are
    parts = [
        *_head(context),
        "## Examples",
        "\n".join(f"    {example}" for example in command.examples),
    ]
    for title, params in command.option_groups(context).items():
        rows = [row for param in params if (row := _row(param, context))]
        if not rows:
            continue
        parts += [f"## {title} options", "\n".join(("| option | |", "| --- | --- |", *rows))]
    if name in RESULTS:
        schema = f"../../snapenv/schemas/{file_stem(name)}.json"
        parts += [
            "## Result",
            f"With `--json`, `result` has these keys: [schema]({schema}), [JSON](../json.md).",
            "\n".join(("| key | type |", "| --- | --- |", *_result_rows(name))),
        ]
    return "\n\n".join(parts) + "\n"


def _result_rows(command: str) -> Iterator[str]:
    definitions = msgspec.json.schema(RESULTS[command])["$defs"]
    properties = definitions[RESULTS[command].__name__]["properties"]
    return (f"| `{name}` | {_type(one)} |" for name, one in properties.items())


def _type(schema: dict[str, Any]) -> str:
    """Return the type of a value in words: ``list of string``, ``Speed or null``."""
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema["type"] == "array" and schema.get("items"):
        item = _type(schema["items"])
        return f"list of ({item})" if " or " in item else f"list of {item}"
    return str(schema["type"])


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _row(param: click.Parameter, context: click.Context) -> str | None:
    record = param.get_help_record(context)
    if record is None or "--help" in param.opts:
        return None
    words, text = (part.replace("|", "\\|") for part in record)
    variable = f" `{param.envvar}`" if isinstance(param.envvar, str) else ""
    return f"| `{words}` | {' '.join(text.split())}{variable} |"


def _filled(path: Path) -> str:
    """Return a page with its generated blocks as they should be."""
    return _BLOCK.sub(lambda found: found[1] + _block(found[2]) + found[3], _read(path) or "")


def _block(name: str) -> str:
    if name == "exit-codes":
        return _exit_codes()
    if name == "variables":
        return _variables()
    if name == "commands":
        return _command_table()
    if name == "imports":
        return draw_imports()
    if name == "measured":
        return measured.summary()
    if name.startswith("measured-"):
        return measured.block(name.removeprefix("measured-").replace("-", "_"))
    if name == "tolerances":
        return table(read_records())
    return f"```console\n{(RECORDED / f'{name}.txt').read_text(encoding='utf-8')}```\n"


def _exit_codes() -> str:
    """Return a table of every kind of error, with the words of the tree in errors.py."""
    meanings = dict(_DRAWN.findall(errors.__doc__ or ""))
    rows = [
        (0, "", "done; every check passed"),
        (1, "", "a check failed"),
        (70, SnapenvError.slug, "a bug in snapenv; `SNAPENV_DEBUG=1` shows where"),
        *(
            (one.exit_code, one.slug, meanings[one.__name__])
            for one in SnapenvError.__subclasses__()
        ),
    ]
    ordered = sorted(rows, key=lambda row: row[0])
    lines = (f"| {code} | {slug or '-'} | {text} |" for code, slug, text in ordered)
    return "\n".join(("| code | kind | |", "| --- | --- | --- |", *lines)) + "\n"


def _variables() -> str:
    """Return a table of the variables that set options, with the commands that have them."""
    names: dict[str, tuple[str, list[str]]] = {}
    commands = _commands()
    for context in commands:
        for param in context.command.params:
            if isinstance(param.envvar, str):
                _, used = names.setdefault(param.envvar, (param.opts[-1], []))
                used.append(f"[{_name(context)}](commands/{file_stem(_name(context))}.md)")
    lines = (
        f"| `{name}` | `{option}` | {', '.join(used) if len(used) < len(commands) else 'all'} |"
        for name, (option, used) in sorted(names.items())
    )
    return "\n".join(("| variable | option | of |", "| --- | --- | --- |", *lines)) + "\n"


def _command_table() -> str:
    lines = (
        _command_line(click.Context(command, info_name=name, parent=_SNAPENV), "docs/commands/")
        for name in cli.list_commands(_SNAPENV)
        if (command := cli.get_command(_SNAPENV, name))
    )
    return "\n".join(("| command | |", "| --- | --- |", *lines)) + "\n"


def _command_line(context: click.Context, folder: str) -> str:
    name, text = _name(context), context.command.get_short_help_str(limit=100)
    return f"| [`{name}`]({folder}{file_stem(name)}.md) | {text} |"


def main() -> int:
    """Write every file, or with --check exit with 1 where one differs."""
    texts = generated()
    if "--check" not in sys.argv[1:]:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    folders = (ROOT / "snapenv" / "schemas", DOCS / "commands", measured.PICTURES)
    unknown = {path for folder in folders for path in folder.glob("*")} - texts.keys()
    different = [path for path, text in texts.items() if _read(path) != text]
    for path in (*different, *sorted(unknown)):
        print(f"{path.relative_to(ROOT)} is not what make docs writes")
    return 1 if different or unknown else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
