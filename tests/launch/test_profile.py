from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from snapenv.errors import ArchiveError, NotFoundError, UsageError
from snapenv.launch.profile import read_profile, with_profile
from snapenv.model.tuning import Profile, Settings
from snapenv.toml import write_toml

if TYPE_CHECKING:
    from pathlib import Path

PROFILE = Profile(
    snapshot="sha256:2",
    machine='2 x "a processor"',
    objective="speed",
    gain=1.3,
    train=Settings(batch=16, workers=2, cache="ram", amp=False),
)


def test_a_training_gets_the_settings_of_a_profile() -> None:
    assert with_profile(("/opt/bin/yolo", "detect", "train", "data=d.yaml"), PROFILE) == (
        *("/opt/bin/yolo", "detect", "train", "data=d.yaml"),
        *("batch=16", "workers=2", "cache=ram", "amp=False"),
    )


def test_what_the_command_names_itself_stays() -> None:
    argv = ("yolo", "mode=train", "batch=8", "cache=disk")
    plain = replace(PROFILE, train=Settings(batch=16, workers=2, compile=True))
    assert with_profile(argv, PROFILE) == (*argv, "workers=2", "amp=False")
    assert with_profile(("yolo", "train"), plain)[2:] == (
        *("batch=16", "workers=2", "cache=False", "amp=True", "compile=True"),
    )


@pytest.mark.parametrize("argv", [(), ("python", "train.py"), ("yolo", "val"), ("python", "train")])
def test_another_command_is_refused_and_told_the_words(argv: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as raised:
        with_profile(argv, PROFILE)
    assert "batch=16 workers=2 cache=ram amp=False" in raised.value.hint


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(write_toml(msgspec.to_builtins(PROFILE)))
    assert read_profile(path) == PROFILE


@pytest.mark.parametrize(
    "text", ["", "train = 3", '[project]\nname = "x"', "\x00", 'a.b = """x"""', "["]
)
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.toml"
    path.write_text(text)
    with pytest.raises(ArchiveError):
        read_profile(path)


def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_profile(tmp_path / "tuned.toml")
    with pytest.raises(NotFoundError):
        read_profile(tmp_path)
