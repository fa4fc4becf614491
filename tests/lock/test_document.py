from __future__ import annotations

from dataclasses import replace

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from snapenv.lock.document import lock_from_toml, lock_to_toml
from snapenv.lock.pins import proofs
from snapenv.model.fingerprint import Conditions, Fingerprint, Speed
from snapenv.model.hardware import Driver, Gpu, Hardware, System
from snapenv.model.native import Kernels, Native, NativeLibrary
from snapenv.model.python import (
    Distribution,
    Environment,
    Files,
    Interpreter,
    Libraries,
    LooseFile,
    Torch,
)
from snapenv.model.snapshot import Base, Installer, Lock
from tests.samples import (
    sample_base_lock,
    sample_distribution,
    sample_environment,
    sample_facts,
    sample_fingerprint,
    sample_hardware,
    sample_lock,
)

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
counts = st.integers(min_value=0, max_value=2**53)
pairs = st.tuples(counts, counts)
words = st.lists(texts, max_size=4).map(tuple)
tables = st.dictionaries(texts, texts, max_size=3)
maybe = st.none() | texts
rates = st.floats(min_value=0, max_value=1e9)

hardware = st.builds(
    Hardware,
    system=st.builds(System, os=texts, machine=texts, glibc=maybe, cpu=maybe, cpu_count=counts),
    driver=st.none() | st.builds(Driver, version=texts, cuda=pairs),
    gpus=st.lists(
        st.builds(Gpu, name=texts, memory_mib=counts, compute_capability=pairs), max_size=2
    ).map(tuple),
)
distributions = st.builds(
    Distribution,
    name=texts,
    version=texts,
    origin=st.sampled_from(("index", "base", "conda")),
    installer=maybe,
    url=maybe,
    tags=words,
    files=st.none()
    | st.builds(Files, count=counts, size_bytes=counts, sha256=texts, edited=words, missing=words),
)
environments = st.builds(
    Environment,
    interpreter=st.builds(Interpreter, implementation=texts, version=texts),
    distributions=st.lists(distributions, max_size=3, unique_by=lambda one: one.name).map(tuple),
    unowned=st.lists(st.builds(LooseFile, path=texts, sha256=maybe, link=maybe), max_size=2).map(
        tuple
    ),
    torch=st.none() | st.builds(Torch, version=texts, cuda=maybe, git=maybe),
    libraries=st.builds(Libraries, cudnn=maybe, nccl=maybe),
)
native = st.builds(
    Native,
    kernels=st.lists(
        st.builds(Kernels, distribution=maybe, architectures=words, common=words), max_size=2
    ).map(tuple),
    libraries=st.lists(
        st.builds(
            NativeLibrary,
            soname=texts,
            package=maybe,
            found=st.booleans(),
            required=st.booleans(),
            needed_by=words,
        ),
        max_size=2,
    ).map(tuple),
    cublas=maybe,
)
fingerprints = st.builds(
    Fingerprint,
    losses=words,
    conditions=st.builds(
        Conditions,
        device=texts,
        threads=counts,
        tf32=st.booleans(),
        ultralytics=texts,
        torch=texts,
        numpy=texts,
        opencv=texts,
        cudnn=st.none() | counts,
        albumentations=maybe,
        arguments=tables,
        images_sha256=texts,
    ),
    speed=st.builds(
        Speed,
        images_per_s=rates,
        step_ms_median=rates,
        step_ms_p95=rates,
        peak_gpu_memory_mib=st.none() | counts,
    ),
)
locks = st.builds(
    Lock,
    snapenv=texts,
    tag=texts,
    base=st.builds(
        Base,
        image=texts,
        world=st.sampled_from(("base", "exact")),
        reasons=words,
        warnings=words,
    ),
    installer=st.builds(Installer, version=texts, url=texts, sha256=texts),
    hardware=hardware,
    variables=tables,
    image=tables,
    settings=st.dictionaries(texts, st.booleans(), max_size=2),
    native=st.none() | native,
    overlay=words,
    baseline=st.none() | fingerprints,
    environment=environments,
).map(lambda lock: replace(lock, proofs=proofs(lock.environment)))

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
    assert lock_from_toml(lock_to_toml(lock), where="here") == lock


@settings(deadline=None)
@given(locks)
def test_whatever_a_lock_holds_comes_back_from_its_file(lock: Lock) -> None:
    assert lock_from_toml(lock_to_toml(lock), where="here") == lock


@settings(deadline=None)
@given(locks)
def test_another_reader_of_toml_takes_the_file(lock: Lock) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")

    document = tomllib.loads(lock_to_toml(lock).decode())

    assert document["tag"] == lock.tag
    assert document["variables"] == lock.variables
    assert [found["name"] for found in document["environment"]["distributions"]] == [
        found.name for found in lock.environment.distributions
    ]


@pytest.mark.parametrize("lock", SAMPLES)
def test_the_same_lock_gives_the_same_bytes(lock: Lock) -> None:
    again = lock_from_toml(lock_to_toml(lock), where="here")

    assert lock_to_toml(again) == lock_to_toml(lock)


def test_a_person_finds_each_distribution_with_its_proof() -> None:
    document = tomlkit.parse(lock_to_toml(sample_base_lock()).decode()).unwrap()
    found = {one["name"]: one["proof"] for one in document["environment"]["distributions"]}

    assert found["torch"] == "base"
    assert found["numpy"] == "none"
    assert "proofs" not in document


def test_a_url_without_a_value_is_left_out() -> None:
    environment = sample_environment(distributions=(sample_distribution(),))

    written = lock_to_toml(sample_lock(facts=sample_facts(environment=environment)))
    document = tomlkit.parse(written.decode()).unwrap()

    assert "url" not in document["environment"]["distributions"][0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("schema = 2", "schema 2 is not known here, only 1"),
        ("schema = 0", "schema 0 is not known here, only 1"),
        ('schema = "1"', "schema 1 is not known here, only 1"),
    ],
)
def test_another_schema_is_refused_and_the_hint_names_who_wrote_it(line: str, said: str) -> None:
    newer = lock_to_toml(replace(sample_lock(), snapenv="7.1.0"))
    newer = newer.replace(b"schema = 1", line.encode())

    with pytest.raises(SnapshotVersionError) as caught:
        lock_from_toml(newer, where="there")

    assert caught.value.message == f"there/snapenv.toml: {said}"
    assert caught.value.hint == "Read it with snapenv 7.1.0 or newer."


def test_some_other_toml_is_no_snapshot() -> None:
    with pytest.raises(SnapshotVersionError) as caught:
        lock_from_toml(b'[project]\nname = "a"\n', where="there")

    assert caught.value.hint == "It is no snapshot."


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (b"memory_mib = 143771", b'memory_mib = "much"', r"\$\.hardware\.gpus\[0\]\.memory_mib"),
        (b"cuda = [13, 0]", b"cuda = [13]", r"\$\.hardware\.driver\.cuda"),
        (b'world = "exact"', b'world = "flat"', r"\$\.base\.world"),
        (b'origin = "index"', b'origin = "moon"', r"\$\.environment\.distributions\[0\]\.origin"),
        (b'proof = "none"', b'proof = "faith"', r"\$\.proofs"),
        (b'proof = "none"', b"", "proof"),
        (b"cpu_count = 16", b"", "cpu_count"),
        (b"schema = 1", b"schema = 1\nenvironment = 3\n[other]", ""),
    ],
)
def test_a_field_of_another_form_is_named(old: bytes, new: bytes, path: str) -> None:
    damaged = lock_to_toml(sample_lock()).replace(old, new, 1)

    with pytest.raises(SnapshotDamagedError, match=rf"there/snapenv\.toml: .*{path}") as caught:
        lock_from_toml(damaged, where="there")

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
    ],
)
def test_what_is_no_lock_is_called_damaged(content: bytes) -> None:
    with pytest.raises(SnapshotDamagedError, match=r"^there/snapenv\.toml: "):
        lock_from_toml(content, where="there")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_content_is_a_bug(content: bytes) -> None:
    with pytest.raises((SnapshotDamagedError, SnapshotVersionError)):
        lock_from_toml(content, where="there")
