"""What is carried to a machine without network, and what is too much."""

from __future__ import annotations

import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.gpu.kit import unpack_kit
from tests.gpu.pack import TooLargeError, choose, groups, make_kit, read_installed

if TYPE_CHECKING:
    from pathlib import Path

LIST = "torch==2.11.0+cu130\nnumpy==2.4.6\nOpenCV_Python.headless\nlocal @ file:///x\n# a comment\n"


def test_a_list_of_packages_is_read_with_versions_and_without() -> None:
    installed = read_installed(LIST, "3.12")

    assert installed.versions == {
        "torch": "2.11.0+cu130",
        "numpy": "2.4.6",
        "opencv-python-headless": "",
        "local": "",
    }


def test_opencv_is_carried_only_where_there_is_none() -> None:
    def environment(text: str) -> tuple[str, ...]:
        (group,) = (
            one for one in groups(read_installed(text, "3.12")) if one.name == "environment"
        )
        return group.requirements

    assert [one.partition("==")[0] for one in environment("torch")] == [
        "ultralytics",
        "opencv-python-headless",
    ]
    assert [one.partition("==")[0] for one in environment(LIST)] == ["ultralytics"]


def test_uv_stays_where_the_index_is() -> None:
    tools = groups(read_installed(LIST, "3.12"))[0].requirements

    assert any(one.startswith("msgspec") for one in tools)
    assert not any(one.startswith("uv>") for one in tools)


def test_what_is_needed_is_carried_first_and_the_rest_as_far_as_it_fits() -> None:
    sizes = {"tools": 10, "environment": 20, "another": 25_000_000, "tune": 7}

    choice = choose(sizes, ["tools", "environment"], 40)

    assert choice.packed == ("tools", "environment", "tune")
    assert choice.left_out == {"another": "25.0 MB more are over 0.0 MB"}


def test_what_is_needed_and_too_large_is_refused_by_name() -> None:
    sizes = {"tools": 8_000_000, "environment": 66_500_000, "tune": 1}

    with pytest.raises(TooLargeError, match=r"tools 8.0 MB and environment 66.5 MB are over 57"):
        choose(sizes, ["tools", "environment"], 57_000_000)


def test_a_kit_is_unpacked_once_and_anew_when_it_is_another(tmp_path: Path) -> None:
    def put(group: str, name: str) -> None:
        (tmp_path / name).write_text(name)
        with tarfile.open(tmp_path / f"{group}.tar.xz", "w:xz") as archive:
            archive.add(tmp_path / name, name)

    put("tools", "click.py")
    put("tune", "optuna.py")
    unpacked = unpack_kit(tmp_path)
    assert {path.name for path in (unpacked / "tools").iterdir()} == {"click.py", "optuna.py"}
    (unpacked / "tools" / "click.py").unlink()
    unpack_kit(tmp_path)
    assert not (unpacked / "tools" / "click.py").exists()

    put("another", "ultralytics.py")
    unpack_kit(tmp_path)

    assert (unpacked / "tools" / "click.py").exists()
    assert (unpacked / "another" / "ultralytics.py").exists()


def test_a_kit_that_is_damaged_or_for_another_python_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tools.tar.xz").write_bytes(b"no archive")
    assert not unpack_kit(tmp_path).exists()
    assert "cannot be unpacked" in capsys.readouterr().err

    (tmp_path / "for-python").write_text("3.8\n")
    assert not unpack_kit(tmp_path).exists()
    assert "is for Python 3.8, and this is 3." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("has", "why"),
    [("numpy==2.4.6", "the machine has no torch"), ("torch", "the list has no version of torch")],
)
def test_a_machine_of_which_too_little_is_known_cannot_be_helped(
    has: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "machine.txt").write_text(has)

    assert make_kit(tmp_path / "kit", tmp_path / "machine.txt", "3.12") == 1

    assert why in capsys.readouterr().err


@pytest.mark.full
def test_what_a_machine_lacks_is_packed_and_nothing_that_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    has = "torch torchvision numpy pillow matplotlib opencv-python-headless onnx onnxruntime scipy"
    (tmp_path / "machine.txt").write_text("\n".join(has.split()))
    python = "{}.{}".format(*sys.version_info)

    assert make_kit(tmp_path / "kit", tmp_path / "machine.txt", python) == 0

    told = capsys.readouterr().out
    assert "ultralytics" in told
    unpacked = unpack_kit(tmp_path / "kit")
    assert (unpacked / "tools" / "msgspec").is_dir()
    assert (unpacked / "tools" / "optuna").is_dir()
    assert not (unpacked / "tools" / "uv").exists()
    assert (unpacked / "another" / "ultralytics").is_dir()
    environment = unpacked / "environment"
    assert (environment / "ultralytics").is_dir()
    assert (environment / "polars.py").read_bytes() == b""
    assert not [name for name in has.split() if (environment / name).exists()]
