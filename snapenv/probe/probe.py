"""Send the probe to where an environment is, and read what it answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapenv.errors import InterpreterError, ProbeError
from snapenv.kept import Kept
from snapenv.travel.answer import AnswerError, find_answers, last_line, read_answer, run
from snapenv.travel.pack import pack_compiled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.model.facts import Facts
    from snapenv.ports import Completed, Target

MARK = "snapenv-facts: "
_OLDEST = (3, 8)
_ASK_VERSION = "import sys; sys.stdout.write('snapenv-python: %d %d' % sys.version_info[:2])"
_ASK_HOME = "import os; print('snapenv-home: %a' % os.environ.get('PYTHONHOME', ''))"


def probe(
    target: Target,
    *,
    hashes: Path | None = None,
    rehash: bool = False,
    fresh: bool = False,
    carry: Sequence[str] = (),
) -> Facts:
    """Look at the environment of a target; the rest is as ``look`` has it."""
    answer = look(target, hashes=hashes, rehash=rehash, fresh=fresh, carry=carry)
    return parse_facts(answer)


def look(
    target: Target,
    *,
    hashes: Path | None = None,
    rehash: bool = False,
    fresh: bool = False,
    carry: Sequence[str] = (),
) -> str:
    """Look at the environment of a target, and return the line that ``parse_facts`` reads.

    ``hashes`` is a folder of this machine for the hashes of files until the next look, and for
    this program as the target's own Python has compiled it. A file that has not changed since is
    then not read. Where no file at all has changed, and nothing leads out of the environment, what
    was seen of it is given again. Without ``hashes`` every file is read. ``rehash`` reads every
    file too, and keeps what it sees. ``fresh`` says that the environment was made a moment ago:
    then a file that its installer linked into it counts as unchanged where its size, mtime, inode
    and device are those of a file that was read before. ``carry`` are paths beside the sources of
    packages, absolute or from the folder of a project, that belong to the environment, too.

    Raises:
        InterpreterError: The target's program is no Python, or one that is too old.
        ProbeError: The probe failed on the target, or its answer cannot be read.
    """
    kept = ("--index", str(hashes)) if hashes else ()
    anew = ("--rehash",) if rehash else ()
    made = ("--fresh",) if hashes and fresh else ()
    also = [word for path in carry for word in ("--carry", path)]
    compiled = pack_compiled("snapenv_probe", target, Kept(hashes)) if hashes else None
    done = run(target, "snapenv_probe", (*kept, *anew, *made, *also), packed=compiled)
    answers = find_answers(done.stdout, MARK)
    if done.exit_code != 0 or not answers:
        _refuse_interpreter(target)
        raise _failure(target, done)
    return "\n".join(f"{MARK}{answer}" for answer in answers)


def parse_facts(stdout: str) -> Facts:
    """Read the one line of an output that holds facts.

    Raises:
        ProbeError: There is no such line or more than one, or it is of another form or schema.
    """
    from snapenv.model.facts import PROBE_SCHEMA, Facts  # imported while the answer is waited for

    answers = find_answers(stdout, MARK)
    if len(answers) != 1:
        raise ProbeError(
            f"the probe answered {len(answers)} times, not once",
            hint="Run the interpreter yourself, and see what it prints when it starts.",
        )
    try:
        schema = read_answer(stdout, MARK, dict[str, object]).get("schema")
        if schema != PROBE_SCHEMA:
            raise ProbeError(
                f"the probe answered in schema {schema!r}, not {PROBE_SCHEMA}",
                hint="Use the same version of snapenv here and there.",
            )
        return read_answer(stdout, MARK, Facts)
    except AnswerError as error:
        raise ProbeError(
            f"the probe's answer cannot be read: {error}",
            hint="This is a bug in snapenv; please report it with this message.",
        ) from error


def _refuse_interpreter(target: Target) -> None:
    """Ask a program that did not answer whether it is a Python, and which.

    Raises:
        InterpreterError: It is none, or too old.
    """
    done = target.run((target.python, "-c", _ASK_VERSION))
    version = re.search(r"snapenv-python: (\d{1,9}) (\d{1,9})", done.stdout)
    if version is None:
        if "Fatal Python error" in done.stderr:
            _refuse_home(target)
        raise InterpreterError(
            f"{target.python} is not Python",
            hint="Name the environment's interpreter, such as --python ENV/bin/python.",
        )
    major, minor = map(int, version.groups())
    if (major, minor) < _OLDEST:
        raise InterpreterError(
            f"{target.python} is Python {major}.{minor}; 3.8 is the oldest that works",
            hint="Move the environment to a newer Python.",
        )


def _refuse_home(target: Target) -> None:
    """Name PYTHONHOME where a Python starts without it; Python 3.13 says nothing of it itself.

    Raises:
        InterpreterError: That is so.
    """
    done = target.run((target.python, "-E", "-c", _ASK_HOME))
    home = re.search(r"snapenv-home: ['\"](.+)['\"]", done.stdout)
    if home:
        raise InterpreterError(
            f"{target.python} does not start: PYTHONHOME leads it to {home[1]}",
            hint="Unset PYTHONHOME: in a shell by unset PYTHONHOME, in an image by ENV "
            'PYTHONHOME="".',
        )


def _failure(target: Target, done: Completed) -> ProbeError:
    return ProbeError(
        f"the probe exited with {done.exit_code} on {target.python}: {last_line(done.stderr)}",
        hint=f"See that {target.python} -c 'import json, ctypes, hashlib' works on the target.",
    )
