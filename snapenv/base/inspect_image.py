"""Look into an image that is here: which Python and which torch it carries.

No variable and no label names the Python. A short program tells it, in a container without
network; it imports no torch and reads no package, so that an image of 20 GB costs a second too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snapenv.base.metadata import ImageMetadata
from snapenv.errors import ProbeError
from snapenv.nvidia.catalogue import major_minor

if TYPE_CHECKING:
    from snapenv.ports import Target

MARK = "snapenv-base: "  # an image's entrypoint prints a banner before
_PROGRAM = """
import ast, importlib.util, json, os, sys
seen = {"python": "%d.%d.%d" % sys.version_info[:3]}
found = importlib.util.find_spec("torch")
names = {"__version__": "torch", "cuda": "cuda"}
if found and found.origin:
    with open(os.path.join(os.path.dirname(found.origin), "version.py")) as file:
        lines = ast.parse(file.read()).body
    for line in lines:
        targets = getattr(line, "targets", [getattr(line, "target", None)])
        name, value = getattr(targets[0], "id", None), getattr(line, "value", None)
        if name in names and isinstance(getattr(value, "value", None), str):
            seen[names[name]] = value.value
sys.stdout.write("\\n" + sys.argv[1] + json.dumps(seen) + "\\n")
"""


def inspect_image(target: Target) -> ImageMetadata:
    """Return the Python, torch and its CUDA that an image holds; None for what it has not.

    Raises:
        ProbeError: The program failed on the target, or its answer cannot be read.
        InterpreterError: The image has no such Python.
        EngineError: The container did not start, or was ended.
    """
    done = target.run((target.python, "-B", "-c", _PROGRAM, MARK))
    answers = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.exit_code or len(answers) != 1:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise ProbeError(
            f"{target.python} of the image exited with {done.exit_code}: {last}",
            hint="The image may be incomplete: pull it again.",
        )
    return parse_seen(answers[0].removeprefix(MARK))


def parse_seen(text: str) -> ImageMetadata:
    """Read what the program tells, as one JSON object.

    Raises:
        ProbeError: It is of another form.
    """
    try:
        seen = json.loads(text)
        python, torch, cuda = (seen.get(name) for name in ("python", "torch", "cuda"))
    except (ValueError, AttributeError) as error:
        raise _unreadable(text) from error
    given = [text for text in (python, torch, cuda) if text is not None]
    if python is None or not all(isinstance(text, str) and major_minor(text) for text in given):
        raise _unreadable(text)
    return ImageMetadata(python=python, torch=torch, cuda=cuda)


def _unreadable(text: str) -> ProbeError:
    return ProbeError(
        f"the image reported its versions as {text[:80]!r}",
        hint="Pull the image again, or choose another with --base.",
    )
