"""A capture of an environment on another machine sees what one over there would see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.probe.probe import probe
from snapenv.targets.local import LocalTarget
from snapenv.targets.ssh import SshTarget
from tests.command import Command
from tests.engines.ssh import GREETING, HOST, STRANGER
from tests.probe.environments import make_venv, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.environments import Venv

OF_HERE = ("LD_LIBRARY_PATH", "OMP_NUM_THREADS", "PYTHONPATH")


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Venv:
    """An environment without a package, away from what is set for the tests alone."""
    for name in OF_HERE:
        monkeypatch.delenv(name, raising=False)
    return make_venv(tmp_path / "venv")


@pytest.mark.ssh
@pytest.mark.usefixtures("ssh")
@pytest.mark.parametrize("host", [HOST, GREETING])
def test_the_facts_are_those_of_a_look_over_there(venv: Venv, tmp_path: Path, host: str) -> None:
    venv.install(write_wheel(tmp_path, "six", {"six.py": "six = 6\n"}))

    facts = probe(SshTarget(host, venv.python))

    assert facts.environment.find("six")
    assert facts == probe(LocalTarget(venv.python))


@pytest.mark.ssh
@pytest.mark.usefixtures("ssh")
def test_a_snapshot_has_the_digest_of_one_that_was_taken_over_there(
    venv: Venv, tmp_path: Path
) -> None:
    words = ("capture", "--python", venv.python, "-o")

    far = Command({"SNAPENV_SSH": HOST}).result(*words, str(tmp_path / "far"))

    assert far["digest"] == Command().result(*words, str(tmp_path / "near"))["digest"]


@pytest.mark.ssh
@pytest.mark.usefixtures("ssh")
def test_a_machine_that_does_not_let_us_in_is_an_error_of_its_own(tmp_path: Path) -> None:
    said = Command().error("ssh", "capture", "--ssh", STRANGER, "-o", str(tmp_path / "snapshot"))

    assert "error: stranger cannot be reached: nobody@127.0.0.1: Permission denied" in said
    assert not (tmp_path / "snapshot").exists()


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "--", "user@-oProxyCommand=touch x"])
def test_a_host_that_a_program_would_take_for_an_option_is_refused(host: str) -> None:
    document = Command().document("capture", f"--ssh={host}")

    assert document["error"]["kind"] == "usage"
    assert f"{host!r} is not a host" in document["error"]["message"]


def test_a_container_and_another_machine_are_not_captured_at_once() -> None:
    document = Command().document("capture", "--ssh", "there", "--container", "box")

    assert document["error"]["kind"] == "usage"
    assert "--container and --ssh" in document["error"]["message"]
