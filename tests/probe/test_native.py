"""Compiled files: the kernels they hold, and the libraries that they need of the system."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from inline_snapshot import snapshot as wording

from snapenv.model.facts import Kernels, Native, NativeLibrary
from snapenv_probe import loader
from tests.probe.compiled import (
    COMPRESSED,
    FOR_THIS_FAMILY,
    FOR_THIS_GPU,
    LINK_TIME_CODE,
    MACHINE_CODE,
    PADDING,
    PLAIN,
    PTX,
    compile_module,
    compile_named,
    fat_binary,
    fat_entry,
)
from tests.probe.environments import write_files, write_wheel
from tests.probe.places import look_with
from tests.steady import steady

if TYPE_CHECKING:
    from tests.probe.environments import Venv

AMPERE, HOPPER = fat_entry(MACHINE_CODE, 80), fat_entry(MACHINE_CODE, 90, PLAIN)


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    """Return a folder that belongs to no environment."""
    return tmp_path / "aside"


def native(venv: Venv) -> Native:
    found = venv.look().native
    assert found
    return found


def install(venv: Venv, aside: Path, name: str, *paths: str) -> None:
    """Install a distribution that owns what is put at these paths."""
    aside.mkdir(exist_ok=True)
    venv.install(write_wheel(aside, name, dict.fromkeys(paths, "")))


def libraries(venv: Venv) -> dict[str, NativeLibrary]:
    """Return what is needed but for what the compiler itself adds."""
    return {one.soname: one for one in native(venv).libraries}


def test_a_recorded_look_reads_and_tells_what_torch_was_built_for() -> None:
    recorded = Path(__file__).parents[1] / "recorded/native/torch-2.11.0+cu130.json"

    found = msgspec.json.decode(recorded.read_bytes(), type=Native)

    (torch,) = (kernels for kernels in found.kernels if kernels.distribution == "torch")
    assert torch.common == ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
    assert {"sm_90a", "sm_100a"} <= set(torch.architectures)
    assert [one.soname for one in found.libraries if one.required] == [
        "libgcc_s.so.1",
        "libstdc++.so.6",
        "libz.so.1",
    ]


def test_an_environment_without_compiled_files_has_none(venv: Venv) -> None:
    assert native(venv) == Native()


def test_kernels_are_told_for_each_distribution_by_number_and_ptx_last(
    venv: Venv, aside: Path
) -> None:
    install(venv, aside, "flash", "flash/_C.so", "flash/lib/libflash.so.2")
    install(venv, aside, "apex", "apex.so")
    blackwell = fat_entry(MACHINE_CODE, 120, header_bytes=112)
    ptx = fat_entry(PTX, 90, header_bytes=80)
    compile_module(venv.site / "flash/_C.so", fatbin=fat_binary(blackwell, ptx, HOPPER))
    compile_module(venv.site / "flash/lib/libflash.so.2", fatbin=fat_binary(AMPERE))
    compile_module(venv.site / "apex.so", fatbin=fat_binary(HOPPER))

    assert [(one.distribution, one.architectures) for one in native(venv).kernels] == [
        ("apex", ("sm_90",)),
        ("flash", ("sm_80", "sm_90", "sm_120", "compute_90")),
    ]


def test_code_for_one_gpu_or_one_family_is_named_so(venv: Venv) -> None:
    entries = (
        fat_entry(MACHINE_CODE, 90, COMPRESSED | FOR_THIS_GPU),
        fat_entry(MACHINE_CODE, 100, COMPRESSED | FOR_THIS_FAMILY, header_bytes=112),
        fat_entry(LINK_TIME_CODE, 75),
        HOPPER,
    )
    compile_module(venv.site / "loose.so", fatbin=fat_binary(*entries))

    (kernels,) = native(venv).kernels

    assert kernels.distribution is None
    assert kernels.architectures == ("sm_90", "sm_90a", "sm_100f")


def test_what_at_least_half_of_the_fat_binaries_hold_is_common(venv: Venv) -> None:
    both, one = fat_binary(AMPERE, HOPPER), fat_binary(HOPPER)
    rare = fat_binary(fat_entry(MACHINE_CODE, 89), HOPPER)
    compile_module(venv.site / "a.so", fatbin=both + PADDING + one)
    compile_module(venv.site / "b.so", fatbin=both + rare)

    (kernels,) = native(venv).kernels

    assert kernels == Kernels(architectures=("sm_80", "sm_89", "sm_90"), common=("sm_80", "sm_90"))


def test_a_link_to_a_file_counts_once(venv: Venv) -> None:
    compile_module(venv.site / "a.so.1", fatbin=fat_binary(AMPERE))
    compile_module(venv.site / "b.so", fatbin=fat_binary(HOPPER))
    for name in ("a.so", "a.so.2"):
        (venv.site / name).symlink_to("a.so.1")

    (kernels,) = native(venv).kernels

    assert kernels.common == ("sm_80", "sm_90")


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x7fELF",
        b"\x7fELF\x02\x01" + b"\xff" * 4096,
        b"",
        b"INPUT(libfoo.so.1)\n",
    ],
)
def test_a_file_that_is_no_elf_file_is_passed_over(venv: Venv, damaged: bytes) -> None:
    compile_module(venv.site / "good.so", fatbin=fat_binary(AMPERE))
    (venv.site / "bad.so").write_bytes(damaged)

    assert [one.architectures for one in native(venv).kernels] == [("sm_80",)]


@pytest.mark.parametrize(
    "damaged",
    [
        fat_binary(AMPERE)[:40],
        fat_binary(AMPERE + bytes(64)),
        fat_binary(AMPERE) + bytes(1 << 16) + fat_binary(HOPPER),
        fat_binary(AMPERE)[:8] + b"\xff" * 8 + AMPERE,
    ],
    ids=["cut", "more than it says", "far apart", "larger than the file"],
)
def test_damage_ends_the_search_and_not_the_probe(venv: Venv, damaged: bytes) -> None:
    compile_module(venv.site / "bad.so", fatbin=damaged)
    compile_module(venv.site / "good.so", fatbin=fat_binary(AMPERE))

    (kernels,) = native(venv).kernels

    assert kernels.architectures == ("sm_80",)


def test_a_library_that_nothing_brings_is_missing(venv: Venv, aside: Path) -> None:
    install(venv, aside, "opencv_python", "cv2/cv2.abi3.so")
    gone = compile_named(aside / "libnowhere.so.1")
    compile_module(venv.site / "cv2/cv2.abi3.so", needs=[gone])

    assert libraries(venv)["libnowhere.so.1"] == NativeLibrary(
        soname="libnowhere.so.1", found=False, needed_by=("opencv-python",)
    )


@pytest.mark.skipif(not shutil.which("dpkg"), reason="no dpkg here")
def test_a_library_of_the_system_is_told_with_the_package_that_owns_it(venv: Venv) -> None:
    compile_module(venv.site / "it.so", options=["-l:libstdc++.so.6", "-lm"])

    needed = libraries(venv)

    assert needed == {
        "libstdc++.so.6": NativeLibrary(soname="libstdc++.so.6", package="libstdc++6", found=True)
    }


def test_what_the_environment_ships_is_not_needed_of_the_system(venv: Venv, aside: Path) -> None:
    shipped = compile_named(venv.site / "some.libs/libssl-81259c47.so.1.1.1k")
    other = compile_named(aside / "libz.so.1")
    compile_module(venv.site / "it.so", needs=[shipped])
    compile_module(venv.site / "some.libs/libz.7dbeb23c.so.1", options=["-Wl,-soname,libz.so.1"])
    compile_module(venv.site / "that.so", needs=[other])

    assert list(libraries(venv)) == ["libz.so.1"], "a file is found by its name, not its SONAME"


@pytest.mark.skipif(not Path("/etc/ld.so.cache").exists(), reason="no loader's cache here")
def test_the_loaders_cache_reads_as_ldconfig_reads_it() -> None:
    said = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True)

    cached = loader._cached()

    lines = [line.split() for line in said.stdout.splitlines() if " => " in line]
    assert lines
    assert {(name, path) for name, paths in cached.items() for path in paths} == {
        (words[0], words[-1]) for words in lines
    }


def test_the_loaders_own_paths_come_first(
    venv: Venv, aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_variable = compile_named(aside / "variable/libone.so.1")
    by_runpath = compile_named(aside / "runpath/libtwo.so.1")
    runpath = f"-Wl,-rpath,$ORIGIN/lib:{by_runpath.parent}"
    compile_module(venv.site / "it.so", needs=[by_variable, by_runpath], options=[runpath])
    monkeypatch.setenv("LD_LIBRARY_PATH", str(by_variable.parent))

    found = libraries(venv)

    assert {name: one.found for name, one in found.items()} == {
        "libone.so.1": True,
        "libtwo.so.1": True,
    }


def test_a_library_for_another_processor_is_not_found(
    venv: Venv, aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = compile_named(aside / "libone.so.1")
    compile_module(venv.site / "it.so", needs=[library])
    content = bytearray(library.read_bytes())
    content[18:20] = (0xF3).to_bytes(2, "little")  # e_machine: RISC-V
    library.write_bytes(content)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(aside))

    assert not libraries(venv)["libone.so.1"].found


def test_only_what_an_import_loads_is_required(venv: Venv, aside: Path) -> None:
    deep, plugin = (compile_named(aside / name) for name in ("libdeep.so.1", "librdma.so.1"))
    inner = venv.site / "it/lib/libinner.so"
    compile_module(inner, needs=[deep])
    compile_module(venv.site / "it/_C.cpython-311-x86_64-linux-gnu.so", needs=[inner])
    compile_module(venv.site / "it/lib/libplugin.so", needs=[plugin])

    needed = libraries(venv)

    assert {name: one.required for name, one in needed.items()} == {
        "libdeep.so.1": True,
        "librdma.so.1": False,
    }


def test_without_a_cache_and_without_dpkg_the_folders_are_looked_at(venv: Venv) -> None:
    compile_module(venv.site / "it.so", options=["-l:libstdc++.so.6"])
    write_files(venv.folder, {"empty/cache": ""})
    places = {
        "/etc/ld.so.cache": venv.folder / "empty/cache",
        "/var/lib/dpkg": venv.folder / "empty",
    }

    found = look_with(venv, places).native

    assert found
    assert found.libraries == (NativeLibrary(soname="libstdc++.so.6", found=True),)


@pytest.mark.parametrize("runpath", ["{aside}/lib", "$ORIGIN/../../../../aside/lib"])
def test_a_library_that_was_put_by_hand_outside_is_named(
    venv: Venv, aside: Path, runpath: str
) -> None:
    library = compile_named(aside / "lib" / "libby_hand.so.4")
    options = (f"-Wl,-rpath,{runpath.format(aside=aside)}",)
    compile_module(venv.site / "ours.abi3.so", needs=[library], options=options)

    facts = venv.look()

    assert facts.native
    (found,) = (one for one in facts.native.libraries if one.soname == "libby_hand.so.4")
    assert (found.found, found.package, found.outside) == (True, None, True)
    (note,) = facts.environment.notes
    assert steady(note) == wording(
        "TMP/aside/lib/libby_hand.so.4 belongs to no package and does not travel; ours.abi3.so needs it: put it there on the other machine too, or name its folder in LD_LIBRARY_PATH"
    )


@pytest.mark.parametrize(
    ("runpath", "is_bound"), [("{venv}/lib", True), ("$ORIGIN/../../../lib:{venv}/lib", False)]
)
def test_an_rpath_that_names_the_environment_itself_is_named_where_it_is_needed(
    venv: Venv, runpath: str, *, is_bound: bool
) -> None:
    library = compile_named(venv.folder / "lib" / "libinner.so.4")
    options = (f"-Wl,-rpath,{runpath.format(venv=venv.folder)}",)
    compile_module(venv.site / "ours.abi3.so", needs=[library], options=options)

    notes = venv.look().environment.notes

    assert [note.split(" by ")[0] for note in notes] == (
        ["ours.abi3.so finds libinner.so.4"] if is_bound else []
    )
