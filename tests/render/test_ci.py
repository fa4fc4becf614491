"""Pipelines for GitHub Actions and GitLab CI, as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace
from ruamel.yaml import YAML

from snapenv.errors import UsageError
from snapenv.model.launch import Port
from snapenv.render.ci import CiOptions, render_github, render_gitlab
from tests.render.workloads import IMAGE, content, differing, workload
from tests.steady import steady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snapenv.model.image import ImageRef
    from snapenv.model.rendering import Rendered, Workload

PROGRAMS = Path(sys.executable).parent
RENDERERS: dict[str, Callable[[Workload, CiOptions], Rendered]] = {
    "github": render_github,
    "gitlab": render_gitlab,
}
FOLDERS = {"github": ".github/workflows", "gitlab": ".gitlab"}
CHOSEN = CiOptions(max_drop=0.02)
OWN = replace(IMAGE, repository="ghcr.io/team/env")

providers = pytest.mark.parametrize("provider", RENDERERS)


def written(rendered: Rendered, folder: Path) -> list[Path]:
    """Write the files, and return the pipelines."""
    for file in rendered.files:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content, encoding="utf-8")
    return sorted(folder.rglob("*.yml"))


def parsed(rendered: Rendered, provider: str, name: str) -> dict[str, Any]:
    text = content(rendered, f"{FOLDERS[provider]}/snapenv-{name}.yml")
    document: dict[str, Any] = YAML(typ="safe").load(text)
    return document


def run(program: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAMS / program), *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def shell_parts(document: dict[str, Any]) -> Iterator[str]:
    """Yield what a shell is given: of a step of GitHub, of a job of GitLab."""
    for job in document.get("jobs", document).values():
        yield from (step["run"] for step in job.get("steps", ()) if "run" in step)
        yield from job.get("script", ())


@providers
def test_pipelines_read_as_the_goldens(provider: str) -> None:
    assert differing(RENDERERS[provider](workload(), CHOSEN), provider) == {}


@providers
def test_pipelines_are_of_their_schema(provider: str, tmp_path: Path) -> None:
    schema = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}[provider]
    paths = written(RENDERERS[provider](workload("python", "train.py"), CHOSEN), tmp_path)

    done = run("check-jsonschema", "--builtin-schema", schema, *map(str, paths))

    assert len(paths) == 2
    assert done.returncode == 0, done.stdout


@providers
def test_a_key_that_there_is_not_is_found(provider: str, tmp_path: Path) -> None:
    schema = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}[provider]
    path = written(RENDERERS[provider](workload(), CHOSEN), tmp_path)[0]
    worse, changed = re.subn("timeout", "timeuot", path.read_text("utf-8"))
    path.write_text(worse, encoding="utf-8")

    done = run("check-jsonschema", "--builtin-schema", schema, str(path))

    assert (changed, done.returncode) == (1, 1)
    assert "timeuot" in done.stdout


@pytest.mark.parametrize("image", [IMAGE, OWN], ids=["secrets", "token"])
def test_a_linter_of_workflows_finds_nothing(image: ImageRef, tmp_path: Path) -> None:
    paths = written(render_github(workload(image=image), CHOSEN), tmp_path)

    done = run("zizmor", "--offline", "--no-progress", "--persona", "pedantic", *map(str, paths))

    assert done.returncode == 0, done.stdout
    assert "No findings" in done.stdout


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        (r"@[0-9a-f]{40} # v6\.0\.2", "@v6", "unpinned-uses"),
        (
            r"(?s)permissions: \{\}(.*?)    permissions:.*?(?=    env)",
            r"\1",
            "excessive-permissions",
        ),
        (r'"\$IMAGE" \\', '"${{ github.event.head_commit.message }}" \\\\', "template-injection"),
        (r"persist-credentials: false", "fetch-depth: 1", "artipacked"),
    ],
)
def test_the_linter_finds_what_would_be_unsafe(
    good: str, bad: str, rule: str, tmp_path: Path
) -> None:
    path = written(render_github(workload(), CHOSEN), tmp_path)[1]
    worse, changed = re.subn(good, bad, path.read_text("utf-8"))
    path.write_text(worse, encoding="utf-8")

    done = run("zizmor", "--offline", "--no-progress", str(path))

    assert changed > 0
    assert done.returncode > 10
    assert f"[{rule}]" in done.stdout


@providers
@pytest.mark.parametrize("name", ["image", "train"])
def test_a_linter_of_shells_finds_nothing(provider: str, name: str) -> None:
    rendered = RENDERERS[provider](workload("sh", "-c", 'echo "it\'s $HOME"'), CHOSEN)
    shell = {"github": "bash", "gitlab": "sh"}[provider]
    parts = list(shell_parts(parsed(rendered, provider, name)))

    found = [run("shellcheck", "-s", shell, "-", stdin=part).stdout for part in parts]

    assert len(parts) > 0
    assert [text for text in found if text] == []
    assert all("${{" not in part for part in parts)


@providers
def test_a_command_reaches_the_training_word_for_word(provider: str) -> None:
    words = ("python", "train.py", "name=a b's $x", "*")
    document = parsed(RENDERERS[provider](workload(*words), CHOSEN), provider, "train")
    script = next(part for part in shell_parts(document) if "train.py" in part)
    line = next(line for line in script.splitlines() if "train.py" in line)

    printed = run_shell(f"printf '%s\\n' {line}")

    assert printed.splitlines() == list(words)


def run_shell(script: str) -> str:
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


@providers
def test_what_is_watched_and_where_it_runs(provider: str) -> None:
    options = CiOptions(
        watch=("cfg/train.yaml", "data", "v1.2/", "lists/*.txt"),
        runner=("h200", "a.b"),
        branch="release/1",
        snapshot_folder="envs/train/",
    )
    rendered = RENDERERS[provider](workload(), options)
    train, image = (parsed(rendered, provider, name) for name in ("train", "image"))

    if provider == "github":
        push = train["on"]["push"]
        assert push["paths"][:-1] == ["cfg/train.yaml", "data/**", "v1.2/**", "lists/*.txt"]
        assert push["branches"] == ["release/1"]
        assert train["jobs"]["train"]["runs-on"] == ["h200", "a.b"]
        assert image["on"]["push"]["paths"][0] == "envs/train/**"
        assert image["jobs"]["image"]["env"]["SNAPSHOT"] == "envs/train"
    else:
        job = train["snapenv-train"]
        rule = job["rules"][0]
        assert rule["changes"][:-1] == ["cfg/train.yaml", "data/**/*", "v1.2/**/*", "lists/*.txt"]
        assert rule["if"] == '$CI_COMMIT_BRANCH == "release/1"'
        assert job["tags"] == ["h200", "a.b"]
        assert image["snapenv-image"]["rules"][0]["changes"][0] == "envs/train/**/*"
        assert image["snapenv-image"]["variables"]["SNAPSHOT"] == "envs/train"


def test_each_job_may_do_what_it_needs_and_no_more() -> None:
    rendered = render_github(workload(image=OWN), CHOSEN)
    jobs = {
        **parsed(rendered, "github", "image")["jobs"],
        **parsed(rendered, "github", "train")["jobs"],
    }

    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "image": {"contents": "read", "packages": "write"},
        "train": {"contents": "read", "packages": "read"},
        "compare": {"actions": "read", "contents": "read"},
    }
    assert all(job["timeout-minutes"] > 0 for job in jobs.values())
    elsewhere = parsed(render_github(workload(), CHOSEN), "github", "image")["jobs"]["image"]
    assert elsewhere["permissions"] == {"contents": "read"}


@providers
def test_the_training_runs_in_the_image_by_its_digest(provider: str) -> None:
    train = parsed(RENDERERS[provider](workload(), CHOSEN), provider, "train")

    if provider == "github":
        assert train["jobs"]["train"]["env"] == {"IMAGE": str(IMAGE)}
    else:
        assert train["snapenv-train"]["image"] == str(IMAGE)


def test_a_job_gets_the_gpus_and_the_folders_that_were_named() -> None:
    asked = workload(data=("/datasets/coco",), device="0,1", cpus=4.0, user=(1001, 1002))

    document = parsed(render_github(asked, CHOSEN), "github", "train")
    script = next(part for part in shell_parts(document) if "docker run" in part)

    assert """--gpus '"device=0,1"'""" in script
    assert "--mount type=bind,source=/datasets/coco,target=/datasets/coco,readonly" in script
    assert "--cpus 4 " in script
    assert "--user 1001:1002 " in script
    without = parsed(render_github(workload(device="cpu"), CHOSEN), "github", "train")
    assert "--gpus" not in str(without)
    assert "NVIDIA_VISIBLE_DEVICES=void" in str(without)


@providers
def test_a_version_that_no_index_may_have_is_named(provider: str) -> None:
    development = replace(workload(), program="snapenv 0.2.0.dev0")

    assert RENDERERS[provider](workload(), CHOSEN).notes == ()
    (note,) = RENDERERS[provider](development, CHOSEN).notes
    assert "0.2.0.dev0" in note
    named = replace(CHOSEN, install="snapenv @ https://example.com/snapenv-0.2-py3-none-any.whl")
    assert RENDERERS[provider](development, named).notes == ()


def test_a_project_that_no_job_of_gitlab_can_hold_is_told() -> None:
    (note,) = render_gitlab(workload(project="vision"), CHOSEN).notes

    assert note == wording("a job of GitLab CI has no labels: its project is not noted")


def test_a_folder_that_a_runner_must_mount_is_named() -> None:
    rendered = render_gitlab(workload(data=("/datasets/coco",)), CHOSEN)

    assert len(rendered.notes) == 1
    assert "/datasets/coco" in rendered.notes[0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (CiOptions(branch="a b"), "--branch 'a b'"),
        (CiOptions(watch=("../data",)), "--watch '../data'"),
        (CiOptions(watch=("/data",)), "--watch '/data'"),
        (CiOptions(snapshot_folder="a/../../b"), "--snapshot-folder 'a/../../b'"),
        (CiOptions(baseline="-x"), "--baseline '-x'"),
        (CiOptions(runner=("gpu, x",)), "--runner 'gpu, x'"),
        (CiOptions(install="snapenv=1"), "--install 'snapenv=1'"),
        (CiOptions(max_drop=1.0), "--max-drop 1"),
        (CiOptions(max_drop=-0.1), "--max-drop -0.1"),
    ],
)
@providers
def test_a_name_that_is_not_of_its_grammar_is_refused(
    provider: str, options: CiOptions, named: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(named)):
        RENDERERS[provider](workload(), options)


@pytest.mark.parametrize("word", ["${{ github.token }}", "a\nb", "a\x1b"])
@providers
def test_a_word_that_would_become_part_of_the_pipeline_is_refused(provider: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        RENDERERS[provider](workload("echo", word), CHOSEN)

    assert steady(caught.value, word=word) == wording(
        "WORD cannot stand in a pipeline: it holds a control character or ${{"
    )


@providers
def test_what_no_job_can_give_is_refused(provider: str) -> None:
    with pytest.raises(UsageError, match="--port"):
        RENDERERS[provider](workload(ports=(Port(inside=8888),)), CHOSEN)
    with pytest.raises(UsageError, match="--runs"):
        RENDERERS[provider](workload(runs="/results"), CHOSEN)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"user": (1, 1)}, "--user"),
        ({"memory_bytes": 1 << 34}, "--memory"),
        ({"folder": "/work"}, "--workdir"),
        ({"host_ipc": True}, "--ipc host"),
    ],
)
def test_what_only_a_runner_of_gitlab_can_give_is_refused(
    asked: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        render_gitlab(workload(**asked), CHOSEN)


def test_the_example_of_a_workflow_is_as_safe_and_pins_the_same_actions(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "github-actions.yml"
    path = tmp_path / "environment.yml"
    path.write_text(example.read_text("utf-8"), encoding="utf-8")

    done = run("zizmor", "--offline", "--no-progress", str(path))

    assert "No findings" in done.stdout
    assert actions(path.read_text("utf-8")) == actions(
        "".join(file.content for file in render_github(workload(), CHOSEN).files)
    )


def actions(text: str) -> set[str]:
    return set(re.findall(r"uses: (.*)", text))
