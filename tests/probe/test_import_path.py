"""The import path as the interpreter has it, whatever its folders are called and wherever they lie."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import write_files, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

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
    assert [loose.path for loose in before.unowned] == ["../../../bin/by-hand", "weights.bin"]
