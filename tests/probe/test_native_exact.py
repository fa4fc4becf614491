"""The compiled files of a real environment, against pyelftools and against torch's own word."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import PROGRAMS

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.facts import Native

_NEEDED = "needed"  # pyelftools sets it on the tags that have it
READ_ALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
from snapenv_probe import elf_file
for path in sys.argv[2:]:
    with open(path, 'rb') as file:
        found = elf_file.read(file)
    print(json.dumps(found and [found.machine, found.needed, found.runpath, found.sections]))
"""


@pytest.fixture(scope="module")
def native(exact_python: Path) -> Native:
    found = probe(LocalTarget(str(exact_python))).native
    assert found
    return found


def by_pyelftools(path: Path) -> list[object] | None:
    """Read what ``elf_file.Elf`` holds."""
    with path.open("rb") as file:
        try:
            elf = ELFFile(file)
        except ELFError:
            return None
        tags = [
            tag
            for section in elf.iter_sections()
            if isinstance(section, DynamicSection)
            for tag in section.iter_tags()
        ]
        return [
            {"EM_X86_64": 62, "EM_AARCH64": 183}.get(elf["e_machine"]),
            [getattr(tag, _NEEDED) for tag in tags if tag.entry.d_tag == "DT_NEEDED"],
            [
                folder
                for kind in ("rpath", "runpath")
                for tag in tags
                if tag.entry.d_tag == f"DT_{kind.upper()}"
                for folder in getattr(tag, kind).split(":")
            ],
            [
                [section.name, section["sh_offset"], section["sh_size"]]
                for section in elf.iter_sections()
                if section["sh_type"] != "SHT_NOBITS"
            ],
        ]


@pytest.mark.exact
def test_every_shared_object_reads_as_pyelftools_reads_it(exact_python: Path) -> None:
    found = sorted(exact_python.parent.parent.rglob("*.so*"))
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    argv = [str(exact_python), "-c", READ_ALL, str(PROGRAMS), *map(str, files)]

    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()

    assert len(files) > 100
    for path, line in zip(files, lines, strict=True):
        assert json.loads(line) == by_pyelftools(path), path


@pytest.mark.exact
def test_torch_was_built_for_what_it_says_itself(exact_python: Path, native: Native) -> None:
    ask = "import torch; print(torch._C._cuda_getArchFlags())"
    said = subprocess.run(
        [exact_python, "-c", ask], check=True, capture_output=True, text=True
    ).stdout.split()

    (kernels,) = (each for each in native.kernels if each.distribution == "torch")

    assert list(kernels.common) == said
    assert set(said) < set(kernels.architectures), "some of its kernels are for one GPU alone"
    assert "sm_90a" in kernels.architectures


@pytest.mark.exact
def test_ptx_and_every_cuda_wheel_are_seen(native: Native) -> None:
    held = {one.distribution: one.architectures for one in native.kernels}

    assert "compute_120" in held["torchvision"]
    assert {"nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "torch"} <= held.keys()
    assert native.cublas
    assert native.cublas.startswith("13.")


@pytest.mark.exact
def test_what_an_import_loads_is_found_and_the_drivers_own_is_no_import(native: Native) -> None:
    required = {one.soname: one for one in native.libraries if one.required}

    assert {"libstdc++.so.6", "libgcc_s.so.1", "libz.so.1"} <= required.keys()
    assert all(one.found for one in required.values())
    assert "libcuda.so.1" in {one.soname for one in native.libraries} - required.keys()
