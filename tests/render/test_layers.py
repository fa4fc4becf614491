from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomlkit
from packaging.pylock import Pylock, is_valid_pylock_path

from snapenv.errors import SnapshotDamagedError
from snapenv.render.layers import is_layer_file, split_pylock

TORCH = ("torch", "torchvision", "nvidia-cublas", "cuda-toolkit", "triton")
PINS = ("filelock", "numpy", "nvidia-ml-py", "sympy", "torchmetrics")
ULTRALYTICS = ("ultralytics", "ultralytics-thop")


def pylock(*names: str, **proofs: str) -> bytes:
    packages = [
        {
            "name": name,
            "version": "1.0",
            "wheels": [{**_place(name, proofs.get(name)), "hashes": {"sha256": "0" * 64}}],
            "tool": {"snapenv": {"proof": proofs.get(name, "record")}},
        }
        for name in sorted({*names, *proofs})
    ]
    head = {"lock-version": "1.0", "created-by": "snapenv", "requires-python": "==3.11.*"}
    tail = {"tool": {"snapenv": {"base-provided": ["pip==1"]}}}
    return tomlkit.dumps({**head, "packages": packages, **tail}).encode()


def _place(name: str, proof: str | None) -> dict[str, str]:
    file = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    if proof == "vendored":
        return {"path": f"vendor/{file}"}
    return {"url": f"https://files.example.com/{file}"}


def names(content: bytes) -> list[str]:
    document: dict[str, Any] = tomlkit.parse(content.decode()).unwrap()
    return [package["name"] for package in document["packages"]]


def test_packages_are_parted_by_how_often_they_change() -> None:
    layers = split_pylock(pylock(*TORCH, *PINS, *ULTRALYTICS, ours="vendored"))

    assert {layer.file: names(layer.content) for layer in layers} == {
        "pylock.torch.toml": sorted(TORCH),
        "pylock.pins.toml": sorted(PINS),
        "pylock.ultralytics.toml": sorted(ULTRALYTICS),
        "pylock.vendored.toml": ["ours"],
    }


def test_a_layer_without_packages_is_left_out() -> None:
    assert [layer.name for layer in split_pylock(pylock("numpy"))] == ["pins"]
    assert split_pylock(pylock()) == ()


def test_a_torch_of_one_s_own_stays_below_what_changes_more_often() -> None:
    layers = split_pylock(pylock("numpy", torch="vendored", ultralytics="vendored"))

    assert [(layer.name, names(layer.content)) for layer in layers] == [
        ("torch", ["torch"]),
        ("pins", ["numpy"]),
        ("vendored", ["ultralytics"]),
    ]
    assert [layer.mounts for layer in layers] == [
        ("vendor/torch-1.0-py3-none-any.whl",),
        (),
        ("vendor/ultralytics-1.0-py3-none-any.whl",),
    ]


def test_a_new_ultralytics_leaves_the_other_layers_as_they_were() -> None:
    before = pylock(*TORCH, *PINS, *ULTRALYTICS)
    after = before.replace(b"ultralytics-1.0", b"ultralytics-1.1")

    same = {one.name for one in split_pylock(before) if one in split_pylock(after)}

    assert same == {"torch", "pins"}


def test_each_is_a_lock_file_of_the_standard_with_the_same_conditions() -> None:
    for layer in split_pylock(pylock(*TORCH, *PINS, ours="vendored")):
        document = tomlkit.parse(layer.content.decode()).unwrap()

        assert is_valid_pylock_path(Path(layer.file))
        assert is_layer_file(layer.file)
        assert str(Pylock.from_dict(document).requires_python) == "==3.11.*"
        assert "tool" not in document


def test_what_lies_beside_a_lock_in_a_folder_is_found_from_the_context() -> None:
    staged = pylock(a="vendored", b="vendored").replace(b"vendor/a-", b"a-")
    staged = staged.replace(b"vendor/b-", b"../vendor/b-")

    (layer,) = split_pylock(staged, folder="staged")

    assert layer.file == "staged/pylock.vendored.toml"
    assert layer.mounts == ("staged/a-1.0-py3-none-any.whl", "vendor/b-1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"]", b"", b"packages = 1", b"[[packages]]\nversion = '1'", b"packages = ['a']"],
)
def test_what_is_no_lock_is_refused(content: bytes) -> None:
    with pytest.raises(SnapshotDamagedError, match="pylock.toml: "):
        split_pylock(content)


def test_the_lock_files_of_layers_are_known_by_their_names() -> None:
    assert not is_layer_file("pylock.toml")
    assert not is_layer_file("pylock.other.toml")
