"""Distributions that have no RECORD: what is known of their files, and whose they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import make_venv, write_files, write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from snapenv.model.python import Environment
    from tests.probe.environments import Venv

_MODULES = ("{}/__init__.py", "{}/data.txt", "{}/inner/deep.py")


def _modules(name: str, below: str = "") -> dict[str, str]:
    return {below + path.format(name): path for path in _MODULES}


def _metadata(name: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def installed_files(venv: Venv, name: str) -> None:
    info = f"{name}-1.0-py3.egg-info"
    listed = "".join(f"../{path}\n" for path in _modules(name))
    files = {"PKG-INFO": _metadata(name), "installed-files.txt": listed + "PKG-INFO\n"}
    write_files(venv.site / info, {**files, "SOURCES.txt": "", "zip-safe": "\n"})
    write_files(venv.site, _modules(name))


def top_level(venv: Venv, name: str) -> None:
    files = {"PKG-INFO": _metadata(name), "top_level.txt": f"{name}_modules\n", "zip-safe": "\n"}
    write_files(venv.site / f"{name}.egg-info", files)
    write_files(venv.site, _modules(f"{name}_modules"))


def metadata_file_alone(venv: Venv, name: str) -> None:
    write_files(venv.site, {f"{name}-1.0.egg-info": _metadata(name), **_modules(name)})


def record_is_gone(venv: Venv, name: str) -> None:
    wheel = write_wheel(venv.folder, name, _modules(name))
    venv.install(wheel)
    wheel.unlink()
    (venv.site / f"{name}-1.0.dist-info" / "RECORD").unlink()


def egg(venv: Venv, name: str) -> None:
    folder = f"{name}-1.0-py3.egg"
    write_files(venv.site / folder, {"EGG-INFO/PKG-INFO": _metadata(name), **_modules(name)})
    with (venv.site / "easy-install.pth").open("a") as file:
        file.write(f"import sys; sys.__plen = len(sys.path)\n./{folder}\n")


def conda(venv: Venv, name: str) -> None:
    info = f"{name}-1.0-py3.egg-info/PKG-INFO"
    files = {info: _metadata(name), **_modules(f"of_{name}")}
    write_files(venv.site, files)
    inside = venv.site.relative_to(venv.folder)
    record = {"name": name, "files": [f"{inside}/{path}" for path in files]}
    write_files(venv.folder, {f"conda-meta/{name}-1.0-0.json": json.dumps(record)})


FORMS: Mapping[str, tuple[Callable[[Venv, str], None], str]] = {
    "listed": (installed_files, "local"),
    "top": (top_level, "local"),
    "alone": (metadata_file_alone, "local"),
    "gone": (record_is_gone, "local"),
    "egg": (egg, "local"),
    "conda": (conda, "conda"),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    venv = make_venv(tmp_path_factory.mktemp("unrecorded") / "venv")
    for name, (make, _) in FORMS.items():
        make(venv, name)
    write_files(venv.site, {"ours.py": "", "gone_with_ours.py": ""})
    return venv.look().environment


@pytest.mark.parametrize("name", FORMS)
def test_its_files_are_found_whatever_form_its_metadata_has(
    environment: Environment, name: str
) -> None:
    found = environment.find(name)

    assert found is not None
    assert found.files is not None
    of_metadata = {"top": 2, "gone": 2}.get(name, 1)  # METADATA; top_level.txt, WHEEL
    assert (found.files.count, found.files.edited, found.files.missing) == (
        len(_MODULES) + of_metadata,
        (),
        (),
    )
    assert found.origin == FORMS[name][1]
    assert not found.compiled


def test_what_is_nobodys_stays_so(environment: Environment) -> None:
    loose = [found.path for found in environment.untracked]
    assert loose == ["easy-install.pth", "gone_with_ours.py", "ours.py"]  # less the egg's line
    assert environment.outside == ()


def test_scripts_and_machine_code_are_its_own(venv: Venv) -> None:
    points = "[console_scripts]\nroar = old:roar\n"
    files = {"PKG-INFO": _metadata("old"), "entry_points.txt": points, "scripts/own": ""}
    write_files(venv.site / "old.egg-info", files)
    write_files(venv.site, {"old/x.so.1": "", "old/__init__.py": ""})
    write_files(venv.folder, {f"bin/{name}": "#!/bin/sh\n" for name in ("roar", "own", "ours")})

    environment = venv.look().environment

    found = environment.find("old")
    assert found
    assert found.files
    assert found.compiled
    assert "../../../bin/roar" in found.files.edited  # no installer makes such a one
    assert [loose.path for loose in environment.untracked] == ["../../../bin/ours"]


def test_what_two_could_own_is_of_the_one_that_lists_it(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "first", {"shared/a.py": "a = 1\n"}))
    second = {"PKG-INFO": _metadata("second"), "top_level.txt": "shared\n"}
    write_files(venv.site / "second.egg-info", second)
    write_files(venv.site, {"shared/b.py": "b = 1\n"})

    environment = venv.look().environment

    assert [one.files and one.files.count for one in environment.distributions] == [3, 3]
    assert environment.untracked == ()
