"""A file that would travel and holds a secret stops the capture, by name."""

from __future__ import annotations

import json
import random
import string
from typing import TYPE_CHECKING

import pytest
import tomlkit
from inline_snapshot import snapshot as wording

from tests.command import EXIT_CODES, Command
from tests.zoo.cases import SETUPTOOLS, wheel
from tests.zoo.environment import Venv, write

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

TOKEN = "ghp_" + "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=36))
PASSWORD = "w0mbat-Stew-4711"
LINES = f"# ours\nX = 1\nTOKEN = '{TOKEN}'\n"


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    return Venv(tmp_path / "working").make()


def loose(venv: Venv) -> str:
    write(venv.site, {"ours.py": LINES})
    return "site/ours.py line 3"


def edited(venv: Venv) -> str:
    venv.install("six==1.16.0")
    path = venv.site / "six.py"
    count = len(path.read_text().splitlines())
    path.write_text(path.read_text() + LINES)
    return f"site/six.py line {count + 3}"


def added_to_a_package(venv: Venv) -> str:
    venv.install("click")
    write(venv.site, {"click/ours.py": LINES})
    return "site/click/ours.py line 3"


def script(venv: Venv) -> str:
    venv.install("tabulate==0.9.0")
    path = venv.folder / "bin" / "tabulate"
    path.write_text(path.read_text() + LINES)
    return "prefix/bin/tabulate line "


def editable(venv: Venv) -> str:
    sources = {"pyproject.toml": SETUPTOOLS, "src/animal/__init__.py": LINES}
    venv.install("--no-deps", "--editable", str(write(venv.beside / "animal", sources)))
    return "animal/__init__.py line 3"


def local_wheel(venv: Venv) -> str:
    venv.install("--no-deps", str(wheel(venv.beside, "animal", "1.0", {"animal.py": LINES})))
    return "animal.py line 3"


def notebook(venv: Venv) -> str:
    output = {"output_type": "stream", "text": [f"token {TOKEN}\n"]}
    text = json.dumps({"cells": [{"outputs": [output]}]}, indent=1)
    write(venv.site, {"notes/try.ipynb": text})
    return "site/notes/try.ipynb line "


def binary(venv: Venv) -> str:
    (venv.site / "weights.bin").write_bytes(
        random.Random(1).randbytes(99_999) + b"\0" + TOKEN.encode()
    )
    return "site/weights.bin holds a GitHub token"


TRAVELS = (loose, edited, added_to_a_package, script, editable, local_wheel, notebook, binary)


def capture(
    venv: Venv, snapshot: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    where = ("--python", str(venv.python), "--no-smoke", "-o", str(snapshot))
    return Command(variables).run("capture", *where, *words)


@pytest.mark.parametrize("make", TRAVELS)
def test_a_file_that_would_travel_with_a_token_stops_the_capture(
    make: Callable[[Venv], str], venv: Venv, tmp_path: Path
) -> None:
    place = make(venv)
    snapshot = tmp_path / "snapshot"

    done = capture(venv, snapshot)

    assert done.returncode == EXIT_CODES["leak"], done.stderr
    assert place in done.stderr
    assert "holds a GitHub token" in done.stderr
    assert "--allow" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert not snapshot.exists()
    assert list(tmp_path.glob("*snapshot*")) == []


def test_a_credential_of_this_machine_stops_the_capture_by_where_it_was_seen(
    venv: Venv, tmp_path: Path
) -> None:
    write(venv.site, {"ours.py": f"login('{PASSWORD}')\n"})

    done = capture(venv, tmp_path / "snapshot", OUR_PASSWORD=PASSWORD)

    assert done.returncode == EXIT_CODES["leak"], done.stderr
    assert "site/ours.py line 1 holds the variable OUR_PASSWORD" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_in_json_the_error_names_the_place_and_not_the_secret(venv: Venv, tmp_path: Path) -> None:
    loose(venv)

    document = Command().document(
        *("capture", "--no-smoke", "--python", str(venv.python)), "-o", str(tmp_path / "snapshot")
    )

    assert document["exit_code"] == 5
    assert document["error"]["kind"] == "leak"
    assert document["error"]["message"] == wording("site/ours.py line 3 holds a GitHub token")
    assert TOKEN not in json.dumps(document)


def test_an_allowed_file_passes_and_is_named_in_the_lock(venv: Venv, tmp_path: Path) -> None:
    loose(venv)
    write(venv.site, {"other.py": LINES})
    snapshot = tmp_path / "snapshot"

    done = capture(venv, snapshot, "--allow", "site/ours.py", "--allow", "site/other.py")

    assert done.returncode == 0, done.stderr
    lock = tomlkit.parse((snapshot / "snapenv.toml").read_text()).unwrap()
    assert lock["allowed"] == ["site/other.py", "site/ours.py"]
    assert TOKEN not in done.stdout + done.stderr


def test_what_is_allowed_covers_no_other_file(venv: Venv, tmp_path: Path) -> None:
    loose(venv)
    write(venv.site, {"other.py": LINES})

    done = capture(venv, tmp_path / "snapshot", "--allow", "site/ours.py")

    assert done.returncode == EXIT_CODES["leak"]
    assert "site/other.py line 3" in done.stderr
    assert "site/ours.py" not in done.stderr
    assert not (tmp_path / "snapshot").exists()
