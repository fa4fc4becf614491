"""Write what is generated of the documentation, or say what of it is out of date.

The JSON Schemas of the commands come from the values that they answer, the reference pages from the
commands themselves, and the outputs that pages show from what ``docs/record.py`` recorded: a block
between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``make docs`` writes all of it, and
``make check`` compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from docs.imports import draw_imports
from snapenv import errors
from snapenv.cli.help import Command
from snapenv.cli.main import cli
from snapenv.errors import SnapenvError
from snapenv.report.schemas import RESULTS, command_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RECORDED = DOCS / "recorded"
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DRAWN = re.compile(r"[├└]── (\w+) +\d+ +(.*)")
_GROUP = click.Context(cli, info_name="snapenv")


def generated() -> dict[Path, str]:
    """Return the text of each file that is generated, or holds a part that is."""
    schemas = {
        ROOT / "snapenv" / "schemas" / f"{command}.json": _json(command_schema(command))
        for command in RESULTS
    }
    commands = {DOCS / "commands" / f"{one.name}.md": _page(one) for one in _commands()}
    pages = {path: _filled(path) for path in _pages()}
    return {**schemas, **commands, **pages}


def _pages() -> tuple[Path, ...]:
    return (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(DOCS.glob("*.md")))


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _commands() -> Iterator[Command]:
    for name in cli.list_commands(_GROUP):
        command = cli.get_command(_GROUP, name)
        assert isinstance(command, Command)  # noqa: S101 - all of ours are
        yield command


def _page(command: Command) -> str:
    """Return the reference page of a command."""
    context = click.Context(command, info_name=str(command.name), parent=_GROUP)
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    parts = [
        "<!-- make docs writes this page from the command itself -->",
        f"# snapenv {command.name}",
        *_paragraphs(command.help or ""),
        f"    {usage}",
        "## Examples",
        "\n".join(f"    {example}" for example in command.examples),
    ]
    for title, params in command.option_groups(context).items():
        rows = [row for param in params if (row := _row(param, context))]
        if not rows:
            continue
        parts += [f"## {title} options", "\n".join(("| option | |", "| --- | --- |", *rows))]
    if command.name in RESULTS:
        schema = f"../../snapenv/schemas/{command.name}.json"
        parts += [
            "## Result",
            f"With `--json`, `result` has these keys: [schema]({schema}), [JSON](../json.md).",
            "\n".join(("| key | type |", "| --- | --- |", *_result_rows(str(command.name)))),
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
    return f"```console\n{(RECORDED / f'{name}.txt').read_text(encoding='utf-8')}```\n"


def _exit_codes() -> str:
    """Return a table of every kind of error, with the words of the tree in errors.py."""
    meanings = dict(_DRAWN.findall(errors.__doc__ or ""))
    rows = [
        (0, "", "done; every check passed"),
        (1, "", "a check failed: the answer is no"),
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
    commands = tuple(_commands())
    for command in commands:
        for param in command.params:
            if isinstance(param.envvar, str):
                _, used = names.setdefault(param.envvar, (param.opts[-1], []))
                used.append(f"[{command.name}](commands/{command.name}.md)")
    lines = (
        f"| `{name}` | `{option}` | {', '.join(used) if len(used) < len(commands) else 'all'} |"
        for name, (option, used) in sorted(names.items())
    )
    return "\n".join(("| variable | option | of |", "| --- | --- | --- |", *lines)) + "\n"


def _command_table() -> str:
    lines = (
        f"| [`{one.name}`](docs/commands/{one.name}.md) | {one.get_short_help_str(limit=100)} |"
        for one in _commands()
    )
    return "\n".join(("| command | |", "| --- | --- |", *lines)) + "\n"


def main() -> int:
    """Write every file, or with --check exit with 1 where one differs."""
    texts = generated()
    if "--check" not in sys.argv[1:]:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    folders = (ROOT / "snapenv" / "schemas", DOCS / "commands")
    unknown = {path for folder in folders for path in folder.glob("*")} - texts.keys()
    different = [path for path, text in texts.items() if _read(path) != text]
    for path in (*different, *sorted(unknown)):
        print(f"{path.relative_to(ROOT)} is not what make docs writes")
    return 1 if different or unknown else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
