"""Make what a workspace has beside its environment: its tools, in an image or in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.content import write_content
from snapenv.errors import BuildError, InstallError, ProbeError, WriteError
from snapenv.lock.ask import not_locked, uv_here
from snapenv.lock.fetch import temporary_folder
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.model.uv import first_words
from snapenv.ownership.claim import claim
from snapenv.ownership.leftovers import remove
from snapenv.ownership.new_folder import new_folder
from snapenv.travel.pack import pack
from snapenv.workspace.layer import (
    ASK,
    CONSTRAINTS,
    KERNEL_LOCK,
    KERNEL_REQUIREMENTS,
    LAYER_LABEL,
    PROGRAM,
    WORK_LOCK,
    WORK_REQUIREMENTS,
    Installed,
    Locks,
    Tools,
    constraints,
    for_python,
    kernel_words,
    layer_context,
    layer_digest,
    layer_name,
    lock_words,
    parse_installed,
    tool_files,
    tools_digest,
)

TOOLS = "workspaces"  # a folder of the user's cache: of each environment a folder of tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snapenv.model.image import Image
    from snapenv.ports import Services, Target
    from snapenv.steps.source import LocalImage
    from snapenv.workspace.layer import Parts


def find_workspace_image(environment: Image, parts: Parts, services: Services) -> Image | None:
    """Return the image of a workspace of this environment with these parts, if it is here."""
    digest = layer_digest(environment, parts)
    image = services.engine.find(str(layer_name(digest)))
    return image if image and image.labels.get(LAYER_LABEL) == digest else None


def make_workspace_image(environment: LocalImage, parts: Parts, services: Services) -> Image:
    """Build the image of a workspace, and name it.

    Raises:
        BuildError: A step failed, or meanwhile the environment's name became another image's.
        InstallError: The tools cannot be installed.
        LockError: No version of a tool fits the environment.
        PackageIndexError: A package index does not answer.
        PlaceBusyError: Another command makes it.
    """
    digest = layer_digest(environment.image, parts)
    name = layer_name(digest)
    with (
        claim(services.kept("locks"), str(name), key=f"{services.engine.check()} {name}"),
        temporary_folder(services) as folder,
    ):
        tools = None
        if parts.tools:
            target = services.engine.image_target(environment.image, python=IMAGE_PYTHON, gpus=None)
            tools = _install_tools(_ask(target), folder, services)
        context = layer_context(
            environment.ref, parts, tools, digest=digest, certificates=services.certificates
        )
        with services.progress.task("Building the image of the workspace") as task:
            image = services.engine.build(context, task)
    own = environment.image.diff_ids
    if image.diff_ids[: len(own)] != own:
        services.engine.remove(image.id)
        raise BuildError(
            f"{environment.ref} became another image meanwhile", hint="Run it once more."
        )
    services.engine.tag(image, name)
    return image


def tools_folder(target: Target, services: Services) -> Path:
    """Return the folder with the tools for an environment of this machine, made where it is not.

    It lies in the user's cache folder, whole or not at all.

    Raises:
        InstallError: The tools cannot be installed.
        LockError: No version of a tool fits the environment.
        PackageIndexError: A package index does not answer.
        PlaceBusyError: Another command makes it.
        WriteError: The disk is full or the folder cannot be written.
    """
    installed = _ask(target)
    above = services.kept(TOOLS)
    if above is None:
        raise WriteError("there is no folder for the tools", hint="Set XDG_CACHE_HOME.")
    folder = above / tools_digest(installed, target.python)[:12]
    if (folder / PROGRAM).is_file():
        return folder
    with new_folder(folder) as made:
        tools = _install_tools(installed, folder, services)
        for name, content in tool_files(tools, python=target.python, folder=str(folder)).items():
            if isinstance(content, bytes):
                _write(folder / name, content)
        python = (target.python, "-I", "-S", "-B", "-m")
        for words in (
            ("venv", "--without-pip", str(folder / "work")),
            (
                "compileall",
                "-q",
                "-j",
                "0",
                "-x",
                "/tests/",
                str(folder / "work" / "lib"),
                str(folder / "kernel"),
            ),
        ):
            done = target.run((*python, *words))
            if done.exit_code != 0:
                raise _not_installed(done.stderr)
        _write(folder / PROGRAM, pack("snapenv_workspace"))
        made.whole = True
    return folder


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_content(path, content)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}", hint="Free space.") from error


def _ask(target: Target) -> Installed:
    done = target.run((target.python, "-B", "-c", ASK))
    try:
        return parse_installed(done.stdout)
    except ValueError as error:
        last = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise ProbeError(
            f"{target.python} does not tell what it has: {last[0]}",
            hint="Check the environment: snapenv verify",
        ) from error


def _install_tools(installed: Installed, folder: Path, services: Services) -> Tools:
    """Install the tools into ``work``, which has no Python yet, and ``kernel`` of a folder."""
    work, kernel = folder / "work", folder / "kernel"
    with services.progress.task("Tools of the workspace") as task:
        task.note("asking the index")
        locks = _lock_tools(installed, services)
        for name, requirements, where in (
            (WORK_LOCK, locks.work, ("--prefix", str(work))),
            (KERNEL_LOCK, locks.kernel, ("--target", str(kernel))),
        ):
            task.note(f"installing {name}")
            done = uv_here(services).install(requirements, *where, *for_python(installed))
            if done.exit_code != 0:
                raise _not_installed(done.stderr)
    for library in (work / "lib").iterdir():  # uv names it by the Python that it runs beside
        library.rename(library.with_name(f"python{installed.python}"))
    for scripts in (work / "bin", kernel / "bin"):  # they start that Python
        remove(scripts)
    return Tools(locks=locks, work=_files(work), kernel=_files(kernel))


def _lock_tools(installed: Installed, services: Services) -> Locks:
    """Return what was locked before for the same environment, else what the index has now."""
    fitting, words = constraints(installed), lock_words(installed)
    kept = services.made()
    name = kept.namer()("workspace", WORK_REQUIREMENTS, KERNEL_REQUIREMENTS, fitting, *words)
    known = kept.find_value(name, Locks)
    if known:
        return known
    uv = uv_here(services)
    files = {CONSTRAINTS: fitting.encode()}
    work = uv.compile(WORK_REQUIREMENTS, *words)
    kernel = uv.compile(KERNEL_REQUIREMENTS, *words, *kernel_words(installed), files=files)
    for done in (work, kernel):
        if done.exit_code != 0:
            raise not_locked(" ".join(done.stderr.split()))
    locks = Locks(work=work.stdout, kernel=kernel.stdout)
    kept.keep_value(name, locks)
    return locks


def _not_installed(stderr: str) -> InstallError:
    return InstallError(
        f"the tools of a workspace could not be installed: {first_words(stderr)}",
        hint="See that the index of pip's or uv's configuration answers, and df -h.",
    )


def _files(folder: Path) -> Mapping[str, Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path for path in files}
