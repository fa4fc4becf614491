from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording
from msgspec.structs import fields, replace

from snapenv.conda_lock import write_conda_lock
from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from snapenv.lock.document import lock_from_toml, lock_to_toml
from snapenv.model.conda import CondaArchive, CondaLock
from snapenv.model.fingerprint import HexFloat
from snapenv.model.snapshot import SNAPSHOT_SCHEMA, Lock
from snapenv.model.wheels import FromBase, FromConda, Locked, Pinned, Vendored, VendoredWheel
from snapenv.pylock import write_pylock
from tests.samples import (
    sample_base_lock,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_files,
    sample_fingerprint,
    sample_hardware,
    sample_lock,
    sample_wheel,
)

if TYPE_CHECKING:
    from snapenv.model.python import Distribution

# What a TOML file cannot hold as it is, or could take for its own.
NASTY = (
    "\"'\\\n\r\t\b\f\0\x01\x1b\x1f\x7f\x80\x85\u2028\u2029\ufeff\ud7ff\ue000\uffff\U0010ffff"
    " ,.#=[]{}aü"
)
texts = st.text(max_size=8) | st.text(alphabet=NASTY, max_size=8)
PLAIN: Mapping[object, st.SearchStrategy[Any]] = {
    str: texts,
    bool: st.booleans(),
    int: st.integers(min_value=-(2**63), max_value=2**63 - 1),
    float: st.floats(allow_nan=False),
    HexFloat: st.floats().map(float.hex),
    type(None): st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401
    """Make values of a type with every field filled in, so that a new field is tried too."""
    inner = get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if inner:
        return GENERIC[get_origin(kind)](inner)
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})


def tuples(inner: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if inner[-1] is Ellipsis:
        return st.lists(values(inner[0]), max_size=4).map(tuple)
    return st.tuples(*map(values, inner))


GENERIC: Mapping[Any, Callable[[tuple[Any, ...]], st.SearchStrategy[Any]]] = {
    tuple: tuples,
    Literal: st.sampled_from,
    Mapping: lambda inner: st.dictionaries(*map(values, inner), max_size=3),
    UnionType: lambda inner: st.one_of(*map(values, inner)),
    Union: lambda inner: st.one_of(*map(values, inner)),  # of a Literal and None
}


def travelling(name: str) -> Pinned:
    wheel = sample_wheel(name, "2.0")
    return Pinned(wheel=wheel, proof="none", file=f"vendor/{wheel.filename}")


def rebuilt(name: str) -> Vendored:
    file = f"vendor/{name.replace('-', '_')}-1.0+ours-py3-none-any.whl"
    return Vendored(wheel=VendoredWheel(file=file, sha256="0" * 64, size_bytes=7))


WAYS: tuple[Callable[[str], Locked], ...] = (
    lambda name: Pinned(wheel=sample_wheel(name, "1.0"), proof="record"),
    travelling,
    rebuilt,
    lambda _: Vendored(),
    lambda _: FromBase(),
    lambda _: FromConda(),
)


def read_back(lock: Lock, written: bytes | None = None) -> Lock:
    pylock = write_pylock(lock.packages, machine="x86_64", python="3.11")
    conda = write_conda_lock(lock.conda) if lock.conda else None
    return lock_from_toml(written or lock_to_toml(lock), pylock, conda, where="here")


def whole(lock: Lock) -> Lock:
    """Let each distribution have a name of its own and one way to come back.

    A wheel is of a name that indexes and installers take.
    """
    packages: dict[str, Locked] = {}
    named: dict[str, Distribution] = {}
    for number, found in enumerate(lock.environment.distributions):
        way = WAYS[number % len(WAYS)](f"package-{number}")
        has_wheel = getattr(way, "wheel", None) is not None
        name = f"package-{number}" if has_wheel else found.name
        packages[name], named[name] = way, replace(found, name=name)
    return replace(
        lock,
        schema=SNAPSHOT_SCHEMA,
        environment=replace(lock.environment, distributions=tuple(named.values())),
        packages=packages,
        conda=whole_conda(lock.conda) if lock.conda else None,
    )


def whole_conda(lock: CondaLock) -> CondaLock:
    """Let each package have an archive with a hash."""
    archive = CondaArchive(file_name="a-1-0.conda", url="https://example.com/a", md5="0" * 32)
    names = {package.name for package in lock.environment.packages}
    return replace(lock, schema=1, archives={**lock.archives, **dict.fromkeys(names, archive)})


locks = values(Lock).map(whole)

MUCH = 10_000_000
SAMPLES = (
    sample_lock(),
    sample_base_lock(),
    sample_lock(baseline=sample_fingerprint()),
    sample_lock(baseline=sample_fingerprint(device="cpu")),
    sample_lock(facts=sample_facts(hardware=sample_hardware(driver=None, glibc=None))),
    sample_lock(facts=sample_facts(environment=sample_environment(torch=None, distributions=()))),
)


@pytest.mark.parametrize("lock", SAMPLES)
def test_a_lock_comes_back_from_its_file(lock: Lock) -> None:
    assert read_back(lock) == lock


@pytest.mark.parametrize(
    ("lock", "world"),
    [(sample_lock(), b'world = "exact"'), (sample_base_lock(), b'world = "base"')],
)
def test_a_lock_of_the_first_schema_is_read_as_one_of_today(lock: Lock, world: bytes) -> None:
    old = lock_to_toml(lock).replace(b"schema = 2", b"schema = 1", 1)
    old = old.replace(f'site_packages = "{lock.base.site_packages}"'.encode(), world, 1)

    assert read_back(lock, old) == lock


@pytest.mark.parametrize("base", [b"base = 3", b"base = []", b"base.world = []", b"base.world = 1"])
def test_a_base_of_the_first_schema_that_is_none_is_damage(base: bytes) -> None:
    with pytest.raises(SnapshotDamagedError):
        lock_from_toml(b"schema = 1\nenvironment.distributions = []\n" + base, b"", where="there")


@given(locks)
def test_whatever_a_lock_holds_comes_back_from_its_file(lock: Lock) -> None:
    written = lock_to_toml(lock)

    read = read_back(lock, written)

    assert read == lock
    assert lock_to_toml(read) == written


@given(locks)
def test_other_readers_of_toml_take_the_file_alike(lock: Lock) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
    written = lock_to_toml(lock).decode()

    document = tomllib.loads(written)

    assert tomlkit.parse(written).unwrap() == document
    assert document["variables"] == lock.variables
    assert [found["name"] for found in document["environment"]["distributions"]] == [
        found.name for found in lock.environment.distributions
    ]


def test_python_without_a_reader_of_toml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = sample_lock(baseline=sample_fingerprint())
    monkeypatch.setitem(sys.modules, "tomllib", None)

    assert read_back(lock) == lock
    with pytest.raises(SnapshotDamagedError, match=r"^there/snapenv\.toml: "):
        lock_from_toml(b"schema = ", b"", where="there")


def test_twenty_thousand_paths_take_no_time() -> None:
    paths = tuple(f"package/folder/module_{number}.py" for number in range(20_000))
    files = sample_files(edited=paths, missing=paths)
    environment = sample_environment(distributions=(sample_distribution(files=files),))
    lock = replace(sample_lock(facts=sample_facts(environment=environment)), overlay=paths)

    begun = time.process_time()
    read = read_back(lock)

    assert time.process_time() - begun < 5
    assert read == lock


@given(texts)
def test_no_text_breaks_out_of_its_line(text: str) -> None:
    lock = replace(sample_lock(), tag=text, variables={text: text})

    written = lock_to_toml(lock).decode()

    unsafe = {letter for letter in written if letter < " " or letter == "\x7f"}
    assert unsafe == {"\n"}
    assert written.count("\n") == lock_to_toml(sample_lock()).count(b"\n") + 1


@pytest.mark.parametrize("lock", SAMPLES)
def test_the_same_lock_gives_the_same_bytes(lock: Lock) -> None:
    again = read_back(lock)

    assert lock_to_toml(again) == lock_to_toml(lock)


def test_a_person_finds_each_distribution_with_its_proof() -> None:
    document = tomlkit.parse(lock_to_toml(sample_base_lock()).decode()).unwrap()
    found = {one["name"]: one["proof"] for one in document["environment"]["distributions"]}

    assert found["torch"] == "base"
    assert found["numpy"] == "none"
    assert "packages" not in document


def test_a_url_without_a_value_is_left_out() -> None:
    environment = sample_environment(distributions=(sample_distribution(),))

    written = lock_to_toml(sample_lock(facts=sample_facts(environment=environment)))
    document = tomlkit.parse(written.decode()).unwrap()

    assert "url" not in document["environment"]["distributions"][0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("schema = 3", "schema 3 is not known here, only 1 to 2"),
        ("schema = 0", "schema 0 is not known here, only 1 to 2"),
        ('schema = "1"', "schema 1 is not known here, only 1 to 2"),
    ],
)
def test_another_schema_is_refused_and_the_hint_names_who_wrote_it(line: str, said: str) -> None:
    newer = lock_to_toml(replace(sample_lock(), snapenv="7.1.0"))
    newer = newer.replace(b"schema = 2", line.encode())

    with pytest.raises(SnapshotVersionError) as caught:
        lock_from_toml(newer, b"", where="there")

    assert caught.value.message == f"there/snapenv.toml: {said}"
    assert caught.value.hint == wording("Read it with snapenv 7.1.0 or newer.")


@pytest.mark.parametrize("writer", ["7\\u001b[2J", "x" * 99, "", "1 or\\nhint: run this"])
def test_a_version_that_is_none_is_not_repeated(writer: str) -> None:
    newer = lock_to_toml(sample_lock()).replace(b"schema = 2", b'schema = "\\u001b[2J2\\n"', 1)
    newer = newer.replace(b'snapenv = "0.1.0"', f'snapenv = "{writer}"'.encode(), 1)

    with pytest.raises(SnapshotVersionError) as caught:
        lock_from_toml(newer, b"", where="there")

    assert caught.value.hint == wording("It is not a snapshot.")
    assert caught.value.message.isprintable()


def test_some_other_toml_is_no_snapshot() -> None:
    with pytest.raises(SnapshotVersionError) as caught:
        lock_from_toml(b'[project]\nname = "a"\n', b"", where="there")

    assert caught.value.hint == wording("It is not a snapshot.")


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (b"memory_mib = 143771", b'memory_mib = "much"', r"\$\.hardware\.gpus\[0\]\.memory_mib"),
        (b"cuda = [13, 0]", b"cuda = [13]", r"\$\.hardware\.driver\.cuda"),
        (b'"isolated"', b'"flat"', r"\$\.base\.site_packages"),
        (b"schema = 2", b"schema = 1", "world"),
        (b'origin = "index"', b'origin = "moon"', r"\$\.environment\.distributions\[0\]\.origin"),
        (b'proof = "none"', b'proof = "faith"', "faith"),
        (b'proof = "none"', b"", "proof"),
        (b"cpu_count = 16", b"", "cpu_count"),
        (b'"0x1.', b'"5x1.', r"\$\.baseline\.losses\[0\]"),
        (b"schema = 2", b"schema = 2\nenvironment = 3\n[other]", ""),
    ],
)
def test_a_field_of_another_form_is_named(old: bytes, new: bytes, path: str) -> None:
    lock = sample_lock(baseline=sample_fingerprint())
    damaged = lock_to_toml(lock).replace(old, new, 1)

    with pytest.raises(SnapshotDamagedError, match=rf"there/snapenv\.toml: .*{path}") as caught:
        lock_from_toml(damaged, b"", where="there")

    assert "again" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"schema = ",
        b"schema = 1\n",
        b"schema = 1\nenvironment = 3\n",
        b"schema = 1\nenvironment = []\n",
        b"schema = 1\nenvironment.distributions = 3\n",
        b"schema = 1\nenvironment.distributions = ['numpy']\n",
        b"schema = 1\nenvironment.distributions = [[]]\n",
        b"schema = 1\nenvironment.distributions = [{name = [], proof = 'none'}]\n",
        b"schema = 1\n" + b"a." * 3000 + b"b = 1\n",
        b"schema = 1\na = " + b"[" * 3000 + b"]" * 3000 + b"\n",
        b"schema = 1\na = " + b"[" * MUCH,
        b"schema = 1\na = " + b"{a = " * (MUCH // 5),
        b"schema = 1\n" + b"a." * (MUCH // 2) + b"b = 1\n",
        b"schema = 1\n" + b'"a\\"" . ' * (MUCH // 8) + b"b = 1\n",
        b"schema = 1\n[" + b"'a'." * (MUCH // 4) + b"b]\n",
        b"schema = 1\na = ['\"', {" + b"a." * (MUCH // 2) + b"b = 1}, '\"']\n",
        b'schema = 1\na = ["""\\\n""", {' + b"a." * (MUCH // 2) + b'b = "x"}]\n',
        b"schema = 1\na = " + b"1" * 5000 + b"\n",
        b"schema = 1\na = '" + b"\x1b[2J" * 99,
    ],
    ids=itertools.count(),
)
def test_what_is_no_lock_is_called_damaged(content: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(SnapshotDamagedError, match=r"^there/snapenv\.toml: ") as caught:
        lock_from_toml(content, b"", where="there")

    assert time.process_time() - begun < 10
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@given(st.binary(max_size=200))
def test_no_content_is_a_bug(content: bytes) -> None:
    with pytest.raises((SnapshotDamagedError, SnapshotVersionError)):
        lock_from_toml(content, b"", where="there")
