"""The import path as the interpreter has it, whatever its folders are called."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.probe.collect import collect
from snapenv.targets.local import LocalTarget
from tests.probe.environments import make_venv, write_files, write_wheel

if TYPE_CHECKING:
    from snapenv.model.python import Environment
    from tests.probe.environments import Venv

SCRIPT = {"plain.py": "", "plain-1.0.data/scripts/roar": "#!python\nprint('roar')\n"}


@pytest.mark.parametrize("place", ["outside/py311libs", "venv/pkgs", "outside/site-packages"])
def test_a_site_packages_that_is_a_link_is_seen_as_if_it_were_none(
    venv: Venv, tmp_path: Path, place: str
) -> None:
    venv.install(write_wheel(tmp_path, "plain", SCRIPT))
    write_files(venv.site, {"weights.bin": "1 2 3"})
    write_files(venv.folder, {"bin/by-hand": "#!/bin/sh\n"})
    before, site = venv.look().environment, venv.site

    (tmp_path / place).parent.mkdir(exist_ok=True)
    shutil.move(site, tmp_path / place)
    site.symlink_to(tmp_path / place)

    assert venv.look().environment == before
    assert [loose.path for loose in before.untracked] == ["../../../bin/by-hand", "weights.bin"]


def leads(venv: Venv, place: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Let the import path of an environment lead to a place, one way or the other."""
    lines = {
        "pth": f"# a note\n{place}\n",
        "pth among others": f"import os\n{place}\ninside\n",
        "code": f"import sys; sys.path.append({str(place)!r})\n",
        "code in front": f"import sys; sys.path.insert(0, {str(place)!r})\n",
        "addsitedir": f"import site; site.addsitedir({str(place)!r})\n",
        "code that does more": f"import sys; x = {str(place)!r}; sys.path += [x]\n",
        "code that computes": f"import sys; sys.path.append('/'.join({str(place).split('/')!r}))\n",
    }
    if way == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", f"/no/such/place:{place}")
    else:
        write_files(venv.site, {"mine.pth": lines[way], "inside/loose.txt": ""})


WAYS = (
    *("pth", "pth among others", "code", "code in front", "addsitedir"),
    *("code that does more", "PYTHONPATH"),
)
IN_FRONT = ("code in front", "PYTHONPATH")
HELD = {
    "helper": {"helper.py": "ANSWER = 42\n", "notes.csv": ""},
    "package.inner": {"package/__init__.py": "", "package/inner.py": "ANSWER = 42\n"},
    "room.in_a.deep.corner": {"room/in_a/deep/corner.py": "ANSWER = 42\n", "room/big.bin": "x"},
}


def bring_back(venv: Venv, environment: Environment, folder: Path) -> Venv:
    """Put what belongs to no package into a fresh environment, as a restore does."""
    names = [f"site/{one.path}" for one in environment.untracked if one.link is None]
    restored = make_venv(folder)
    for name, file in collect(
        LocalTarget(venv.python), distributions=[], files=names
    ).files.items():
        place = restored.site / name.removeprefix("site/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.text)
    return restored


def answer(venv: Venv, module: str) -> str:
    code = f"import {module}; print({module}.ANSWER, {module}.__file__)"
    done = subprocess.run(
        [venv.python, "-B", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.replace(str(venv.site), "SITE").strip()


@pytest.mark.parametrize("way", [*WAYS, "code that computes"])
def test_what_the_import_path_has_outside_travels_and_leads_to_the_same(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    for files in HELD.values():
        write_files(tmp_path / "project", files)
    leads(venv, tmp_path / "project", monkeypatch, way)
    seen = venv.look().environment

    restored = bring_back(venv, seen, tmp_path / "restored")
    (tmp_path / "project").rename(tmp_path / "away")

    again = restored.look().environment
    assert seen.outside == ()
    assert (again.untracked, again.import_path) == (seen.untracked, seen.import_path)
    carried = "site/snapenv-path/project"
    assert seen.import_path == ((carried, "site") if way in IN_FRONT else ("site", carried))
    for module in HELD:
        place = f"SITE/snapenv-path/project/{module.replace('.', '/')}.py"
        assert answer(restored, module) == f"42 {place}"
    kept = [
        path.read_text() for path in restored.site.glob("*.pth") if path.name != "_virtualenv.pth"
    ]
    assert way == "code that computes" or not any(str(tmp_path) in text for text in kept)


@pytest.mark.parametrize("way", ["pth", "code", "PYTHONPATH"])
@pytest.mark.parametrize("inner", ["", "/python"])
def test_a_zip_archive_on_the_import_path_travels(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, inner: str
) -> None:
    if inner and way == "pth":
        pytest.skip("site takes such a line for nothing")
    with zipfile.ZipFile(tmp_path / "py4j-src.zip", "w") as archive:
        archive.writestr(f"{inner}/py4jx.py".lstrip("/"), "ANSWER = 42\n")
    leads(venv, Path(f"{tmp_path}/py4j-src.zip{inner}"), monkeypatch, way)
    seen = venv.look().environment

    restored = bring_back(venv, seen, tmp_path / "restored")
    (tmp_path / "py4j-src.zip").unlink()

    assert seen.outside == ()
    assert answer(restored, "py4jx") == f"42 SITE/snapenv-path/py4j-src.zip{inner}/py4jx.py"
    assert restored.look().environment.import_path == seen.import_path


def another(kind: str, folder: Path) -> Path:
    """Make a folder of modules that belongs to another environment or the operating system."""
    if kind == "system":
        return Path("/usr/share")
    if kind == "venv":
        site = make_venv(folder / "other").site
    else:
        site = folder / "conda" / "lib" / "python3.9" / "site-packages"
        write_files(folder / "conda" / "conda-meta", {"history": ""})
    write_files(site, {"helper.py": ""})
    return site


@pytest.mark.parametrize("way", ["pth", "code", "link"])
@pytest.mark.parametrize("kind", ["venv", "conda", "system"])
def test_what_is_of_another_system_is_refused_by_name(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, way: str
) -> None:
    place = another(kind, tmp_path)
    if way == "link":
        (venv.site / "mine.pth").symlink_to(place)
    else:
        leads(venv, place, monkeypatch, way)

    environment = venv.look().environment

    whose = "the operating system" if kind == "system" else "another environment"
    assert environment.outside == (f"mine.pth: {place} (of {whose})",)
    assert {loose.path for loose in environment.untracked} <= {"inside/loose.txt", "mine.pth"}


@pytest.mark.parametrize("what", ["folder", "package", "module", "dist-info"])
def test_a_link_that_leads_to_what_a_person_keeps_outside_is_followed(
    venv: Venv, tmp_path: Path, what: str
) -> None:
    venv.install(write_wheel(tmp_path, "plain", {"plain/__init__.py": "", "plain/core.py": ""}))
    names = {
        "folder": ("linked", {"linked/__init__.py": "ANSWER = 42\n", "linked/a/b.bin": "1"}),
        "package": ("plain", {"plain/core.py": "ANSWER = 42\n", "plain/new.py": ""}),
        "module": ("linked.py", {"linked.py": "ANSWER = 42\n"}),
        "dist-info": ("plain-1.0.dist-info", {"plain-1.0.dist-info/NOTES": "ours\n"}),
    }
    name, files = names[what]
    if (venv.site / name).exists():
        shutil.move(venv.site / name, tmp_path / "outside" / name)
    write_files(tmp_path / "outside", files)
    (venv.site / name).symlink_to(tmp_path / "outside" / name)

    environment = venv.look().environment

    found = environment.find("plain")
    assert environment.outside == ()
    assert found
    assert found.files
    assert found.files.missing == ()
    owned = {"plain/core.py"}
    assert {one.path for one in environment.untracked} == files.keys() - owned
    assert found.files.edited == (("plain/core.py",) if what == "package" else ())


@pytest.mark.parametrize("name", ["flitpkg", "flitpkg.py"])
def test_a_link_that_record_names_travels_as_sources_do(
    venv: Venv, tmp_path: Path, name: str
) -> None:
    held = name if name.endswith(".py") else f"{name}/__init__.py"
    write_files(tmp_path / "project", {held: "ANSWER = 42\n"})
    info = {
        "METADATA": "Metadata-Version: 2.1\nName: flitpkg\nVersion: 1\n",
        "direct_url.json": '{"url": "file:///x", "dir_info": {"editable": true}}',
        "RECORD": f"{name},,\nflitpkg-1.dist-info/METADATA,,\nflitpkg-1.dist-info/RECORD,,\n",
    }
    write_files(venv.site / "flitpkg-1.dist-info", info)
    (venv.site / name).symlink_to(tmp_path / "project" / name)

    environment = venv.look().environment
    found = collect(LocalTarget(venv.python), distributions=["flitpkg"], files=[])

    assert (environment.outside, environment.untracked) == ((), ())
    assert found.distributions["flitpkg"][f"site/{held}"].content == b"ANSWER = 42\n"


def test_more_than_a_snapshot_should_hold_is_refused_with_its_size(
    venv: Venv, tmp_path: Path
) -> None:
    write_files(tmp_path / "project" / "package", {"__init__.py": ""})
    with (tmp_path / "project" / "package" / "data.bin").open("wb") as file:
        file.truncate(5 << 30)
    (venv.site / "linked").symlink_to(tmp_path / "project" / "package")
    write_files(venv.site, {"mine.pth": f"{tmp_path / 'project'}\n"})

    told = venv.look().environment.outside

    assert [words.rpartition("(")[2] for words in told] == wording(
        ["5.0 GiB: too much to travel)", "5.0 GiB: too much to travel)"]
    )
