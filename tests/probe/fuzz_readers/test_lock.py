"""Nothing that an environment says of itself breaks out of a file that the host writes."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.errors import LockError
from snapenv.lock.ask import Uv, ask_index
from snapenv.lock.document import lock_from_toml, lock_to_toml
from snapenv.model.python import Distribution
from snapenv.model.uv import UV_CONFIG
from snapenv.model.wheels import Vendored
from snapenv.ports import Completed
from snapenv.render.dockerfile import render_dockerfile
from tests.fakes import FakeTarget, FakeTask
from tests.probe.fuzz_readers.hostile import BATCH, PIECES, READ, batches, write_distribution
from tests.probe.fuzz_readers.readers import look
from tests.samples import pylock_of, sample_environment, sample_facts, sample_lock
from tests.sampling import is_full

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.snapshot import Lock
    from tests.probe.fuzz_readers.hostile import Hostile

PIN = re.compile(  # PEP 503's name, PEP 440's version in its normal form
    r"[a-z0-9]+(?:-[a-z0-9]+)*==(?:\d+!)?\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?"
    r"(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?\n",
    re.ASCII,
)
SHORT = 1_000  # bytes of one file: tomlkit is slow at arrays of thousands
GOOD = Distribution(name="good", version="1!2.0rc1+cu118", origin="index")
hostile_texts = st.lists(
    st.sampled_from(PIECES).map(lambda piece: piece.decode(errors="replace"))
    | st.text(alphabet=st.characters(codec="utf-8"), max_size=5)
    | st.sampled_from(("1.0", "plain", "2!3.4rc5+cu118")),
    max_size=4,
).map("".join)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "site-packages"
    for number in range(2 * BATCH):
        write_distribution(folder, number, {})
    return folder


def lock_of(distributions: tuple[Distribution, ...]) -> Lock:
    """Return the lock of an environment of which no index has anything."""
    facts = sample_facts(environment=sample_environment(distributions=distributions))
    packages = {found.name: Vendored() for found in distributions}
    return replace(sample_lock(facts=facts), packages=packages)


def tamed(found: Distribution, number: int) -> Distribution:
    """Return a distribution of the same kind that says nothing odd."""
    return Distribution(name=f"plain-{number}", version="1.0", origin=found.origin)


@settings(max_examples=20 if is_full() else 4)
@given(files=st.fixed_dictionaries({kind: batches(kind) for kind in READ}))
def test_a_hostile_environment_changes_no_dockerfile_and_comes_back_from_its_lock(
    site: Path, files: dict[str, list[Hostile]]
) -> None:
    infos = sorted(site.glob("*.dist-info"))
    for kind, batch in files.items():
        own = infos[BATCH:] if kind == "METADATA" else infos[:BATCH]
        for info, one in zip(own, batch, strict=True):
            (info / kind).unlink(missing_ok=True)
            (info / kind).write_bytes(one.content[:SHORT])

    found = look(site).environment.distributions
    lock = lock_of(found)
    tame = lock_of(tuple(tamed(one, number) for number, one in enumerate(found)))

    assert lock_from_toml(lock_to_toml(lock), pylock_of(lock), where="here") == lock
    assert render_dockerfile(lock) == render_dockerfile(tame)


def asked_of_uv(pins: tuple[Distribution, ...]) -> list[str]:
    """Return the lines of requirements that uv would be given; its answer is a refusal."""
    refusal = Completed(exit_code=2, stdout="", stderr="")
    machine = FakeTarget(answers={"requirements.in": refusal})
    uv = Uv(machine=machine, program="uv")
    with contextlib.suppress(LockError):
        ask_index(pins, sample_facts(), uv, FakeTask())
    asked = [
        text.decode()
        for call in machine.calls
        for name, text in call.files.items()
        if name != UV_CONFIG
    ]
    return [line for text in asked for line in text.splitlines(keepends=True)]


@given(st.lists(hostile_texts, min_size=BATCH, max_size=BATCH))
def test_no_version_reaches_uv_but_one_of_pep_440(versions: list[str]) -> None:
    pins = tuple(
        Distribution(name=f"plain-{number}", version=version, origin="index")
        for number, version in enumerate(versions)
    )

    lines = asked_of_uv((*pins, GOOD))

    assert lines
    assert all(map(PIN.fullmatch, lines))


@pytest.mark.parametrize(
    "name", ["a\n--index-url https://example.com\nb", "-rb", "a @ b#", "", "é"]
)
def test_no_name_reaches_uv_but_one_of_pep_503_even_of_a_forged_answer(name: str) -> None:
    forged = Distribution(name=name, version="1.0", origin="index")

    lines = asked_of_uv((forged, GOOD))

    assert lines
    assert all(map(PIN.fullmatch, lines))


def test_a_good_pin_is_asked_for() -> None:
    assert "good==1!2.0rc1+cu118\n" in asked_of_uv((GOOD,))
