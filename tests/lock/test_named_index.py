"""Which index each wheel came from, asked of a real uv and real indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from snapenv.lock.ask import Uv, ask_index
from snapenv.model.python import Distribution
from snapenv.model.uv import UvSettings
from snapenv.targets.local import LocalTarget
from tests.engines.index_server import build_wheel, serve_index
from tests.real_index import Silent, facts_of_this_machine

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "hunter2-canary"


@pytest.mark.parametrize("strategy", ["first-index", "unsafe-best-match"])
def test_each_wheel_is_named_with_its_index_and_no_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    pins = [Distribution(name=name, version="1.0", origin="index") for name in ("ours", "theirs")]
    with serve_index(build_wheel("ours")) as first, serve_index(build_wheel("theirs")) as second:
        first.login = ("user", CANARY)
        variables = {
            "UV_INDEX": first.index_as(f"user:{CANARY}"),
            "UV_DEFAULT_INDEX": second.index,
            "UV_INDEX_STRATEGY": strategy,
        }
        settings = UvSettings(variables=variables)
        uv = Uv(machine=LocalTarget(""), program=find_uv_bin(), settings=settings)
        offers = ask_index(pins, facts_of_this_machine(*pins), uv, Silent())

    named = {name: one.index for name, wheels in offers.items() for one in wheels}
    assert named == {"ours": first.index, "theirs": second.index}
