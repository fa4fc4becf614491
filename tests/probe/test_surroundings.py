"""What lies beside the sources of packages: it is named, and travels where the user says so."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.probe.collect import collect
from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from tests.probe.environments import install_editable, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.python import Environment
    from tests.probe.environments import Venv

MINOR = r"python3\.\d+"
DATA = {"configs/a.yaml": "1", "configs/deep/b.yaml": "22", "weights.pt": "333"}
NO_DATA = {
    "README.md": "",
    "LICENSE": "",
    "Makefile": "",
    "requirements-dev.txt": "",
    "uv.lock": "",
    "tests/data/x.bin": "",
    "docs/x.png": "",
    "build/lib/x.txt": "",
    "train.py": "",
    ".git/config": "",
    ".env": "",
    "plain.egg-info/x": "",
    "env/pyvenv.cfg": "",
    "env/x": "",
}


def look(venv: Venv, *carry: str | Path) -> Environment:
    return probe(LocalTarget(venv.python), carry=[str(path) for path in carry]).environment


def install(venv: Venv, project: Path, layout: str) -> None:
    """Install a project whose one package lies in its folder, or in ``src``."""
    top = project / "src" if layout == "src" else project
    write_files(top, {"plain/__init__.py": "", "plain/own.csv": "1"})
    install_editable(venv, project, top)


@pytest.mark.parametrize("layout", ["flat", "src"])
def test_data_beside_the_package_of_a_project_is_named_with_its_size(
    venv: Venv, tmp_path: Path, layout: str
) -> None:
    write_files(tmp_path / "project", {**DATA, **NO_DATA})
    install(venv, tmp_path / "project", layout)

    (note,) = look(venv).notes
    told, _, advice = note.partition("; ")
    assert told == wording(
        "3 files, 6 B, beside the sources of plain do not travel: configs, weights.pt"
    )
    assert advice == wording("--carry PATH takes them")


def test_a_project_of_packages_and_tools_alone_is_not_worth_a_word(
    venv: Venv, tmp_path: Path
) -> None:
    write_files(tmp_path / "project", NO_DATA)
    install(venv, tmp_path / "project", "flat")

    assert look(venv).notes == ()


@pytest.mark.parametrize("named", ["from the project", "absolute", "through a link"])
@pytest.mark.parametrize("layout", ["flat", "src"])
def test_what_is_carried_keeps_its_place_as_seen_from_the_package(
    venv: Venv, tmp_path: Path, layout: str, named: str
) -> None:
    project = tmp_path / "project"
    write_files(project, DATA)
    install(venv, project, layout)
    (tmp_path / "link").symlink_to(project)
    top = {"from the project": "", "absolute": f"{project}/", "through a link": f"{tmp_path}/link/"}
    carry = [f"{top[named]}configs", f"{top[named]}weights.pt"]

    environment = look(venv, *carry)

    above = "" if layout == "flat" else rf"\.\./\.\./{MINOR}/"
    carried = [loose.path for loose in environment.untracked]
    assert [re.sub(f"^{above}", "", path) for path in carried] == sorted(DATA)
    assert all(re.match(above, path) for path in carried)
    assert (environment.notes, environment.not_carried) == ((), ())
    names = [os.path.normpath(f"lib/python3/site-packages/{path}") for path in carried]
    asked = [
        f"site/{path}" if layout == "flat" else f"prefix/{name}"
        for path, name in zip(carried, names, strict=True)
    ]
    found = collect(LocalTarget(venv.python), distributions=[], files=asked, carry=carry)
    assert sorted(file.text.decode() for file in found.files.values()) == ["1", "22", "333"]


def test_what_is_carried_is_seen_again_where_it_then_lies(venv: Venv) -> None:
    write_files(venv.site.parent, {"configs/a.yaml": "1"})

    (loose,) = look(venv).untracked

    assert re.fullmatch(rf"\.\./\.\./{MINOR}/configs/a\.yaml", loose.path)


def test_beside_what_the_import_path_has_outside_files_are_named_and_carried_too(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "scripts" / "inner", {**DATA, "helper.py": ""})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "scripts" / "inner"))

    (note,) = look(venv).notes
    carried = look(venv, "configs")

    assert note.replace(str(tmp_path), "TMP") == wording(
        "3 files, 6 B, beside the sources of TMP/scripts/inner do not travel: configs, weights.pt; --carry PATH takes them"
    )
    assert [loose.path for loose in carried.untracked if "configs" in loose.path] == [
        "snapenv-path/inner/configs/a.yaml",
        "snapenv-path/inner/configs/deep/b.yaml",
    ]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nothing", "there is no such file or folder beside a package"),
        ("/usr/share", "of the operating system"),
        ("{far}/x.txt", "too far from plain to keep its place beside it"),
    ],
)
def test_what_cannot_be_carried_is_told(venv: Venv, tmp_path: Path, path: str, why: str) -> None:
    install(venv, tmp_path / "a" / "b" / "c" / "project", "flat")
    write_files(tmp_path / "far", {"x.txt": ""})
    path = path.format(far=tmp_path / "far")

    assert look(venv, path).not_carried == (f"{path}: {why}",)


def test_a_relative_path_of_pythonpath_is_told(venv: Venv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "src:")

    assert look(venv).notes == (
        wording("PYTHONPATH names src, which hangs on where a program starts: left out"),
    )
