"""When hashes of an earlier look are used: by what looks on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import SnapenvError
from snapenv.steps.capture_request import Capture
from snapenv.steps.prove import prove
from snapenv.steps.runnable import Runnable
from snapenv.workflows.capture import capture
from tests.samples import sample_facts, sample_lock
from tests.workflows.services import EngineWithBase, services, target

if TYPE_CHECKING:
    from tests.fakes import FakeTarget

CACHE = Path("/cache/snapenv")
HASHES = CACHE / "hashes"


def words(fake: FakeTarget) -> tuple[str, ...]:
    """Return what the first probe was started with, after the program."""
    return next(call.argv[3:] for call in fake.calls if "snapenv_probe.pyz" in call.files)


@pytest.mark.parametrize(
    ("rehash", "expected"),
    [(False, ("--index", str(HASHES))), (True, ("--index", str(HASHES), "--rehash"))],
)
def test_a_capture_on_this_machine_keeps_its_hashes(
    tmp_path: Path, *, rehash: bool, expected: tuple[str, ...]
) -> None:
    here = target(sample_facts())
    request = Capture(python="/bin/sh", output=tmp_path / "s", smoke=False, rehash=rehash)

    with pytest.raises(SnapenvError):  # there is no uv
        capture(request, replace(services(here=here), cache=CACHE))

    assert words(here) == expected


def test_a_container_is_given_no_folder_of_this_machine(tmp_path: Path) -> None:
    inside = target(sample_facts())
    engine = EngineWithBase(targets={"mine": inside})
    request = Capture(container="mine", output=tmp_path / "s", smoke=False)

    with pytest.raises(SnapenvError):  # there is no uv
        capture(request, replace(services(engine), cache=CACHE))

    assert words(inside) == ()


@pytest.mark.parametrize(
    ("existed", "rehash", "expected"),
    [
        (False, False, ("--index", str(HASHES), "--fresh")),
        (False, True, ("--index", str(HASHES), "--rehash", "--fresh")),
        (True, False, ("--index", str(HASHES))),
    ],
)
def test_a_proof_believes_of_links_only_in_what_is_new(
    expected: tuple[str, ...], *, existed: bool, rehash: bool
) -> None:
    restored = target(sample_facts())

    prove(
        Runnable(target=restored, device="cpu", name="new"),
        sample_lock(),
        smoke=False,
        services=replace(services(), cache=CACHE),
        existed=existed,
        rehash=rehash,
    )

    assert words(restored) == expected
