"""Pipelines for GitHub Actions and for GitLab CI: one makes the image, one trains in it.

The first builds, verifies and pushes the image where the snapshot's folder has changed; the
second trains where data or configuration has changed, and compares the metrics with the last run.
Sources: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax and
https://docs.gitlab.com/ci/yaml/
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from snapenv.docker_options import docker_run_options
from snapenv.errors import UsageError
from snapenv.model.rendering import Rendered, RenderedFile, TargetOptions
from snapenv.render.head import head_lines
from snapenv.render.refuse import Grammar, matched, refuse_options
from snapenv.templating import render_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.rendering import Workload

# By commit, as a tag may be moved. Refresh: git ls-remote URL-OF-THE-ACTION 'refs/tags/v*'
_CHECKOUT = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"
_UPLOAD = "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0"
_GITHUB_REGISTRY = "ghcr.io"  # takes the token of a job
_COMMAND = ("yolo", "train", "cfg=train.yaml")
_COMPARE = "compare_metrics.py"
_SET_UP = "Leave it out; what a runner gives a job is set where the runner is set up."


_SIGNS = "Use letters, digits and any of {}, as in {}"
_PATH_EXAMPLE = "snapshots/train"
_PATH = Grammar(
    "path that a pipeline takes",
    re.compile(r"[A-Za-z0-9_.*@+,=][A-Za-z0-9_./*@+,=-]*", re.ASCII),
    _SIGNS.format("_ . / * @ + , = -", _PATH_EXAMPLE),
)
_BRANCH = Grammar(
    "branch that a pipeline takes",
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*", re.ASCII),
    _SIGNS.format("_ . / + -", "main"),
)
_LABEL = Grammar(
    "label of a runner that a pipeline takes",
    re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}", re.ASCII),
    _SIGNS.format("_ . : -", "gpu"),
)


class CiOptions(TargetOptions, frozen=True, kw_only=True):
    """What a user may ask of pipelines; paths are those of the repository."""

    snapshot_folder: str | None = None  # None: where a capture writes a snapshot of this tag
    branch: str = "main"
    watch: tuple[str, ...] = ("train.yaml", "data.yaml", "data/")
    runner: tuple[str, ...] = ()  # what a runner must be labelled with; empty: as is usual
    install: str | None = None  # a requirement as pip takes it; None: the version that renders
    max_drop: float | None = None  # of mAP50-95; None compares alone
    baseline: str | None = None  # a results.csv; None compares with the last run


class _Provider(Struct, frozen=True, kw_only=True):
    """What differs between the two beside the templates."""

    folder: str
    pipelines: str  # the folder of the pipelines
    below: str  # the pattern of all that is in a folder
    runner: tuple[str, ...]


_GITHUB = _Provider(
    folder=".github",
    pipelines=".github/workflows",
    below="/**",
    runner=("self-hosted", "linux", "x64", "gpu"),
)
_GITLAB = _Provider(folder=".gitlab", pipelines=".gitlab", below="/**/*", runner=("gpu",))


class _View(Struct, frozen=True, kw_only=True):
    """What the templates read; every text has been parsed by its grammar."""

    head: tuple[str, ...]  # the first lines of every file
    image: str
    tagged: str
    repository: str
    registry: str | None  # None is the engine's default
    token_is_enough: bool  # to log in: the registry is GitHub's own
    login: str  # an expression of GitHub's
    password: str  # likewise
    snapshot: str
    snapshot_files: str  # a pattern
    branch: str
    watched: tuple[str, ...]  # patterns
    runner: tuple[str, ...]
    requirement: str
    device: str
    command: tuple[str, ...]
    compare: tuple[str, ...]  # words for the script, beside the metrics of this run
    baseline: bool
    gpus: bool
    shm_bytes: int | None
    grace_s: int
    user: str | None
    folder: str
    variables: tuple[tuple[str, str], ...]
    docker_run: tuple[str, ...]
    checkout: str = _CHECKOUT
    upload: str = _UPLOAD


def render_github(work: Workload, options: CiOptions) -> Rendered:
    """Return two workflows, and the script that compares metrics.

    Raises:
        UsageError: A name is not of its grammar, or something is asked that no job can give.
    """
    refuse_options(
        {"--port": work.launch.ports, "--runs": _is_outside(work)},
        why="has no place in a workflow of GitHub Actions",
        hint=_SET_UP,
    )
    return Rendered(
        files=tuple(_files("github", _GITHUB, _view(work, options, _GITHUB))),
        start="git add .github && git commit -m 'Build and train in CI' && git push",
        notes=tuple(_notes(work, options)),
    )


def render_gitlab(work: Workload, options: CiOptions) -> Rendered:
    """Return two pipelines to include, and the script that compares metrics.

    Raises:
        UsageError: A name is not of its grammar, or something is asked that the configuration of
            a runner alone can give.
    """
    launch = work.launch
    refuse_options(
        {
            "--port": launch.ports,
            "--runs": _is_outside(work),
            "--user": launch.user,
            "--workdir": work.project_folder,
            "--cpus": launch.cpus,
            "--memory": launch.memory_bytes,
            "--ipc host": launch.shm_bytes is None,
        },
        why="has no place in a pipeline of GitLab CI",
        hint=_SET_UP,
    )
    return Rendered(
        files=tuple(_files("gitlab", _GITLAB, _view(work, options, _GITLAB))),
        start="git add .gitlab && git commit -m 'Build and train in CI' && git push",
        notes=(
            *_notes(work, options),
            *(["a job of GitLab CI has no labels: its project is not noted"] * bool(launch.labels)),
            *(
                f"no job can mount {mount.target}: add it to volumes in the runner's config.toml"
                for mount in launch.mounts
            ),
        ),
    )


def _notes(work: Workload, options: CiOptions) -> Iterator[str]:
    version = work.program.rpartition(" ")[2]
    if options.install is None and Version(version).is_devrelease:
        yield f"jobs install snapenv {version}: where no index has it, give --install REQUIREMENT"


def _is_outside(work: Workload) -> bool:
    """Return whether results would lie where no job keeps them."""
    return not PurePosixPath(work.runs).is_relative_to(str(work.launch.folder))


def _files(templates: str, provider: _Provider, view: _View) -> Iterator[RenderedFile]:
    for name in ("image", "train"):
        content = render_template(f"{templates}/{name}.yml.j2", view)
        yield RenderedFile(name=f"{provider.pipelines}/snapenv-{name}.yml", content=content)
    script = resources.files("snapenv.render").joinpath("in_repository", _COMPARE)
    head = "".join(f"# {line}\n" for line in view.head)
    yield RenderedFile(
        name=f"{provider.folder}/{_COMPARE}", content=head + script.read_text("utf-8")
    )


def _view(work: Workload, options: CiOptions, provider: _Provider) -> _View:
    image, launch = work.image, work.launch
    own = image.registry == _GITHUB_REGISTRY
    snapshot = _path("--snapshot-folder", options.snapshot_folder or f"snapshots/{image.tag}")
    for text in _texts(work):
        _refuse_breaking(text)
    return _View(
        head=head_lines(work, how=()),
        image=str(image),
        tagged=image.tagged,
        repository=image.repository,
        registry=image.registry,
        token_is_enough=own,
        login="${{ github.actor }}" if own else "${{ secrets.REGISTRY_USER }}",
        password="${{ github.token }}" if own else "${{ secrets.REGISTRY_PASSWORD }}",
        snapshot=snapshot.rstrip("/"),
        snapshot_files=snapshot.rstrip("/") + provider.below,
        branch=matched("--branch", options.branch, _BRANCH),
        watched=tuple(_pattern(_path("--watch", path), provider.below) for path in options.watch),
        runner=tuple(
            matched("--runner", label, _LABEL) for label in options.runner or provider.runner
        ),
        requirement=_requirement(options.install or work.program.replace(" ", "==")),
        device=launch.gpus or "cpu",
        command=launch.argv or _COMMAND,
        compare=tuple(_compare(options)),
        baseline=options.baseline is not None,
        gpus=launch.gpus is not None,
        shm_bytes=launch.shm_bytes,
        grace_s=launch.grace_s,
        user=f"{launch.user.uid}:{launch.user.gid}" if launch.user else None,
        folder=str(launch.folder),
        variables=launch.set_variables,
        docker_run=docker_run_options(launch),
    )


def _texts(work: Workload) -> Iterator[str]:
    """Yield what a user has named freely, and what ends up in a shell's words."""
    launch = work.launch
    yield from launch.argv
    yield from (f"{name}={value}" for name, value in launch.set_variables)
    yield from launch.labels.values()
    yield from (text for mount in launch.mounts for text in (mount.source, mount.target))
    yield str(launch.folder)


def _refuse_breaking(text: str) -> None:
    """Refuse what would end the line that it stands on, or what GitHub would put something into.

    Raises:
        UsageError: It holds a control character, or begins an expression.
    """
    if not text.isprintable() or "${{" in text:
        raise UsageError(
            f"{text!r} cannot stand in a pipeline: it holds a control character or ${{{{",
            hint="Put the command into a script of the repository, and name that.",
        )


def _path(option: str, value: str) -> str:
    """Return a path of the repository.

    Raises:
        UsageError: It leads out of that, or holds what a pattern of paths cannot.
    """
    if PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts:
        raise UsageError(
            f"{option} {value!r} leads out of the repository",
            hint=f"Name a path below its top folder, as in {option} {_PATH_EXAMPLE}",
        )
    return matched(option, value, _PATH)


def _pattern(path: str, below: str) -> str:
    """Return the pattern of a path: a name without a suffix is a folder, and all in it counts."""
    if "*" in path or (PurePosixPath(path).suffix and not path.endswith("/")):
        return path
    return path.rstrip("/") + below


def _requirement(text: str) -> str:
    _refuse_breaking(text)
    try:
        return str(Requirement(text))
    except InvalidRequirement as error:
        raise UsageError(
            f"--install {text!r} is not a requirement that pip takes: {str(error).splitlines()[0]}",
            hint="Name a version, as in --install snapenv==1.0, or where it lies: snapenv @ URL",
        ) from error


def _compare(options: CiOptions) -> Iterator[str]:
    if options.baseline is None:
        yield from ("--last", "last/results.csv")
    else:
        yield from ("--baseline", _path("--baseline", options.baseline))
    if options.max_drop is None:
        return
    if not 0 <= options.max_drop < 1:
        raise UsageError(
            f"--max-drop {options.max_drop:g} is not from 0 to 1, as mAP50-95 is",
            hint="Name by how much it may fall, as in --max-drop 0.01",
        )
    yield from ("--max-drop", f"{options.max_drop:g}")
