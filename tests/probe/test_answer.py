"""The answer as text, and what is said of a program that does not give one."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import fields

from snapenv.errors import InterpreterError, ProbeError
from snapenv.model.facts import Facts
from snapenv.model.hardware import Hardware, System
from snapenv.model.python import Environment, Interpreter, Libraries, Torch
from snapenv.model.snapshot import Lock
from snapenv.probe.probe import MARK, parse_facts, probe
from snapenv.targets.local import LocalTarget
from snapenv.travel.pack import pack
from tests.probe.environments import Venv, make_venv, write_wheel

RECORDED = Path(__file__).parent.parent / "recorded" / "probe"
SMALL = {
    "schema": 1,
    "hardware": {"system": {"os": "debian 12", "machine": "x86_64", "cpu_count": 2}},
    "environment": {
        "interpreter": {"implementation": "cpython", "version": "3.11.7"},
        "distributions": [],
    },
}


def recorded(name: str) -> Facts:
    return parse_facts((RECORDED / name).read_text())


def test_an_empty_venv_is_read_whole() -> None:
    facts = recorded("empty-venv.txt")

    assert facts == Facts(
        schema=1,
        hardware=Hardware(
            system=System(
                os="debian 12",
                machine="x86_64",
                glibc="2.36",
                cpu="Intel(R) Xeon(R) Processor",
                cpu_count=2,
            )
        ),
        environment=Environment(
            interpreter=Interpreter(implementation="cpython", version="3.11.7"), distributions=()
        ),
    )


def test_torch_from_an_index_names_its_cuda_and_the_libraries_of_its_wheels() -> None:
    environment = recorded("exact-torch.txt").environment

    assert environment.torch == Torch(
        version="2.11.0+cu130", cuda="13.0", git="70d99e998b4955e0049d13a98d77ae1b14db1f45"
    )
    assert environment.libraries == Libraries(cudnn="9.19.0", nccl="2.28.9")
    assert environment.untracked == ()
    assert {found.origin for found in environment.distributions} == {"index"}
    assert sum(found.files.count for found in environment.distributions if found.files) > 19_000


def test_a_banner_before_the_answer_is_passed_over_and_all_of_an_image_is_base() -> None:
    facts = recorded("debian-torch.txt")

    assert facts.image["NVIDIA_PYTORCH_VERSION"] == "25.01"
    assert facts.variables == {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    assert facts.environment.torch == Torch(version="2.6.0+debian", git="Unknown")
    assert {found.origin for found in facts.environment.distributions} == {"base"}
    assert {found.files for found in facts.environment.distributions} == {None}


@pytest.mark.parametrize("output", ["", "hello\n", f"{MARK}{{}}\n{MARK}{{}}\n"])
def test_an_output_without_exactly_one_answer_is_refused(output: str) -> None:
    with pytest.raises(ProbeError, match=r"answered [02] times, not once"):
        parse_facts(output)


def test_a_wrong_value_is_named_by_its_place() -> None:
    distribution = {"name": "numpy", "version": 2, "origin": "index"}
    environment = {**SMALL["environment"], "distributions": [distribution]}  # type: ignore[dict-item]

    with pytest.raises(ProbeError, match=r"environment.distributions\[0\].version: Expected `str`"):
        parse_facts(MARK + json.dumps({**SMALL, "environment": environment}))


def test_an_answer_of_another_schema_is_refused_by_its_number() -> None:
    with pytest.raises(ProbeError) as caught:
        parse_facts(MARK + json.dumps({**SMALL, "schema": 2}))

    assert str(caught.value) == wording("the probe answered in schema 2, not 1")


@pytest.mark.parametrize("answer", ["[]", "{", '{"schema": 1}', "null"])
def test_an_answer_of_another_form_is_refused(answer: str) -> None:
    with pytest.raises(ProbeError, match="cannot be read"):
        parse_facts(MARK + answer)


def test_the_program_is_packed_to_the_same_bytes_each_time() -> None:
    first = pack("snapenv_probe")
    pack.cache_clear()

    assert pack("snapenv_probe") == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_program_holds_its_modules_and_nvml_and_nothing_of_snapenv() -> None:
    with zipfile.ZipFile(io.BytesIO(pack("snapenv_probe"))) as archive:
        names = archive.namelist()
        sources = [archive.read(name).decode() for name in names]

    assert {"__main__.py", "snapenv_probe/answer.py", "snapenv_pynvml.py"} <= set(names)
    assert not [source for source in sources if re.search(r"(import|from) snapenv\b", source)]


@pytest.mark.parametrize("program", ["true", "cat", "false"])
def test_a_program_that_is_no_python_is_named(program: str) -> None:
    path = shutil.which(program)
    assert path

    with pytest.raises(InterpreterError, match=f"{program} is not Python"):
        probe(LocalTarget(path))


def find_python(version: str) -> str:
    """Return an interpreter of a minor version from pyenv or uv; skip the test where none is."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    managed = Path.home() / ".local" / "share" / "uv" / "python"
    found = (*pyenv.glob(f"{version}.*"), *managed.glob(f"*-{version}.*"))
    if not found:
        pytest.skip(f"no Python {version} here")
    return str(found[0] / "bin" / "python")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_a_python_that_is_too_old_is_refused_by_its_version(version: str) -> None:
    python = find_python(version)

    with pytest.raises(InterpreterError, match=f"is Python {version}; 3.8 is the oldest"):
        probe(LocalTarget(python))


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13"])
def test_each_python_from_3_8_on_answers(version: str, tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "venv", "--python", find_python(version))
    venv.install(write_wheel(tmp_path, "plain", {"plain.py": ""}))

    environment = venv.look().environment

    assert environment.interpreter.minor == version
    assert [found.name for found in environment.distributions] == ["plain"]
    assert environment.untracked == ()


def test_a_probe_that_breaks_is_told_with_its_last_words(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'case "$1" in -c) echo "snapenv-python: 3 11";; *) echo Killed >&2; exit 137;; esac\n'
    )
    python.chmod(0o755)

    with pytest.raises(ProbeError) as caught:
        probe(LocalTarget(str(python)))

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "the probe exited with 137 on TMP/python: Killed"
    )


def test_it_answers_where_site_is_disabled(venv: Venv, tmp_path: Path) -> None:
    program = tmp_path / "probe.pyz"
    program.write_bytes(pack("snapenv_probe"))

    done = subprocess.run(
        [venv.python, "-S", "-B", program], capture_output=True, text=True, check=True
    )

    environment = parse_facts(done.stdout).environment
    assert (environment.distributions, environment.untracked) == ((), ())


def test_it_changes_nothing_where_it_runs(venv: Venv) -> None:
    before = sorted(venv.folder.rglob("*"))

    venv.look()

    assert sorted(venv.folder.rglob("*")) == before


def test_the_answer_names_neither_user_nor_host_and_the_home_only_as_a_place_to_search_for(
    venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "alice-of-the-test")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    program = tmp_path / "probe.pyz"
    program.write_bytes(pack("snapenv_probe"))

    answer = subprocess.run(
        [venv.python, "-B", program], capture_output=True, text=True, check=True
    ).stdout
    facts = json.loads(answer.partition(MARK)[2])
    places = facts.pop("places")

    assert "places" not in {field.name for field in fields(Lock)}
    assert places["your home folder"] == [str(tmp_path)]
    assert "alice-of-the-test" not in answer
    assert str(tmp_path) not in json.dumps(facts)
    assert os.uname().nodename not in answer
