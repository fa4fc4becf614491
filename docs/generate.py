"""Write what is generated of the documentation, or say what of it is out of date.

The JSON Schemas of the commands come from the values that they answer, and the reference pages
from the commands themselves. ``make docs`` writes them; ``make check`` compares them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from snapenv.report.schemas import RESULTS, command_schema

ROOT = Path(__file__).parents[1]


def generated() -> dict[Path, str]:
    """Return the text of each file that is generated."""
    return {
        ROOT / "snapenv" / "schemas" / f"{command}.json": _json(command_schema(command))
        for command in RESULTS
    }


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write every file, or with --check exit with 1 where one differs."""
    texts = generated()
    if "--check" not in sys.argv[1:]:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    folders = {path.parent for path in texts}
    unknown = {path for folder in folders for path in folder.glob("*")} - texts.keys()
    different = [path for path, text in texts.items() if _read(path) != text]
    for path in (*different, *sorted(unknown)):
        print(f"{path.relative_to(ROOT)} is not what make docs writes")
    return 1 if different or unknown else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
