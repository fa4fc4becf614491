"""The image of a workspace: an environment's own, with Jupyter, TensorBoard and sshd on top.

The packages are installed on this machine, with its credentials, and copied in. Sources:
https://docs.astral.sh/uv/reference/cli/#uv-pip-compile and
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from packaging.version import InvalidVersion, Version

from snapenv.json_text import read_json
from snapenv.model.carried import Content
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.launch import KIND_LABEL, WORKSPACE_LAYER
from snapenv.model.snapshot import IMAGE_PYTHON, IMAGE_WORKSPACE, SNAPSHOT_LABEL
from snapenv.templating import template_environment
from snapenv.travel.pack import pack

if TYPE_CHECKING:
    from snapenv.model.image import Image

FOLDER = IMAGE_WORKSPACE
PROGRAM = "workspace.pyz"
LAYER_LABEL = "io.snapenv.workspace"  # what an image of a workspace is made of, as a digest
REPOSITORY = "snapenv-workspace"

WORK_REQUIREMENTS = "jupyterlab\ntensorboard\n"
KERNEL_REQUIREMENTS = "ipykernel>=6.9\n"  # older ones are found too, and do not work
WORK_LOCK, KERNEL_LOCK, CONSTRAINTS = "work.txt", "kernel.txt", "constraints.txt"

MARK = "snapenv-installed "
"""What the line of an environment's answer begins with; a banner may come before it."""

ASK = f"""
import json, platform, re, sys
try:
    from importlib.metadata import distributions
except ImportError:
    sys.exit("Python %d.%d is too old" % sys.version_info[:2])
names = {{}}
for one in distributions():
    name = one.metadata["Name"]
    if name:
        names.setdefault(re.sub(r"[-_.]+", "-", name).lower(), one.version)
python = "%d.%d" % sys.version_info[:2]
answer = {{"python": python, "machine": platform.machine(), "versions": names}}
print({MARK!r} + json.dumps(answer))
"""
"""A program for the environment's Python that tells what it has, as it finds it first."""

_TEMPLATE = "workspace.Dockerfile.j2"
_KERNEL_FILE = "kernels/kernels/python3/kernel.json"
_LAB_FILE = "share/jupyter/lab/settings/overrides.json"
_LAB_SETTINGS = """\
{
  "@jupyterlab/apputils-extension:notification": {
    "fetchNews": "false",
    "checkForUpdates": false
  }
}
"""
_PROFILE = """\
# A login shell of a workspace keeps the PATH of its container.
if [ -n "$SNAPENV_PATH" ]; then PATH=$SNAPENV_PATH; export PATH; fi
"""


class Parts(Struct, frozen=True, kw_only=True):
    """What the image of a workspace holds beside its environment."""

    tools: bool  # jupyterlab, tensorboard, ipykernel
    ssh: bool


class Installed(Struct, frozen=True, kw_only=True):
    """What an environment has, as far as the tools must fit it."""

    python: str  # "3.11"
    machine: str  # "x86_64"
    versions: Mapping[str, str]  # by distribution


class Locks(Struct, frozen=True, kw_only=True):
    """What the tools are installed from: requirements with hashes."""

    work: str
    kernel: str


class Tools(Struct, frozen=True, kw_only=True):
    """The tools as files, by their paths below the folders that they are for."""

    locks: Locks
    work: Mapping[str, Content]
    kernel: Mapping[str, Content]


class _View(Struct, frozen=True, kw_only=True):
    """What the template reads."""

    environment: str
    tools: bool
    ssh: bool
    locks: tuple[str, ...]
    folder: str = FOLDER
    python: str = IMAGE_PYTHON
    snapshot_label: str = SNAPSHOT_LABEL


def parse_installed(stdout: str) -> Installed:
    """Read what ``ASK`` prints.

    Raises:
        ValueError: It printed nothing of the kind.
    """
    for line in stdout.splitlines():
        if line.startswith(MARK):
            return read_json(line.removeprefix(MARK), Installed)
    raise ValueError("no answer")


def lock_words(installed: Installed) -> tuple[str, ...]:
    """Return how uv is asked for a lock: for the environment's Python, of wheels, with hashes."""
    return (
        *("--format", "requirements.txt", "--generate-hashes", "--no-build"),
        *("--no-header", "--no-annotate", "--quiet", *for_python(installed)),
    )


def for_python(installed: Installed) -> tuple[str, ...]:
    """Return the words that choose wheels for another Python than the one that uv runs beside.

    They fit every base image and every machine with glibc 2.28, which is of 2018.
    """
    platform = f"{installed.machine}-manylinux_2_28"
    return ("--python-version", installed.python, "--python-platform", platform)


def kernel_words(installed: Installed) -> tuple[str, ...]:
    """Return what lets the kernel's lock respect an environment, and leave out what that has."""
    omitted = (word for name in installed.versions for word in ("--no-emit-package", name))
    return ("--constraints", CONSTRAINTS, *omitted)


def constraints(installed: Installed) -> str:
    """Return the versions of an environment as an index has them: ``2.6.0`` of 2.6.0+cu126."""
    pairs = ((name, _public(version)) for name, version in sorted(installed.versions.items()))
    return "".join(f"{name}=={version}\n" for name, version in pairs if version)


def _public(version: str) -> str | None:
    try:
        return Version(version).public
    except InvalidVersion:
        return None


def kernel_spec(python: str, folder: str) -> bytes:
    """Return the kernel.json that starts the environment's Python, for a workspace's folder.

    It is called python3: so it hides the kernel of the workspace's own environment, and notebooks
    from elsewhere open in it.
    """
    argv = [python, f"{folder}/{PROGRAM}", "kernel", f"{folder}/kernel", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    return json.dumps(spec, indent=1).encode()


def tool_files(tools: Tools, *, python: str, folder: str) -> Mapping[str, Content]:
    """Return the files of the tools by their paths below a workspace's folder."""
    return {
        WORK_LOCK: tools.locks.work.encode(),
        KERNEL_LOCK: tools.locks.kernel.encode(),
        f"work/{_KERNEL_FILE}": kernel_spec(python, folder),
        f"work/{_LAB_FILE}": _LAB_SETTINGS.encode(),
        **{f"work/{name}": content for name, content in tools.work.items()},
        **{f"kernel/{name}": content for name, content in tools.kernel.items()},
    }


def layer_digest(environment: Image, parts: Parts) -> str:
    """Return what an image of a workspace is known by: all that it is made of but its packages.

    So the one that is here stays in use, whatever an index has meanwhile.
    """
    template = template_environment().get_template(_TEMPLATE).render(v=_view("environment", parts))
    return _digest(template, _PROFILE, _LAB_SETTINGS, *environment.diff_ids)


def tools_digest(installed: Installed, python: str) -> str:
    """Return what a folder of tools is known by: all that it is made of but its packages."""
    return _digest(python, _LAB_SETTINGS, constraints(installed), *lock_words(installed))


def _digest(*parts: str) -> str:
    digest = hashlib.sha256(pack("snapenv_workspace"))
    for part in (WORK_REQUIREMENTS, KERNEL_REQUIREMENTS, *parts):
        digest.update(len(part).to_bytes(8, "big") + part.encode())
    return digest.hexdigest()


def layer_name(digest: str) -> ImageRef:
    """Return the name that an image of a workspace has in its engine."""
    return ImageRef(repository=REPOSITORY, tag=digest[:12])


def layer_context(
    environment: ImageRef,
    parts: Parts,
    tools: Tools | None,
    *,
    digest: str,
    certificates: bytes | None,
) -> BuildContext:
    """Return what an engine builds the image of a workspace from; ``tools`` where they are asked.

    ``environment`` is a name under which the engine has the environment's image.
    """
    template = template_environment().get_template(_TEMPLATE)
    files: dict[str, Content] = {
        "Dockerfile": template.render(v=_view(str(environment), parts)).encode(),
        PROGRAM: pack("snapenv_workspace"),
    }
    if tools:
        files |= tool_files(tools, python=IMAGE_PYTHON, folder=FOLDER)
    if parts.ssh:
        files["profile.sh"] = _PROFILE.encode()
    if certificates:
        files["ca.pem"] = certificates
    labels = {LAYER_LABEL: digest, KIND_LABEL: WORKSPACE_LAYER}
    return BuildContext(files=files, labels=labels)


def _view(environment: str, parts: Parts) -> _View:
    locks = (WORK_LOCK, KERNEL_LOCK) if parts.tools else ()
    return _View(environment=environment, tools=parts.tools, ssh=parts.ssh, locks=locks)
