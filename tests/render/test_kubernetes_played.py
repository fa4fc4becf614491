"""A rendered Job, run by a real podman, with an entrypoint of the image like NVIDIA's."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
import requests

from snapenv.model.image import ImageRef
from snapenv.render.kubernetes import KubernetesOptions, render_kubernetes
from tests.engines.podman import make_podman
from tests.engines.provide import provide
from tests.render.workloads import content, workload

if TYPE_CHECKING:
    from tests.engines.podman import Podman

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SHOW = """\
id -u; id -g; pwd; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status
echo "variable: $WORDS" && echo written > result && cat result
printf '%s|' "$@"; echo; [ $$ -ne 1 ] && echo 'not process 1'
stat -f -c '/dev/shm: %T' /dev/shm
exit 7
"""


def pinned(name: str) -> ImageRef:
    """Return an image of the tests' registry with its digest."""
    image = ImageRef.parse(name)
    url = f"http://{image.registry}/v2/{image.path}/manifests/{image.tag}"
    answer = requests.head(url, headers={"Accept": MANIFEST}, timeout=10)
    return image.at(answer.headers["Docker-Content-Digest"])


@pytest.fixture(scope="module")
def podman() -> Podman:
    return provide(make_podman)


@pytest.mark.docker
def test_podman_runs_a_rendered_job_as_it_says(base_image: str, podman: Podman) -> None:
    words = ("$(WORDS)", "$$", "a  b", "")
    work = workload(
        *("sh", "-c", SHOW, "sh", *words),
        image=pinned(base_image),
        variables={"WORDS": "$HOME é"},  # podman would keep $$(HOME) as it is
        memory_bytes=256 << 20,
    )
    job = content(render_kubernetes(work, KubernetesOptions(name="job")), "kubernetes/job.yaml")

    played = podman.play(job, container="job-pod-run")

    assert played.exit_code == 7
    assert "NVIDIA Release 25.01 (a stand-in)" in played.output  # its entrypoint
    lines = played.output.splitlines()
    assert lines[lines.index("1000") :] == [
        *("1000", "1000", "/workspace"),
        *(f"{name}:\t{0:016x}" for name in ("CapPrm", "CapEff", "CapBnd")),
        "NoNewPrivs:\t1",
        "variable: $HOME é",
        "written",
        "$(WORDS)|$$|a  b||",
        "not process 1",
        "/dev/shm: tmpfs",
    ]


@pytest.mark.docker
def test_a_workspace_takes_files_and_ends_when_it_is_told_to(
    base_image: str, podman: Podman
) -> None:
    work = workload(image=pinned(base_image), memory_bytes=256 << 20)
    rendered = render_kubernetes(work, KubernetesOptions(name="env"))
    objects = [content(rendered, f"kubernetes/{name}.yaml") for name in ("storage", "workspace")]
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("coco.yaml"))

    played = podman.play(
        "---\n".join(objects),
        container="env-workspace-pod-workspace",
        inside="tar x; ls -n; pwd",  # as the head of the file says
        stdin=files.getvalue(),
    )

    _, listed, working = played.output.splitlines()
    assert listed.split()[2:4] == ["1000", "1000"]
    assert listed.split()[-1] == "coco.yaml"
    assert working == "/workspace"
    assert played.exit_code == 143  # at once, by SIGTERM: process 1 would ignore it
