"""A record names no machine and no path, and is read only in its own form."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.gpu.record import RECORDED, Part, clean, leaks, read_record, write_record
from tests.gpu.samples import H200, record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("No such file: '/home/ann/env/bin/python'", "No such file: 'PATH'"),
        ("GPU-8f6d2c4e-0000-4000-8000-000000000001 is lost", "GPU is lost"),
        ("cannot reach https://files.example.com/simple", "cannot reach ADDRESS"),
        ("no answer of 10.1.2.3", "no answer of ADDRESS"),
        ("node7 has no GPU", "HOST has no GPU"),
        (
            "gen 4 x16, 2.11.0+cu130, images/s, torch/CUDA",
            "gen 4 x16, 2.11.0+cu130, images/s, torch/CUDA",
        ),
    ],
)
def test_what_names_a_machine_is_taken_out(
    text: str, cleaned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "node7.example.com")

    assert clean({"why": [text]}) == {"why": [cleaned]}
    assert leaks(clean(text)) == ()


def test_a_record_with_a_path_is_not_written(tmp_path: Path) -> None:
    part = Part(name="facts", outcome="failed", why="no /opt/env here")

    with pytest.raises(ValueError, match="names a machine or a path: no /opt/env here"):
        write_record(replace(record(H200), parts=(part,)), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_record_is_read_as_it_was_written_and_no_other_key_is(tmp_path: Path) -> None:
    written = record(H200)

    path = write_record(written, tmp_path)

    assert (path.name, read_record(path)) == ("nvidia-h200.json", written)
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "here"}))
    with pytest.raises(ValueError, match="nvidia-h200.json: .*unknown field `host`"):
        read_record(path)


def test_what_is_kept_can_be_read_and_names_nothing() -> None:
    for path in RECORDED.glob("*.json"):
        assert read_record(path).name == path.stem
        assert leaks(json.loads(path.read_text())) == ()
