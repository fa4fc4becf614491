"""A search of two settings with real trainings, to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.launch.profile import read_profile
from snapenv.lock.store import write_snapshot
from snapenv.model.bench import BenchOptions
from snapenv.model.tuning import Settings
from snapenv.targets.local import LocalTarget
from snapenv.workflows.tune import TuneCommand, tune
from tests.samples import sample_lock, sample_snapshot
from tests.workflows.services import REPOSITORY, services

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.exact
@pytest.mark.full
def test_a_real_search_comes_to_an_end_that_fits_its_pairs(
    exact_python: Path, tmp_path: Path
) -> None:
    write_snapshot(sample_snapshot(sample_lock()), tmp_path / "snapshot")
    page, profile = tmp_path / "trials.html", tmp_path / "tuned.toml"
    request = TuneCommand(
        ref=str(tmp_path / "snapshot"),
        engine="venv",
        into=exact_python.parents[1],
        repository=REPOSITORY,
        options=BenchOptions(batch=1, workers=0, imgsz=64, amp=False, warmup_steps=2, steps=6),
        vary={"batch": "1,8", "workers": "0", "cache": "none"},
        repeat=1,
        pairs=2,
        output=profile,
        report=page,
    )
    real = replace(services(), local=LocalTarget, state=tmp_path / "state")

    tuning = tune(request, real).result.tuning

    assert [trial.settings for trial in tuning.trials] == [
        Settings(batch=batch, workers=0, amp=False) for batch in (1, 8)
    ]
    assert all(trial.is_candidate and (trial.setup_s or 0) > 0 for trial in tuning.trials)
    assert [run.after for run in tuning.defaults] == [1, 2]
    assert tuning.chosen.batch == (8 if tuning.gain else 1)
    assert tuning.gain is None or len(tuning.gain.ratios) == 2
    proven = tuning.gain is not None and tuning.gain.proven
    assert profile.exists() == proven
    assert not proven or read_profile(profile).train == tuning.chosen
    assert page.read_text().count('class="dot') >= 2 + 1
