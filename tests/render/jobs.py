"""Rendered job scripts in a project of a real Slurm."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapenv.render.slurm import SlurmOptions, render_slurm
from tests.engines.slurm import Slurm
from tests.render.workloads import IMAGE, workload

if TYPE_CHECKING:
    from snapenv.model.image import ImageRef
    from snapenv.render.slurm import Runtime


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """A folder from which jobs are submitted, with programs of its own in ``bin``."""

    slurm: Slurm
    folder: Path
    variables: Mapping[str, str]  # that sbatch is given

    def write(
        self,
        *argv: str,
        runtime: Runtime,
        image: ImageRef = IMAGE,
        gpus: int = 0,
        **wishes: Any,  # noqa: ANN401 - as of workload
    ) -> str:
        """Write the script of a job with one CPU; return its name."""
        paths = {"PATH": f"{self.folder}/bin:/usr/local/bin:/usr/bin:/bin"}
        device = "all" if gpus else "cpu"
        work = workload(*argv, image=image, device=device, cpus=1.0, variables=paths, **wishes)
        script = render_slurm(work, SlurmOptions(runtime=runtime, gpus=gpus, time="00:10:00"))
        file = script.files[0]
        name = f"{runtime}-{file.name}"
        (self.folder / name).write_text(file.content)
        return name

    def submit(self, *words: str) -> int:
        """Submit a script, with options of sbatch before it and a command after it."""
        variables = {"XDG_STATE_HOME": str(self.folder / "state"), **self.variables}
        return self.slurm.submit(*words, folder=self.folder, variables=variables)

    def ended(self, job: int, state: str = "COMPLETED", *, within_s: float = 180.0) -> str:
        """Wait until a job is in a state; return its exit code and signal: ``7:0``."""
        return self.slurm.wait(job, state, within_s=within_s)["ExitCode"]

    def output(self, job: int) -> str:
        """Return what a job has written until now."""
        return "".join(
            path.read_text(errors="replace") for path in self.folder.glob(f"*-{job}.out")
        )

    def until(self, job: int, text: str) -> None:
        """Wait until a job has written a text."""
        end = time.monotonic() + 180
        while text not in self.output(job):
            assert time.monotonic() < end, self.output(job)
            time.sleep(0.1)
