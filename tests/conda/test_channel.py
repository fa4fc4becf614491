"""The channels of the tests are real: py-rattler installs from them what then runs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.conda.channel import make_environment, serve_channel
from tests.conda.packages import SITE

if TYPE_CHECKING:
    from pathlib import Path

SPECS = ("python", "zoocext", "zoopure", "zoohook")


def say(prefix: Path, *words: str) -> str:
    argv = (str(prefix / "bin" / words[0]), *words[1:])
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_an_environment_of_a_folder_runs_and_names_its_prefix(
    conda_channel: Path, conda_cache: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"

    make_environment(prefix, [conda_channel.as_uri()], SPECS, cache=conda_cache / "pkgs")

    assert say(prefix, "python", "-c", "import zoocext; print(zoocext.PREFIX)") == f"{prefix}/lib"
    assert say(prefix, "zoo-roar") == "roar 1.0"
    assert say(prefix, "zoo-config") == f"zoo-config of {prefix}"
    assert f"{prefix}/share/zoo".encode() in (prefix / "lib" / "libzoo.so").read_bytes()
    assert (prefix / SITE / "zoopure" / "data.txt").read_text() == "data\n"


def test_a_channel_over_http_asks_for_its_token(
    conda_channel: Path, conda_cache: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"

    with serve_channel(conda_channel, token="tk-1") as server:
        address = server.address_as(token="tk-1")
        make_environment(prefix, [address], ["libzoo"], cache=conda_cache / "http")

    assert (prefix / "etc" / "zoo.conf").read_text() == f"home = {prefix}/share/zoo\n"
    assert any(path.startswith("/t/tk-1/zoo/") for path in server.asked)
