"""When the probe runs as bytecode, and that it is only its own."""

from __future__ import annotations

import io
import marshal
import shutil
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import pytest

from snapenv.kept import Kept
from snapenv.ports import Completed
from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from snapenv.travel import pack as program
from snapenv.travel.pack import pack, pack_compiled
from tests.probe.environments import Venv, make_venv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from snapenv.model.carried import Content

MAGIC_BYTES = 4


@dataclass
class Watched:
    """A target of this machine that remembers what it ran, and may answer otherwise."""

    python: str
    ran: list[str] = field(default_factory=list)
    instead: bytes | None = None  # of what compiling says

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, Content] | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        stdout: BinaryIO | None = None,
    ) -> Completed:
        del environment, on_line
        self.ran.append("compile" if "--compile" in argv else "look")
        if stdout is None or self.instead is None:
            return LocalTarget(self.python).run(argv, files=files, stdout=stdout)
        stdout.write(self.instead)
        return Completed(exit_code=0, stdout="", stderr="")


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    return make_venv(tmp_path_factory.mktemp("venv") / "env")


@pytest.fixture(scope="module")
def whole(venv: Venv) -> bytes:
    compiled = pack_compiled("snapenv_probe", LocalTarget(venv.python), Kept(None))
    assert compiled is not None
    return compiled


def test_it_is_compiled_once_and_sees_the_same(venv: Venv, tmp_path: Path) -> None:
    target = Watched(venv.python)

    seen = [probe(target, hashes=tmp_path / "hashes", rehash=True) for _ in range(2)]

    assert seen == [probe(LocalTarget(venv.python))] * 2
    assert target.ran == ["compile", "look", "look"]


def test_a_target_elsewhere_gets_the_sources(venv: Venv) -> None:
    target = Watched(venv.python)

    probe(target)

    assert target.ran == ["look"]


def members(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_each_module_is_in_it_with_its_bytecode(whole: bytes) -> None:
    sources, found = members(pack("snapenv_probe")), members(whole)

    assert {name: found[name] for name in sources} == sources
    assert sorted(found) == sorted([*sources, *(f"{name}c" for name in sources)])


def test_bytecode_of_another_python_is_passed_over(
    venv: Venv, whole: bytes, tmp_path: Path
) -> None:
    lie = marshal.dumps(compile("raise SystemExit('a lie')", "lie", "exec"))
    foreign = {
        name: b"\0\0\r\n" + content[MAGIC_BYTES:16] + lie if name.endswith("c") else content
        for name, content in members(whole).items()
    }
    kept = Kept(tmp_path / "hashes")
    name = program._name("snapenv_probe", venv.python)
    assert name
    kept.keep(name, zipped(foreign))

    assert probe(Watched(venv.python), hashes=kept.folder) == probe(LocalTarget(venv.python))


def test_bytecode_of_other_sources_is_not_looked_for(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, target = Kept(tmp_path / "hashes"), Watched(venv.python)
    pack_compiled("snapenv_probe", target, kept)
    changed = shutil.copytree(program.PROGRAMS, tmp_path / "programs")
    (changed / "snapenv_probe/answer.py").write_text(
        (changed / "snapenv_probe/answer.py").read_text() + "\n"
    )
    monkeypatch.setattr(program, "PROGRAMS", changed)
    program.pack.cache_clear()

    compiled = pack_compiled("snapenv_probe", target, kept)
    program.pack.cache_clear()

    assert target.ran == ["compile", "compile"]
    assert compiled
    assert (
        members(compiled)["snapenv_probe/answer.py"]
        == (changed / "snapenv_probe/answer.py").read_bytes()
    )


def without_a_module(whole: bytes) -> bytes:
    return zipped({name: one for name, one in members(whole).items() if "elf" not in name})


def with_another_source(whole: bytes) -> bytes:
    return zipped({**members(whole), "snapenv_probe/answer.py": b"raise SystemExit"})


def with_more(whole: bytes) -> bytes:
    return zipped({**members(whole), "json.pyc": b""})


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: b"",
        lambda whole: whole,
        lambda whole: program._MARK + whole[:-100],
        lambda whole: program._MARK + without_a_module(whole),
        lambda whole: program._MARK + with_another_source(whole),
        lambda whole: program._MARK + with_more(whole),
    ],
    ids=["nothing", "no mark", "cut", "a module less", "another source", "a module more"],
)
def test_what_is_not_made_of_our_sources_is_not_taken(
    venv: Venv, whole: bytes, tmp_path: Path, answer: Callable[[bytes], bytes]
) -> None:
    target = Watched(venv.python, instead=answer(whole))

    assert pack_compiled("snapenv_probe", target, Kept(tmp_path / "hashes")) is None
    assert not (tmp_path / "hashes").exists()


def test_one_that_is_damaged_is_made_again(venv: Venv, tmp_path: Path, whole: bytes) -> None:
    kept, target = Kept(tmp_path / "hashes"), Watched(venv.python)
    pack_compiled("snapenv_probe", target, kept)
    (file,) = (tmp_path / "hashes").iterdir()
    file.write_bytes(file.read_bytes()[:-1])

    assert pack_compiled("snapenv_probe", target, kept) == whole
    assert target.ran == ["compile", "compile"]
