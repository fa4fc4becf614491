"""What a distribution's files were before they were edited or deleted, as RECORD has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.probe.environments import (
    INSTALLERS,
    PLAIN,
    WITH_SCRIPTS,
    add_distribution,
    bundled_pip,
    edit,
    files,
    install,
    make_venv,
    record_hash,
    write_wheel,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.probe.environments import Venv


def test_a_real_wheel_that_was_edited_is_recorded_as_a_second_installation_is(
    venv: Venv, tmp_path: Path
) -> None:
    venv.install(*bundled_pip())
    untouched = make_venv(tmp_path / "untouched")
    untouched.install(*bundled_pip())
    (venv.site / "pip" / "__init__.py").write_text("by hand\n")
    (venv.site / "pip" / "__main__.py").unlink()
    (venv.site / "pip" / "_vendor" / "vendor.txt").write_bytes(b"\xff\0")

    found, original = files(venv, "pip"), files(untouched, "pip")

    assert found.edited == ("pip/__init__.py", "pip/_vendor/vendor.txt")
    assert found.missing == ("pip/__main__.py",)
    assert found.recorded == original.sha256 != found.sha256
    assert original.recorded is None


def empty(path: Path) -> None:
    path.write_text("#!/bin/sh\n")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [empty, remove])
@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_script_that_an_installer_makes_is_no_part_of_what_is_recorded(
    venv: Venv, tmp_path: Path, installer: str, change: Callable[[Path], None]
) -> None:
    install(venv, write_wheel(tmp_path, "plain", WITH_SCRIPTS), installer)
    before = files(venv)
    change(venv.folder / "bin" / "made")

    found = files(venv)

    assert (*found.edited, *found.missing) == ("../../../bin/made",)
    assert found.recorded == before.sha256


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_script_of_the_wheel_itself_that_was_edited_is_recorded_as_it_was(
    venv: Venv, tmp_path: Path, installer: str
) -> None:
    install(venv, write_wheel(tmp_path, "plain", WITH_SCRIPTS), installer)
    before = files(venv)
    edit(venv.folder / "bin" / "shell.sh", "shell", "by hand")

    assert files(venv).recorded == before.sha256


def test_a_script_whose_first_line_was_written_anew_is_not_taken_for_the_wheels_own(
    venv: Venv, tmp_path: Path
) -> None:
    install(venv, write_wheel(tmp_path, "plain", WITH_SCRIPTS), "pip")
    before = files(venv)
    edit(venv.folder / "bin" / "written", "written", "by hand")

    found = files(venv)

    assert found.edited == ("../../../bin/written",)
    assert found.recorded not in (before.sha256, found.sha256)


@pytest.mark.parametrize(
    "told",
    ["", record_hash("1", "sha512"), "sha256=", "sha256=MQ", "sha256=\u00e9", "sha256=" + 45 * "A"],
)
def test_nothing_is_recorded_where_record_names_no_sha256_of_what_is_gone(
    venv: Venv, told: str
) -> None:
    add_distribution(venv.site, "plain", f"plain.py,{told},1\nother.py,{record_hash('1')},1\n")

    found = files(venv)

    assert found.missing == ("other.py", "plain.py")
    assert found.recorded is None


def test_what_is_not_changed_needs_no_sha256_to_be_recorded(venv: Venv, tmp_path: Path) -> None:
    venv.install(write_wheel(tmp_path, "plain", PLAIN))
    record = venv.site / "plain-1.0.dist-info" / "RECORD"
    told = record_hash(PLAIN["plain/__init__.py"])
    record.write_text(record.read_text().replace(told, ""))
    before = files(venv)
    (venv.site / "plain" / "data.bin").write_text("by hand")

    found = files(venv)

    assert found.edited == ("plain/data.bin",)
    assert found.recorded == before.sha256
