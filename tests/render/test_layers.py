from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from msgspec.structs import replace
from packaging.pylock import Pylock, is_valid_pylock_path

from snapenv.conda_lock import parse_conda_lock
from snapenv.model.wheels import FromBase, Pinned, Vendored, VendoredWheel
from snapenv.render.layers import is_layer_file, split_lock
from tests.samples import sample_conda_lock, sample_conda_package, sample_lock, sample_wheel

if TYPE_CHECKING:
    from snapenv.model.snapshot import Lock
    from snapenv.model.wheels import Locked

TORCH = ("torch", "torchvision", "nvidia-cublas", "cuda-toolkit", "triton")
PINS = ("filelock", "numpy", "nvidia-ml-py", "sympy", "torchmetrics")
ULTRALYTICS = ("ultralytics", "ultralytics-thop")


def lock(*names: str, **others: Locked) -> Lock:
    pins = {name: Pinned(wheel=sample_wheel(name, "1.0"), proof="record") for name in names}
    return replace(sample_lock(), packages={**pins, **others})


def vendored(name: str, folder: str = "vendor/") -> Vendored:
    file = f"{folder}{name}-1.0-py3-none-any.whl"
    return Vendored(wheel=VendoredWheel(file=file, sha256="0" * 64, size_bytes=1))


def names(content: bytes) -> list[str]:
    document: dict[str, Any] = tomlkit.parse(content.decode()).unwrap()
    return [package["name"] for package in document["packages"]]


def test_packages_are_parted_by_how_often_they_change() -> None:
    layers = split_lock(lock(*TORCH, *PINS, *ULTRALYTICS, ours=vendored("ours")))

    assert {layer.file: names(layer.content) for layer in layers} == {
        "pylock.torch.toml": sorted(TORCH),
        "pylock.pins.toml": sorted(PINS),
        "pylock.ultralytics.toml": sorted(ULTRALYTICS),
        "pylock.vendored.toml": ["ours"],
    }


def test_a_layer_without_packages_is_left_out() -> None:
    assert [layer.name for layer in split_lock(lock("numpy"))] == ["pins"]
    assert split_lock(lock(ours=Vendored(), torch=FromBase())) == ()


def test_a_torch_of_one_s_own_stays_below_what_changes_more_often() -> None:
    layers = split_lock(lock("numpy", torch=vendored("torch"), ultralytics=vendored("ultralytics")))

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
    before = lock(*TORCH, *PINS, *ULTRALYTICS)
    newer = Pinned(wheel=sample_wheel("ultralytics", "1.1"), proof="record")
    after = replace(before, packages={**before.packages, "ultralytics": newer})

    same = {layer.name for layer in split_lock(before) if layer in split_lock(after)}

    assert same == {"torch", "pins"}


def test_each_is_a_lock_file_of_the_standard_with_the_same_conditions() -> None:
    for layer in split_lock(lock(*TORCH, *PINS, ours=vendored("ours"))):
        document = tomlkit.parse(layer.content.decode()).unwrap()

        assert is_valid_pylock_path(Path(layer.file))
        assert is_layer_file(layer.file)
        assert str(Pylock.from_dict(document).requires_python) == "==3.11.*"
        assert "tool" not in document


def test_what_lies_beside_a_lock_in_a_folder_is_found_from_the_context() -> None:
    staged = lock(a=vendored("a", "staged/"), b=vendored("b"))

    (layer,) = split_lock(staged, folder="staged")

    assert b'path = "a-1.0-' in layer.content
    assert b'path = "../vendor/b-1.0-' in layer.content

    assert layer.file == "staged/pylock.vendored.toml"
    assert layer.mounts == ("staged/a-1.0-py3-none-any.whl", "vendor/b-1.0-py3-none-any.whl")


def test_the_lock_files_of_layers_are_known_by_their_names() -> None:
    assert not is_layer_file("pylock.toml")
    assert not is_layer_file("pylock.other.toml")


def conda_lock(*built: tuple[str, int | None, Any]) -> Lock:
    """Return a lock of packages by name, when each was built, and for which Python."""
    packages = (
        sample_conda_package(name, timestamp_ms=day and day * 86_400_000, noarch=noarch)
        for name, day, noarch in built
    )
    return replace(sample_lock(), packages={}, conda=sample_conda_lock(*packages))


def test_conda_s_packages_are_parted_by_the_year_that_they_were_built_in() -> None:
    lock = conda_lock(
        ("zlib", 18_000, None),  # 2019
        ("python", 19_000, None),  # 2022
        ("fonts", 18_001, "generic"),
        ("six", 18_002, "python"),
        ("yaml", 19_001, None),
        ("ancient", None, None),
    )

    layers = {layer.file: parse_conda_lock(layer.content) for layer in split_lock(lock)}

    named = {file: [package.name for package, _ in layer.each()] for file, layer in layers.items()}
    assert named == {
        "conda-lock.0000.json": ["ancient"],
        "conda-lock.2019.json": ["zlib", "fonts"],
        "conda-lock.2022.json": ["python", "six", "yaml"],  # six needs this Python before it
    }
    assert all(is_layer_file(file) for file in layers)


def test_a_new_package_leaves_the_layers_of_other_years_as_they_are() -> None:
    before = split_lock(conda_lock(("zlib", 18_000, None), ("yaml", 19_000, None)))

    after = split_lock(
        conda_lock(("zlib", 18_000, None), ("yaml", 19_000, None), ("new", 20_000, None))
    )

    assert after[: len(before)] == before


def test_archives_that_travel_are_mounted_for_their_layer() -> None:
    lock = conda_lock(("zlib", 18_000, None), ("yaml", 19_000, None))
    assert lock.conda
    archives = {**lock.conda.archives}
    archives["zlib"] = replace(archives["zlib"], file="vendor/zlib.conda")

    layers = split_lock(replace(lock, conda=replace(lock.conda, archives=archives)))

    assert [layer.mounts for layer in layers] == [("vendor/zlib.conda",), ()]
