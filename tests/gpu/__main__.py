"""``python -m tests.gpu``: pack, run, tolerances; see CONTRIBUTING.md.

On a machine without network snapenv's own dependencies come out of the kit, so they are imported
only after that was put on the path.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.gpu.kit import unpack_kit

_ROOT = Path(__file__).parents[2]
_KIT = _ROOT / "build" / "gpu-kit"


def main() -> int:
    """Run one of the commands, and give the exit code."""
    words = sys.argv[1:]
    if words[:1] != ["pack"] and _KIT.is_dir():
        tools = unpack_kit(_KIT) / "tools"
        if tools.is_dir():
            sys.path.insert(0, str(tools))
    if words[:1] == ["snapenv"]:  # the command line, for parts of a run
        from snapenv.cli.main import main as snapenv

        return snapenv(words[1:])
    if words[:1] == ["part"]:
        return _part(*words[1:])
    asked = _parser().parse_args()
    command: str = asked.command
    return {"pack": _pack, "run": _run, "tolerances": _tolerances}[command](asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu")
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="pack what a machine without network lacks")
    pack.add_argument(
        "--machine", type=Path, help="its packages: what pip list --format=freeze says"
    )
    pack.add_argument("--python", default="3.12", help="its Python [default: 3.12]")
    run = commands.add_parser("run", help="measure, and write a record")
    run.add_argument("--output", type=Path, required=True, help="the folder of the record")
    run.add_argument("--name", default="unnamed", help="of the record [default: of the device]")
    run.add_argument("--python", type=Path, default=Path(sys.executable))
    run.add_argument("--rehearse", action="store_true", help="on the CPU")
    run.add_argument("--budget", type=float, default=480.0, help="seconds of all [default: 480]")
    run.add_argument("--parts", help="some of them, with commas between")
    run.add_argument("--repeats", type=int, default=20)
    run.add_argument("--planted", type=int, default=5)
    run.add_argument("--only", default="", help="some differences, with commas between")
    tolerances = commands.add_parser("tolerances", help="compute what the tiers allow")
    tolerances.add_argument("files", type=Path, nargs="*", help="[default: all that are kept]")
    tolerances.add_argument("--check", action="store_true")
    return parser


def _part(name: str, given: str, told: str) -> int:
    import json

    import msgspec

    from tests.gpu.parts import Context, Notes, run_part

    context = msgspec.convert(json.loads(Path(given).read_text()), Context)
    with Path(told).open("a", buffering=1) as file:
        run_part(name, context, Notes(lambda line: file.write(f"{line}\n")))
    return 0


def _pack(asked: argparse.Namespace) -> int:
    from tests.gpu.pack import make_kit

    return make_kit(_KIT, asked.machine, asked.python)


def _run(asked: argparse.Namespace) -> int:
    from tests.gpu.parts import PARTS
    from tests.gpu.run import Asked, give_name, run

    unpacked = unpack_kit(_KIT)
    carried = {name: unpacked / name for name in ("environment", "another")}
    request = Asked(
        output=asked.output,
        name=asked.name,
        python=asked.python.absolute(),
        environment=carried["environment"] if carried["environment"].is_dir() else None,
        another=carried["another"] if carried["another"].is_dir() else None,
        rehearse=asked.rehearse,
        budget_s=asked.budget,
        parts=asked.parts.split(",") if asked.parts else tuple(PARTS),
        repeats=asked.repeats,
        planted=asked.planted,
        only=tuple(filter(None, asked.only.split(","))),
    )
    record = give_name(request, run(request))
    print(f"{record.name}: {record.seconds:.0f} s, on {record.device}")
    return 0 if record.baseline else 1


def _tolerances(asked: argparse.Namespace) -> int:
    from tests.gpu.tolerances import update

    return update(asked.files, check=asked.check)


if __name__ == "__main__":
    sys.exit(main())
