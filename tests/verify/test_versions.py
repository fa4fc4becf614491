"""The smoke-train of other releases of ultralytics and torch, each in a network namespace.

The oldest runs always, three more with --full, and then the oldest twice. With SNAPENV_VERSIONS=all
every one of them does, beside --full: ten minutes, 10 GB.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from snapenv.verify.smoke_train import smoke_train
from tests.engines.place import Place, UnavailableError
from tests.sampling import is_full
from tests.verify.told import Told
from tests.verify.versions import MIDDLE, NEW, OLD, ULTRALYTICS, make_torch, put_ultralytics

if TYPE_CHECKING:
    from pathlib import Path

    from tests.verify.versions import Torch

pytestmark = pytest.mark.exact

ALWAYS = (("8.0.100", NEW),)
SELDOM = (("8.2.50", NEW), ("8.3.0", NEW), ("8.4.0", NEW))
ALL = tuple((version, torch) for torch in (NEW, MIDDLE, OLD) for version in ULTRALYTICS)
REPEATED = ("8.0.100",)
LOADS_WEIGHTS_ALONE = (NEW, MIDDLE)  # as torch does since 2.6; ultralytics knows it since 8.3


def cells() -> list[object]:
    chosen = ALL if os.environ.get("SNAPENV_VERSIONS") == "all" else (*ALWAYS, *SELDOM)
    return [
        pytest.param(
            *(version, torch),
            id=f"{version} on {torch.version}",
            marks=pytest.mark.full if (version, torch) in SELDOM else (),
        )
        for version, torch in chosen
    ]


@pytest.fixture(scope="module")
def _namespace() -> None:
    """See that a process can be put into a network namespace of its own."""
    done = subprocess.run(
        ("unshare", "--map-root-user", "--net", "cat", "/proc/net/dev"),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip("no network namespaces here")
    assert [line.split(":")[0].strip() for line in done.stdout.splitlines()[2:]] == ["lo"]


@pytest.mark.usefixtures("_namespace")
@pytest.mark.parametrize(("version", "torch"), cells())
def test_the_smoke_train_runs_offline(version: str, torch: Torch, tmp_path: Path) -> None:
    try:
        place = Place.default()
        with place.lock():
            python = make_torch(torch, place)
        target = put_ultralytics(python, version, tmp_path)
    except UnavailableError as error:
        pytest.skip(str(error))

    seen = smoke_train(target, device="cpu", task=Told())

    assert len(seen.losses) == 10
    assert seen.conditions.ultralytics == version
    assert seen.conditions.torch.startswith(torch.version)
    assert not seen.conditions.tf32
    assert not [operator for operator in seen.operators if operator.error]
    old = version < "8.3"
    refused = "Weights only load failed" in (seen.afterwards or "")
    assert refused == (old and torch in LOADS_WEIGHTS_ALONE)
    assert refused or seen.afterwards is None
    if version in REPEATED and is_full():
        again = smoke_train(target, device="cpu", task=Told())
        assert (again.losses, again.operators) == (seen.losses, seen.operators)
