"""The environment's own folder in files that travel: taken out here, and put in over there."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import snapenv
from snapenv.probe.collect import collect
from snapenv.targets.local import LocalTarget
from snapenv_probe import placeholders
from tests.probe.environments import WHEEL, write_files, write_wheel

if TYPE_CHECKING:
    from tests.probe.environments import Venv

IN_SNAPSHOT = Path(snapenv.__file__).parent / "lock" / "in_snapshot"
PREFIX, SITE = os.fsencode(sys.prefix), os.fsencode(sysconfig.get_paths()["purelib"])


def module(folder: Path, name: str) -> Any:  # noqa: ANN401
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


apply = module(IN_SNAPSHOT, "apply_overlay")
pieces = st.one_of(
    st.binary(max_size=9),
    st.sampled_from(
        [PREFIX, SITE, b"@snapenv:", b"@snapenv:site@", b"@", b"/", b".old", b"\n", b"'"]
    ),
)


@given(st.lists(pieces, max_size=12).map(b"".join))
def test_what_is_taken_out_comes_back_byte_for_byte(content: bytes) -> None:
    travels = placeholders.take_out(content)

    assert apply._with_folders(travels, as_json=False) == content


@pytest.mark.parametrize(
    ("text", "travels"),
    [
        ("{site}/vendored", "@snapenv:site@/vendored"),
        ('export X="{prefix}/lib:$X"', 'export X="@snapenv:prefix@/lib:$X"'),
        ("PATH=/a:{prefix}/bin", "PATH=/a:@snapenv:prefix@/bin"),
        ("LDFLAGS=-L{prefix}/lib", "LDFLAGS=-L@snapenv:prefix@/lib"),
        ("see file://{prefix}.", "see file://@snapenv:prefix@."),
        ("{prefix}-old {prefix}2 {prefix}.bak /mnt{prefix}", None),
    ],
)
def test_a_folder_is_found_where_it_is_named_and_not_where_another_is(
    text: str, travels: str | None
) -> None:
    text = text.format(prefix=sys.prefix, site=SITE.decode())

    assert placeholders.take_out(text.encode()).decode() == (travels or text)


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("ours.pth", True),
        ("package/ours.pth", False),
        ("../../../share/jupyter/kernels/x/kernel.json", True),
        ("../../../bin/activate.local", True),
        ("../../../bin/postactivate", True),
        ("../../../etc/conda/activate.d/x.sh", True),
        ("../../../bin/ours", False),
        ("ours.py", False),
    ],
)
def test_forms_are_known_by_their_place(path: str, *, known: bool) -> None:
    assert placeholders.is_known(path) is known


def kernel(venv: Venv) -> str:
    return json.dumps({"argv": [venv.python, "-m", "kernel"], "env": {"X": str(venv.folder)}})


@pytest.mark.parametrize("kind", ["loose", "edited"])
def test_what_is_told_and_what_is_collected_are_the_same_and_name_no_folder(
    kind: str, venv: Venv, tmp_path: Path
) -> None:
    path = "share/kernels/x/kernel.json"
    files = {"plain.py": "", "plain-1.0.dist-info/WHEEL": WHEEL}
    owned = {f"plain-1.0.data/data/{path}": "{}"} if kind == "edited" else {}
    venv.install(write_wheel(tmp_path, "plain", {**files, **owned}))
    write_files(venv.folder, {path: kernel(venv)})

    environment = venv.look().environment
    collected = collect(LocalTarget(venv.python), distributions=[], files=[f"prefix/{path}"])

    content = collected.files[f"prefix/{path}"].text
    assert json.loads(content)["argv"][0] == "@snapenv:prefix@/bin/python"
    assert str(tmp_path).encode() not in content
    plain = environment.find("plain")
    assert plain
    assert plain.files
    if kind == "edited":
        assert plain.files.edited == plain.files.placeholders == (f"../../../{path}",)
    else:
        (loose,) = environment.untracked
        assert loose.placeholders
        assert loose.sha256 == hashlib.sha256(content).hexdigest()


def test_an_unedited_file_counts_as_its_wheel_has_it(venv: Venv, tmp_path: Path) -> None:
    path = "share/kernels/x/kernel.json"
    venv.install(write_wheel(tmp_path, "plain", {f"plain-1.0.data/data/{path}": kernel(venv)}))

    found = venv.find("plain").files

    assert found
    assert (found.edited, found.placeholders) == ((), ())


def test_places_are_those_of_the_environment_and_of_its_user(
    venv: Venv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/alice")

    places = venv.look().places

    assert str(venv.folder) in places["this environment's folder"]
    assert str(venv.site) in places["this environment's folder"]
    assert places["your home folder"] == ("/home/alice",)
