"""What is refused of an update before a resolver is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import ConflictError
from snapenv.lock.store import write_snapshot
from snapenv.model.update import Changes
from snapenv.workflows.update import Update, update
from tests.samples import sample_facts, sample_lock, sample_snapshot
from tests.workflows.services import services

if TYPE_CHECKING:
    from pathlib import Path


def test_an_environment_of_another_kind_of_machine_is_refused_by_its_name(tmp_path: Path) -> None:
    facts = sample_facts()
    system = replace(facts.hardware.system, machine="riscv64")
    there = replace(facts, hardware=replace(facts.hardware, system=system))
    write_snapshot(sample_snapshot(sample_lock(facts=there)), tmp_path / "snapshot")
    request = Update(
        snapshot=tmp_path / "snapshot", changes=Changes(remove=("numpy",)), repository="team/env"
    )

    with pytest.raises(ConflictError) as caught:
        update(request, services())

    assert caught.value.hint == wording("Update it on a machine of riscv64.")
    assert "is for riscv64, and this machine is" in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["snapshot"]
