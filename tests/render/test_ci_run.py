"""Pipelines that really run, as far as a machine without a GPU can run them.

act runs the workflows of GitHub on this machine, gitlab-ci-local the jobs of GitLab in containers,
both with a real engine and a real registry. Stand-ins are what keeps artifacts, gh, ``yolo``, and
the package that is installed, which starts the snapenv under test.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import uuid
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from docker import DockerClient

from snapenv.lock.store import read_snapshot
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.command import Command
from tests.end_to_end.containers import Working, install, run_in
from tests.engines.gitlab import helper_image, make_gitlab_ci_local
from tests.engines.provide import provide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

pytestmark = pytest.mark.docker

PROGRAMS = Path(sys.executable).parent
PROJECT = "https://github.com/team/project.git"  # act takes no other host
GITLAB = {name: f".gitlab/snapenv-{name}.yml" for name in ("image", "train")}
INCLUDED = [{"local": path} for path in GITLAB.values()]
# It lasts longer than a tick of the clock that files are dated by, as any training does.
YOLO = """\
#!/bin/sh
set -eu
sleep 0.1
[ "$*" = "train cfg=train.yaml" ]
mkdir -p runs/detect/train/weights
{
  echo "epoch,time,metrics/mAP50(B),metrics/mAP50-95(B)"
  echo "1,1.5,0.6,$(sed -n 's/^map: //p' train.yaml)"
} >runs/detect/train/results.csv
echo weights >runs/detect/train/weights/best.pt
"""
UPLOAD = """\
name: upload
description: Keep files, as the real action does.
inputs: {{name: {{required: true}}, path: {{required: true}}, if-no-files-found: {{required: false}}}}
runs:
  using: composite
  steps:
    - shell: sh
      run: mkdir -p "{store}/$NAME" && cp -r "$FROM/." "{store}/$NAME"
      env: {{NAME: "${{{{ inputs.name }}}}", FROM: "${{{{ inputs.path }}}}"}}
"""
GH = """\
#!/bin/sh
# gh run list … | gh run download ID … --dir FOLDER
set -eu
[ "$1 $GH_REPO" = "run team/project" ]
if [ "$2" = list ]; then
  [ ! -d "{store}/last" ] || echo 7
else
  if [ "$3" = 7 ]; then kept=last; else kept=metrics; fi
  while [ "$1" != --dir ]; do shift; done
  mkdir -p "$2" && cp -r "{store}/$kept/." "$2"
fi
"""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A repository with a snapshot and rendered pipelines, and what its runs keep."""

    folder: Path
    beside: Path  # for what is no part of it
    engine: str
    image: ImageRef  # without a digest until it is pushed

    @property
    def store(self) -> Path:
        return self.beside / "store"

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshots" / str(self.image.tag)

    def render(self, target: str, image: str, *words: str) -> None:
        wheel = self.beside / "snapenv-9.9-py3-none-any.whl"
        Command().result(
            *("render", str(self.snapshot), "--image", image, "--as", target, "--force"),
            *("--device", "cpu", "--install", f"snapenv @ {wheel.as_uri()}", "--max-drop", "0.02"),
            *("-o", str(self.folder), *words),
        )

    def configure(self, precision: str) -> None:
        (self.folder / "train.yaml").write_text(f"map: {precision}\n", encoding="utf-8")

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOCKER_HOST": self.engine, **variables}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def github(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a workflow; what jobs of one run keep lies in the store afterwards."""
        workflow = f".github/workflows/snapenv-{name}.yml"
        text = (self.folder / workflow).read_text(encoding="utf-8")
        upload = re.findall(r"uses: (actions/upload-artifact@\w+)", text)[0]
        return self.run(
            *(str(PROGRAMS / "act"), "workflow_dispatch", "-W", workflow, "--no-cache-server"),
            *("-P", "self-hosted=-self-hosted", "-P", "ubuntu-24.04=-self-hosted"),
            *("--local-repository", f"{upload}={self.beside / 'upload'}"),
            *("--action-cache-path", str(self.beside / "act")),
            PATH=f"{self.beside / 'bin'}:{os.environ['PATH']}",
        )

    def gitlab(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a pipeline as a push does."""
        program = provide(make_gitlab_ci_local)
        self.run("git", "add", "--all")  # a job gets what git knows
        return self.run(
            *program,
            *("--file", name, "--no-evaluate-rule-changes"),
            *("--variable", "CI_PIPELINE_SOURCE=push", *words),
            PATH=f"{Path(program[0]).parent}:{os.environ['PATH']}",
        )


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def make_wheel(folder: Path) -> None:
    """Write a wheel whose ``snapenv`` starts the one under test."""
    info = "snapenv-9.9.dist-info"
    script = zipfile.ZipInfo("snapenv-9.9.data/scripts/snapenv")
    script.external_attr = 0o100755 << 16
    with zipfile.ZipFile(folder / "snapenv-9.9-py3-none-any.whl", "w") as wheel:
        wheel.writestr(script, f'#!/bin/sh\nexec {PROGRAMS / "snapenv"} "$@"\n')
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: snapenv\nVersion: 9.9\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def put_yolo(container: Container) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("yolo")
        member.size, member.mode = len(YOLO), 0o755
        archive.addfile(member, io.BytesIO(YOLO.encode()))
    container.put_archive("/work/bin", stream.getvalue())


@pytest.fixture(scope="module")
def client(engine_host: str) -> Iterator[DockerClient]:
    client = DockerClient(base_url=engine_host, timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="module")
def container(client: DockerClient, base_image: str) -> Iterator[Container]:
    with Working(client, base_image) as container:
        run_in(container, "python3 -m venv --without-pip /work")
        install(container, "--no-deps six==1.17.0", python="/work/bin/python")
        put_yolo(container)
        yield container


def capture(container: Container, folder: Path, base: str) -> None:
    Command({"DOCKER_HOST": os.environ["DOCKER_HOST"]}).result(
        *("capture", "--container", str(container.name), "--python", "/work/bin/python"),
        *("--base", base, "--no-smoke", "-o", str(folder)),
    )


@pytest.fixture(scope="module")
def project(
    container: Container,
    engine_host: str,
    base_image: str,
    registry: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    beside = tmp_path_factory.mktemp("ci")
    captured = beside / "captured"
    capture(container, captured, base_image)
    tag = read_snapshot(captured).lock.tag
    image = ImageRef(repository=f"{registry}/ci/{uuid.uuid4()}", tag=tag)
    made = Project(folder=beside / "project", beside=beside, engine=engine_host, image=image)
    shutil.copytree(captured, made.snapshot)
    make_wheel(beside)
    write_program(beside / "bin" / "gh", GH.format(store=made.store))
    write_program(beside / "upload" / "action.yml", UPLOAD.format(store=made.store))
    made.configure("0.41")
    made.run("git", "init", "-q", "-b", "main", ".")
    made.run(
        "git",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.com",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "a",
    )
    made.run("git", "remote", "add", "origin", PROJECT)
    return made


@pytest.fixture(scope="module")
def pushed(project: Project, client: DockerClient) -> Iterator[Project]:
    """The project after a run of its image pipeline, with the pipelines of what was pushed."""
    anything = f"{project.image}@sha256:{'0' * 64}"
    project.render("github", anything)
    done = project.github("image")
    assert done.returncode == 0, done.stdout
    (project.beside / "image.log").write_text(done.stdout, encoding="utf-8")
    digest = json.loads((project.store / "report" / "build.json").read_text())["result"]["digest"]
    image = project.image.at(digest)
    project.render("github", str(image))
    project.render("gitlab", str(image), "--runner", "docker")  # one called gpu gets --gpus
    yield replace(project, image=image)
    client.images.remove(project.image.tagged, force=True)


def served_digest(image: ImageRef) -> str | None:
    path = image.repository.removeprefix(f"{image.registry}/")
    url = f"http://{image.registry}/v2/{path}/manifests/{image.tag}"
    accept = "application/vnd.docker.distribution.manifest.v2+json"
    answer = requests.head(url, headers={"Accept": accept}, timeout=10)
    return answer.headers.get("Docker-Content-Digest")


def test_the_image_of_a_snapshot_is_built_verified_and_pushed_by_its_tag(
    pushed: Project, client: DockerClient
) -> None:
    report = pushed.store / "report"

    assert served_digest(pushed.image) == pushed.image.digest
    labels = client.images.get(str(pushed.image)).labels
    assert labels[SNAPSHOT_LABEL] == read_snapshot(pushed.snapshot).digest
    assert json.loads((report / "result.json").read_text())["ok"] is True
    assert "<html" in (report / "report.html").read_text(encoding="utf-8")
    assert f"docker pull {pushed.image}" in (pushed.beside / "image.log").read_text("utf-8")


def test_a_training_keeps_its_metrics_and_fails_where_they_fall(pushed: Project) -> None:
    pushed.configure("0.41")
    first = pushed.github("train")

    assert first.returncode == 0, first.stdout
    assert "| mAP50-95(B) | - | 0.4100 |" in first.stdout
    assert (pushed.store / "metrics" / "image.txt").read_text() == f"{pushed.image}\n"
    assert (pushed.store / "metrics" / "results.csv").read_text().endswith("0.41\n")
    assert (pushed.store / "weights" / "best.pt").read_text() == "weights\n"

    (pushed.store / "metrics").rename(pushed.store / "last")
    pushed.configure("0.38")
    second = pushed.github("train")

    assert second.returncode == 1
    assert "| mAP50-95(B) | 0.4100 | 0.3800 | -0.0300 |" in second.stdout
    assert "Job 'Compare' failed" in second.stdout


def test_a_training_of_gitlab_runs_in_the_image_and_fails_where_metrics_fall(
    pushed: Project, engine_host: str, base_image: str
) -> None:
    artifacts = pushed.folder / ".gitlab-ci-local" / "artifacts" / "snapenv-train"
    pushed.configure("0.41")
    with helper_image(engine_host, base_image) as helper:
        first = pushed.gitlab(GITLAB["train"], "--helper-image", helper)
        kept = (artifacts / "metrics" / "results.csv").read_text()
        pushed.configure("0.38")
        second = pushed.gitlab(GITLAB["train"], "--helper-image", helper)

    assert first.returncode == 0, first.stdout
    assert f"snapenv-train starting {pushed.image}" in first.stdout
    assert kept.endswith("0.41\n")
    assert (artifacts / "weights" / "best.pt").read_text() == "weights\n"
    assert second.returncode == 1
    assert "| mAP50-95(B) | 0.4100 | 0.3800 | -0.0300 |" in second.stdout


def test_one_file_may_include_both_pipelines_of_gitlab(pushed: Project) -> None:
    (pushed.folder / ".gitlab-ci.yml").write_text(f"include: {json.dumps(INCLUDED)}\n")

    done = pushed.gitlab(".gitlab-ci.yml", "--list-csv")

    assert done.returncode == 0, done.stdout
    assert re.findall(r"^(snapenv-\w+);", done.stdout, re.MULTILINE) == [
        "snapenv-image",
        "snapenv-train",
    ]


@pytest.mark.full
def test_a_training_of_gitlab_does_not_run_outside_of_the_image(pushed: Project) -> None:
    done = pushed.gitlab(GITLAB["train"], "--force-shell-executor")

    assert done.returncode == 1
    assert "not in the image" in done.stdout


@pytest.mark.full
def test_an_image_that_the_registry_has_is_not_built_again(
    pushed: Project, client: DockerClient
) -> None:
    client.images.remove(pushed.image.tagged, force=True)

    done = pushed.github("image")

    assert done.returncode == 0, done.stdout
    assert "Pulling" in done.stdout
    assert "Building" not in done.stdout
    assert served_digest(pushed.image) == pushed.image.digest


@pytest.mark.full
def test_gitlab_makes_the_same_image(pushed: Project) -> None:
    done = pushed.gitlab(
        GITLAB["image"], "--force-shell-executor", "--variable", f"DOCKER_HOST={pushed.engine}"
    )

    assert done.returncode == 0, done.stdout
    artifacts = pushed.folder / ".gitlab-ci-local" / "artifacts" / "snapenv-image" / "report"
    built = json.loads((artifacts / "build.json").read_text())
    assert built["result"]["digest"] == pushed.image.digest
    assert "<html" in (artifacts / "report.html").read_text(encoding="utf-8")


@pytest.mark.full
def test_a_tag_is_not_moved_to_another_snapshot(
    pushed: Project, container: Container, base_image: str, tmp_path: Path
) -> None:
    changed = replace(pushed, folder=tmp_path / "project")
    shutil.copytree(pushed.folder, changed.folder)
    shutil.rmtree(changed.snapshot)
    run_in(container, "sh -c 'echo 1 > /work/bin/another'")
    capture(container, changed.snapshot, base_image)

    done = changed.github("image")

    assert done.returncode == 1
    assert f"{pushed.image.tagged} is" in done.stdout
    assert "--replace" in done.stdout
    assert served_digest(pushed.image) == pushed.image.digest
