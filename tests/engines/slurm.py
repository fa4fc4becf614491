"""A Slurm of its own on this machine: slurmctld, slurmd, and two GPUs that are device files.

Its jobs are numbered from its port on: containers of another one's have other names. It authenticates nobody, so it needs no munge. Jobs run as who submits them, which is root.
Source: https://slurm.schedmd.com/slurm.conf.html
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.place import UnavailableError, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = {"slurmctld": "slurmctld", "slurmd": "slurmd", "slurm-client": "sbatch"}
_CONFIG = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
FirstJobId={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=3
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=4000 Gres=gpu:h100:2 State=UNKNOWN
PartitionName=gpu Nodes={host} Default=YES MaxTime=60 State=UP
{more}"""
_GPUS = "Name=gpu Type=h100 File=/dev/null\nName=gpu Type=h100 File=/dev/zero\n"
_WITHIN_S = 90.0
_DAEMONS = ("slurmd", "slurmctld")


@dataclass(frozen=True, kw_only=True, slots=True)
class Slurm:
    """A running Slurm; its programs are called with its configuration."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def call(
        self, *argv: str, folder: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to its end, in a folder, with variables that jobs inherit."""
        return subprocess.run(
            argv,
            env={**os.environ, **self.variables, **(variables or {})},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def submit(self, *words: str, folder: Path, variables: Mapping[str, str] | None = None) -> int:
        """Submit a job in a folder; return its number."""
        done = self.call("sbatch", "--parsable", *words, folder=folder, variables=variables)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def job(self, number: int) -> dict[str, str]:
        """Return what ``scontrol show job`` tells, by its names."""
        told = self.call("scontrol", "show", "--oneliner", "job", str(number)).stdout
        return {
            name: value for name, _, value in (word.partition("=") for word in told.split()) if name
        }

    def interrupt(self, number: int) -> None:
        """Send a job's script what Slurm sends it before its time limit."""
        done = self.call("scancel", "--signal=INT", "--batch", str(number))
        assert done.returncode == 0, done.stderr

    def restart(self, number: int) -> None:
        """Start a job of the queue that would wait for two minutes after its last run.

        slurmd starts none in the second in which it ended.
        """
        time.sleep(1.5)
        done = self.call("scontrol", "update", f"jobid={number}", "StartTime=now")
        assert done.returncode == 0, done.stderr

    def wait(self, number: int, *states: str, within_s: float = 180.0) -> dict[str, str]:
        """Wait until a job is in one of these states, and return what is told of it."""
        until = time.monotonic() + within_s
        while (job := self.job(number)).get("JobState") not in states:
            assert time.monotonic() < until, job
            time.sleep(0.1)
        return job


@contextlib.contextmanager
def run_slurm(folder: Path, *, more: str = "") -> Iterator[Slurm]:
    """Yield a Slurm with its state below a folder, until the block ends; PACKAGES are there.

    ``more`` are further lines of its configuration.

    Raises:
        UnavailableError: It cannot run here.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    config = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    config.write_text(_CONFIG.format(host=host, ports=free_ports(2), folder=folder, more=more))
    (folder / "gres.conf").write_text(_GPUS)
    slurm = Slurm(folder=folder, variables={"SLURM_CONF": str(config)})
    try:
        for daemon in reversed(_DAEMONS):
            if slurm.call(daemon).returncode != 0:
                raise UnavailableError(f"{daemon} does not start here: {_log(folder, daemon)}")
        _wait_until_idle(slurm)
        yield slurm
    finally:
        for daemon in _DAEMONS:
            _end(folder / f"{daemon}.pid")


def _wait_until_idle(slurm: Slurm) -> None:
    until = time.monotonic() + _WITHIN_S
    while slurm.call("sinfo", "--noheader", "--format=%T").stdout.strip() != "idle":
        if time.monotonic() > until:
            raise UnavailableError(f"Slurm's node is not ready: {_log(slurm.folder, 'slurmd')}")
        time.sleep(0.1)


def _end(pid_file: Path) -> None:
    """End a daemon by the number that it wrote, and wait until it is gone."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _WITHIN_S
        while time.monotonic() < until and _runs(pid):
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Return whether a process goes on; one that nobody has waited for does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def _log(folder: Path, daemon: str) -> str:
    log = folder / f"{daemon}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "no word"
