"""The files of an image are compared as its engine has them, whatever its own Python says."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.model.python import Distribution, Files, UntrackedFile
from snapenv.verify.outside import compare_outside
from tests.samples import sample_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.outcome import Check
    from snapenv.model.python import Environment

SITE = "lib/python3.11/site-packages"
INFO = f"{SITE}/demo-1.0.dist-info"
MODULE, TOOL = b"x = 1\n", b"#!/opt/snapenv/venv/bin/python\nimport demo\n"
MADE = b"#!/opt/snapenv/venv/bin/python\nfrom demo import main\n"
LOOSE = b"LOOSE = 1\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def line(path: str, content: bytes) -> str:
    digest = urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{path},sha256={digest},{len(content)}\n"


FILES: Mapping[str, bytes | None] = {
    f"{SITE}/demo.py": MODULE,
    f"{SITE}/loose.py": LOOSE,
    f"{SITE}/_virtualenv.py": b"uv's\n",
    f"{INFO}/METADATA": b"Name: demo\n",
    f"{INFO}/entry_points.txt": b"[console_scripts]\nmade = demo:main\n",
    f"{INFO}/INSTALLER": b"uv",
    f"{INFO}/RECORD": (
        line("demo.py", MODULE)
        + line("../../../bin/made", MADE)
        + line("../../../bin/tool", TOOL)
        + line("demo-1.0.dist-info/METADATA", b"Name: demo\n")
        + line("demo-1.0.dist-info/entry_points.txt", b"x")
        + "demo-1.0.dist-info/INSTALLER,,\ndemo-1.0.dist-info/RECORD,,\n"
    ).encode(),
    "bin/made": MADE,
    "bin/tool": TOOL,
    "bin/python": None,
    "pyvenv.cfg": b"home = /usr/bin\n",
}
COUNTED = {
    "demo.py": sha256(MODULE),
    "../../../bin/tool": sha256(b"#!python\nimport demo\n"),
    "demo-1.0.dist-info/METADATA": sha256(b"Name: demo\n"),
    "demo-1.0.dist-info/entry_points.txt": sha256(b"[console_scripts]\nmade = demo:main\n"),
}


def locked() -> Environment:
    sums = "".join(f"{path}\0{COUNTED[path]}\n" for path in sorted(COUNTED))
    files = Files(count=4, size_bytes=99, sha256=sha256(sums.encode()))
    demo = Distribution(name="demo", version="1.0", origin="index", files=files)
    return replace(
        sample_facts().environment,
        distributions=(demo,),
        untracked=(UntrackedFile(path="loose.py", sha256=sha256(LOOSE)),),
    )


def compare(changes: Mapping[str, bytes | None] | None = None, *, without: str = "") -> Check:
    def found() -> Iterator[tuple[str, Iterator[bytes] | None]]:
        for path, content in {**FILES, **(changes or {})}.items():
            if path != without:
                yield path, None if content is None else iter([content[:3], content[3:]])

    return compare_outside(found(), locked())


def test_files_that_are_as_locked_are_counted() -> None:
    check = compare()

    assert (check.id, check.ok, check.part) == ("outside", True, "image")
    assert check.actual == "4 files of 1 package, read from outside"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({f"{SITE}/demo.py": b"x = 2\n"}, "demo"),
        ({f"{SITE}/demo.py": None}, "demo"),
        ({"bin/tool": TOOL + b"evil()\n"}, "demo"),
        ({"bin/made": MADE + b"evil()\n"}, "demo"),
        ({f"{INFO}/RECORD": b""}, "demo"),
        ({f"{SITE}/loose.py": b"LOOSE = 2\n"}, "loose.py"),
        ({f"{SITE}/sitecustomize.py": b"import os\n"}, "sitecustomize.py"),
        ({f"{SITE}/usercustomize/__init__.py": b""}, "usercustomize/__init__.py"),
        ({f"{SITE}/x.pth": b"import evil\n"}, "x.pth"),
        ({f"{SITE}/hashlib.so": b"\x7fELF"}, "hashlib.so"),
        ({f"{SITE}/evil.pyc": b""}, "evil.pyc"),
        ({"bin/python": b"#!/bin/sh\necho 3.11\n"}, "bin/python is no program"),
    ],
)
def test_what_is_not_as_locked_is_named(changes: Mapping[str, bytes | None], named: str) -> None:
    check = compare(changes)

    assert not check.ok
    assert named in check.actual.rpartition(": ")[2].split(", ")


def test_a_file_that_is_missing_is_named() -> None:
    assert not compare(without=f"{SITE}/demo.py").ok
    assert not compare_outside((), locked()).ok


def test_another_version_is_not_the_locked_one() -> None:
    moved = {path.replace("demo-1.0", "demo-1.1"): content for path, content in FILES.items()}

    assert not compare_outside(
        ((path, iter([content]) if content else None) for path, content in moved.items()), locked()
    ).ok
