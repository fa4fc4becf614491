"""Scripts: made anew by each installer, unless somebody edited them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import (
    INSTALLERS,
    WHEEL,
    WITH_SCRIPTS,
    digest,
    edit,
    files,
    install,
    make_venv,
    write_wheel,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.environments import Venv

COUNTED = {
    "plain.py": WITH_SCRIPTS["plain.py"],
    "plain-1.0.dist-info/entry_points.txt": WITH_SCRIPTS["plain-1.0.dist-info/entry_points.txt"],
    "plain-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n",
    "plain-1.0.dist-info/WHEEL": WHEEL,
    "../../../bin/written": "#!python\nprint('written')\n",
    "../../../bin/shell.sh": "#!/bin/sh\necho shell\n",
    "../../../bin/program": "\x7fELF, no text",
}


@pytest.mark.parametrize("installer", INSTALLERS)
def test_scripts_of_the_wheel_count_without_the_environment_and_made_ones_do_not(
    venv: Venv, tmp_path: Path, installer: str
) -> None:
    install(venv, write_wheel(tmp_path, "plain", WITH_SCRIPTS), installer)

    found = files(venv)

    assert (found.count, found.sha256) == (len(COUNTED), digest(COUNTED))
    assert (found.edited, found.missing) == ((), ())


@pytest.mark.parametrize("installer", INSTALLERS)
def test_an_edited_script_is_named_and_counts_without_the_environment(
    venv: Venv, tmp_path: Path, installer: str
) -> None:
    install(venv, write_wheel(tmp_path, "plain", WITH_SCRIPTS), installer)
    made = venv.folder / "bin" / "made"
    edit(made, "    sys.exit(main())", "    print('by hand'); sys.exit(main())")
    edit(venv.folder / "bin" / "written", "written", "by hand")

    found = files(venv)

    _, _, body = made.read_text().partition("\n")
    by_hand = {
        "../../../bin/made": f"#!python\n{body}",
        "../../../bin/written": "#!python\nprint('by hand')\n",
    }
    assert found.edited == ("../../../bin/made", "../../../bin/written")
    assert found.sha256 == digest({**COUNTED, **by_hand})


def test_a_script_of_a_path_with_spaces_is_read_the_same_way(tmp_path: Path) -> None:
    spaced = make_venv(tmp_path / "with a space")
    spaced.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    made = spaced.folder / "bin" / "made"
    assert made.read_text().startswith("#!/bin/sh\n'''exec' ")
    edit(made, "    sys.exit(main())", "    sys.exit(1)")

    found = files(spaced)

    body = made.read_text().split("\n", 3)[3]
    assert found.edited == ("../../../bin/made",)
    assert found.sha256 == digest(COUNTED | {"../../../bin/made": f"#!python\n{body}"})


@pytest.mark.parametrize("installer", INSTALLERS)
def test_scripts_of_an_environment_that_was_moved_are_not_edited(
    venv: Venv, tmp_path: Path, installer: str
) -> None:
    install(venv, write_wheel(tmp_path, "plain", WITH_SCRIPTS), installer)
    before = files(venv)
    moved = tmp_path / "moved"
    shutil.move(venv.folder, moved)

    after = files(type(venv)(moved))

    assert after == before


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_made_script_with_another_place_in_its_first_line_is_as_an_installer_makes_it(
    venv: Venv, tmp_path: Path, installer: str
) -> None:
    install(venv, write_wheel(tmp_path, "plain", WITH_SCRIPTS), installer)
    before = files(venv)
    edit(venv.folder / "bin" / "made", f"#!{venv.folder}/bin/", "#!/opt/gone/bin/")

    assert files(venv) == before


def test_a_first_line_that_names_another_interpreter_stays(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    edit(venv.folder / "bin" / "written", f"#!{venv.python}", "#!/usr/bin/env python3")

    found = files(venv)

    by_hand = {"../../../bin/written": "#!/usr/bin/env python3\nprint('written')\n"}
    assert found.edited == ("../../../bin/written",)
    assert found.sha256 == digest({**COUNTED, **by_hand})


def test_options_of_the_first_line_stay(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    edit(venv.folder / "bin" / "written", venv.python, f"{venv.python} -u")

    found = files(venv)

    assert found.sha256 == digest(
        COUNTED | {"../../../bin/written": "#!python -u\nprint('written')\n"}
    )


@pytest.mark.parametrize("line", ["import os", "main = print", "sys.argv[0] = input()"])
def test_a_line_that_no_installer_writes_is_an_edit(venv: Venv, tmp_path: Path, line: str) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    edit(venv.folder / "bin" / "made", "    sys.exit(", f"    {line}\n    sys.exit(")

    assert files(venv).edited == ("../../../bin/made",)


@pytest.mark.parametrize(
    ("old", "new"),
    [("sys.exit(main())", "sys.exit(exit())"), ("from plain import main", "from a import main")],
)
def test_a_made_script_that_calls_something_else_is_edited(
    venv: Venv, tmp_path: Path, old: str, new: str
) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    edit(venv.folder / "bin" / "made", old, new)

    assert files(venv).edited == ("../../../bin/made",)


def test_a_script_that_was_removed_is_missing(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", WITH_SCRIPTS))
    (venv.folder / "bin" / "made").unlink()

    assert files(venv).missing == ("../../../bin/made",)
