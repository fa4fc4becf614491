"""What is left of an engine that was killed is ended, and nothing of another one."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

from tests.engines.engine import containerd_pid_file, end_shims
from tests.engines.place import Place
from tests.targets.processes import all_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHIM = "sh -c 'echo $$; exec sleep 600' & wait"  # it is known once it has a name of its own


@contextlib.contextmanager
def shim(place: Place) -> Iterator[tuple[int, int]]:
    """Let a process be called as a shim of the engine of a place; yield its id and its child's."""
    socket = containerd_pid_file(place).with_name("containerd.sock")
    with subprocess.Popen(
        ["containerd-shim-runc-v2", "-c", SHIM, "-address", str(socket)],
        executable="/bin/sh",
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def test_what_outlives_its_containerd_is_ended_with_what_runs_there(tmp_path: Path) -> None:
    place, other = Place(tmp_path / "one"), Place(tmp_path / "other")
    with shim(place) as ours, shim(other) as theirs:
        assert end_shims(place) == 1
        assert all_end(*ours)
        assert end_shims(place) == 0

        assert end_shims(other) == 1
        assert all_end(*theirs)
