"""Editable installations: what can be imported of their sources, as if it were installed."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording

from snapenv.lock.tags import Platform
from snapenv.lock.wheel import make_wheel
from snapenv.probe.collect import collect
from snapenv.targets.local import LocalTarget
from tests.probe.environments import digest, install_editable, make_venv, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.environments import Venv

METADATA = "Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n"
SETUPTOOLS_FINDER = """
from __future__ import annotations
MAPPING: dict[str, str] = {mapping!r}
NAMESPACES: dict[str, list[str]] = {namespaces!r}
PATH_PLACEHOLDER = '__editable__.plain-1.0.finder' + ".__path_hook__"
def install(): pass
"""
SOURCES = {"plain/__init__.py": "ANSWER = 42\n", "plain/data/é.csv": "1", "single.py": ""}


def install_with_finder(venv: Venv, project: Path, mapping: dict[str, str]) -> None:
    name = "__editable___plain_1_0_finder"
    finder = SETUPTOOLS_FINDER.format(mapping=mapping, namespaces={"room": [str(project / "room")]})
    line = f"import {name}; {name}.install()"
    install_editable(venv, project, line, {f"{name}.py": finder})


def names(venv: Venv) -> list[str]:
    """Return what counts of the sources, by collecting it."""
    found = collect(LocalTarget(venv.python), distributions=["plain"], files=[])
    return sorted(
        path.removeprefix("site/")
        for path in found.distributions["plain"]
        if ".dist-info/" not in path
    )


def test_sources_in_a_folder_of_their_own_count_whole(venv: Venv, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_files(project / "src", {**SOURCES, "build/__init__.py": "", "room/module.py": ""})
    no_sources = {".hidden/x.py": "", "plain.egg-info/top_level.txt": "", "notes/read.me": ""}
    compiled = {"plain/__pycache__/x.cpython-311.pyc": "", "plain/.git/x.py": ""}
    environment = {"env/pyvenv.cfg": "", "env/lib/x.py": ""}
    write_files(project / "src", {**no_sources, **compiled, **environment})

    install_editable(venv, project, project / "src")

    assert names(venv) == sorted([*SOURCES, "build/__init__.py", "room/module.py"])


def test_in_the_folder_of_a_project_packages_count_and_what_is_beside_them_does_not(
    venv: Venv, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    beside = {"tests/__init__.py": "", "setup.py": "", "conftest.py": "", "datasets/make.py": ""}
    write_files(project, {**SOURCES, "second/__init__.py": "", **beside})

    install_editable(venv, project, project)

    assert names(venv) == sorted([*SOURCES, "backend.py", "second/__init__.py"])


def test_in_the_folder_of_a_project_what_setuptools_wrote_down_counts_alone(
    venv: Venv, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    write_files(project, {**SOURCES, "second/__init__.py": ""})

    listed = {"plain-1.0.dist-info/top_level.txt": "plain\n"}
    install_editable(venv, project, project, listed)

    assert names(venv) == ["plain/__init__.py", "plain/data/é.csv"]


def test_a_finder_is_read_and_never_run(venv: Venv, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_files(project, {**SOURCES, "room/inner/module.py": "", "lib/sub/deep.py": ""})
    mapping = {
        "plain": f"{project}/plain",
        "single": f"{project}/single",
        "other.sub": f"{project}/lib/sub",
    }

    install_with_finder(venv, project, mapping)

    assert names(venv) == sorted([*SOURCES, "room/inner/module.py", "other/sub/deep.py"])


def test_a_finder_of_the_editables_package_is_read_too(venv: Venv, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_files(project / "src", SOURCES)
    finder = (
        "from editables.redirector import RedirectingFinder as F\nF.install()\n"
        f"F.map_module('plain', '{project}/src/plain/__init__.py')\n"
        f"F.map_module('single', '{project}/src/single.py')\n"
    )

    line = "import _editable_impl_plain"
    install_editable(venv, project, line, {"_editable_impl_plain.py": finder})

    assert names(venv) == sorted(SOURCES)


def test_what_leads_to_sources_in_an_unknown_way_is_named(venv: Venv, tmp_path: Path) -> None:
    loader = {"_plain_editable_loader.py": "def install(): ...\n"}

    install_editable(venv, tmp_path / "project", "import _plain_editable_loader", loader)

    assert venv.look().environment.outside == (
        wording("plain: it is installed editable in a way that is not known"),
    )


def test_links_among_the_sources_are_followed_and_never_in_circles(
    venv: Venv, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    write_files(project / "src", {"plain/__init__.py": ""})
    write_files(tmp_path / "elsewhere", {"shared.py": ""})
    (project / "src" / "plain" / "linked").symlink_to(tmp_path / "elsewhere")
    (project / "src" / "plain" / "loop").symlink_to(project / "src")
    (project / "src" / "plain" / ".#lock").symlink_to("alice@nowhere")

    install_editable(venv, project, project / "src")

    assert names(venv) == ["plain/__init__.py", "plain/linked/shared.py"]
    assert venv.look().environment.outside == ()


def test_untracked_and_edited_sources_change_the_digest(venv: Venv, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_files(project / "src", SOURCES)
    install_editable(venv, project, project / "src")
    looks = [venv.find("plain").files]

    write_files(project / "src", {"plain/untracked.py": ""})
    looks.append(venv.find("plain").files)
    write_files(project / "src", {"plain/__init__.py": "ANSWER = 41\n"})
    looks.append(venv.find("plain").files)

    assert len({files.sha256 for files in looks if files}) == 3


def test_what_leads_to_the_sources_is_no_part_of_the_environment(
    venv: Venv, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    write_files(project / "src", SOURCES)

    install_editable(venv, project, project / "src")

    environment = venv.look().environment
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    info = {"plain-1.0.dist-info/METADATA": METADATA, "plain-1.0.dist-info/WHEEL": wheel}
    assert (environment.untracked, environment.outside) == ((), ())
    files = venv.find("plain").files
    assert files
    assert files.sha256 == digest({**SOURCES, **info})
    assert (files.edited, files.missing) == ((), ())


def test_sources_beside_an_egg_info_count_with_their_metadata(venv: Venv, tmp_path: Path) -> None:
    info = {"PKG-INFO": METADATA, "top_level.txt": "plain\nsingle\n", "SOURCES.txt": ""}
    write_files(tmp_path / "src" / "plain.egg-info", info)
    write_files(tmp_path / "src", {**SOURCES, "setup.py": "", "tests/test_x.py": ""})
    lines = {"easy-install.pth": f"{tmp_path / 'src'}\n", "plain.egg-link": f"{tmp_path}\n.\n"}
    write_files(venv.site, lines)

    environment = venv.look().environment

    files = venv.find("plain").files
    assert files
    names = {"METADATA": METADATA, "top_level.txt": "plain\nsingle\n"}
    own = {f"plain-1.0.dist-info/{name}": content for name, content in names.items()}
    assert files.sha256 == digest({**SOURCES, **own})
    assert (environment.untracked, environment.outside) == ((), ())


@pytest.mark.parametrize("way", ["folder", "finder"])
def test_a_wheel_of_an_editable_has_the_same_digest_where_the_sources_are_gone(
    venv: Venv, tmp_path: Path, way: str
) -> None:
    project = tmp_path / "project"
    write_files(project / "src", SOURCES)
    (project / "src" / "plain" / "run.sh").write_text("#!/bin/sh\n")
    (project / "src" / "plain" / "run.sh").chmod(0o755)
    if way == "folder":
        install_editable(venv, project, project / "src")
    else:
        src = project / "src"
        install_with_finder(venv, project, {"plain": f"{src}/plain", "single": f"{src}/single"})
    captured = venv.find("plain")
    carried = collect(LocalTarget(venv.python), distributions=["plain"], files=[])
    here = Platform(python="3.11", machine=platform.machine())
    files = carried.distributions["plain"]
    name, content = make_wheel(captured, files, here, into=tmp_path)
    assert isinstance(content, bytes)
    (tmp_path / name).write_bytes(content)
    shutil.rmtree(project)

    restored = make_venv(tmp_path / "restored")
    restored.install(tmp_path / name)

    assert captured.origin == "editable"
    assert restored.find("plain").origin == "local"
    assert restored.find("plain").files == captured.files
    assert (restored.site / "plain" / "__init__.py").read_text() == "ANSWER = 42\n"
    assert os.access(restored.site / "plain" / "run.sh", os.X_OK)


def test_a_file_of_the_sources_that_no_list_can_hold_is_named(venv: Venv, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_files(project / "src", {**SOURCES, "plain/two\nlines.txt": ""})

    install_editable(venv, project, project / "src")

    assert venv.look().environment.outside == (
        wording(r"plain: plain/two\nlines.txt: its name has a control character, or is no UTF-8"),
    )


def test_the_content_that_comes_is_the_working_tree_as_it_is(venv: Venv, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_files(project / "src", SOURCES)
    install_editable(venv, project, project / "src")
    write_files(project / "src", {"plain/__init__.py": "ANSWER = 41\n"})

    found = collect(LocalTarget(venv.python), distributions=["plain"], files=[])

    file = found.distributions["plain"]["site/plain/__init__.py"]
    assert hashlib.sha256(file.text).digest() == hashlib.sha256(b"ANSWER = 41\n").digest()
