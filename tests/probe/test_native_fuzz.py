"""Whatever the bytes are, the readers of compiled files end, and give text or nothing."""

from __future__ import annotations

import json
import random
import re
import tempfile
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapenv_probe import elf_file, fatbin
from tests.probe.compiled import MACHINE_CODE, PTX, compile_module, fat_binary, fat_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INPUTS_IN_EACH = 20

ARCHITECTURE = re.compile(r"(sm|compute)_[0-9]+[af]?")
FAT = fat_binary(fat_entry(MACHINE_CODE, 90), fat_entry(PTX, 120, header_bytes=80)) * 3
WORDS = (bytes(8), b"\xff" * 8, b"\x7fELF\x02\x01\x01\0", FAT[:8], b"\0\0\0\x80" * 2, b"\x01")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a small shared object with a fat binary."""
    path = tmp_path_factory.mktemp("fuzz") / "it.so"
    return compile_module(path, fatbin=FAT)


def variants(content: bytes, seed: int) -> Iterator[bytes]:
    """Write words over some places; half of the places lie in the first 512 bytes."""
    chance = random.Random(seed)
    for _ in range(INPUTS_IN_EACH):
        result = bytearray(content)
        for _ in range(chance.randrange(6)):
            at = chance.randrange(chance.choice((len(content), min(512, len(content)))))
            word = chance.choice((*WORDS, chance.randbytes(chance.randrange(1, 9))))
            result[at : at + len(word)] = word
        yield bytes(result[: chance.choice((len(content), chance.randrange(len(content))))])


def written(content: bytes, file: BinaryIO) -> BinaryIO:
    file.seek(0)
    file.truncate()
    file.write(content)
    file.flush()
    return file


@given(seed=st.integers(0, 2**32))
def test_any_elf_file_is_read_or_is_none(module: Path, seed: int) -> None:
    with tempfile.TemporaryFile() as file:
        for content in variants(module.read_bytes(), seed):
            found = elf_file.read(written(content, file))

            for section in found.sections if found else ():
                if section.name in fatbin.SECTIONS:
                    held = fatbin.architectures(file.fileno(), section.offset, section.size_bytes)
                    assert all(ARCHITECTURE.fullmatch(name) for one in held for name in one)
            json.dumps(found).encode("ascii")


@given(seed=st.integers(0, 2**32))
def test_any_fat_binary_gives_architectures_or_nothing(seed: int) -> None:
    with tempfile.TemporaryFile() as file:
        for content in variants(FAT, seed):
            descriptor = written(content, file).fileno()

            found = list(fatbin.architectures(descriptor, 0, len(content)))

            assert all(ARCHITECTURE.fullmatch(name) for one in found for name in one)
            sorted((name for one in found for name in one), key=fatbin.sort_key)
