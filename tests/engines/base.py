"""A PyTorch base that is like NVIDIA's: Debian's torch under NVIDIA's name and variables.

torch lies in dist-packages, is on no index, its distributions have no RECORD, and PEP 668 holds.

Source of the variables: ``docker inspect`` of nvcr.io/nvidia/pytorch:25.10-py3.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines.place import UnavailableError, call, install, say
from tests.engines.push import Made, push_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.engines.place import Place

NAME = "nvidia/pytorch"
TAG = "25.01-py3"
PACKAGES = (
    "ca-certificates",
    "libgl1",
    "libglib2.0-0t64",
    "python3",
    "python3-torch",
    "python3-torchvision",
    "python3-venv",
)
CONSTRAINTS = "numpy==1.26.4\nregex==2024.11.6\nsafetensors==0.5.3\n"
ENTRYPOINT = """\
#!/bin/bash
printf '\\n=============\\n== PyTorch ==\\n=============\\n\\n'
printf 'NVIDIA Release %s (a stand-in)\\n\\n' "${NVIDIA_PYTORCH_VERSION}"
exec "$@"
"""
VARIABLES = {
    "CUDA_MODULE_LOADING": "LAZY",
    "LC_ALL": "C.UTF-8",
    "LD_LIBRARY_PATH": "/usr/lib/python3/dist-packages/torch/lib:/usr/local/cuda/compat/lib"
    ":/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
    "NVIDIA_DRIVER_CAPABILITIES": "compute,utility,video",
    "NVIDIA_PRODUCT_NAME": "PyTorch",
    "NVIDIA_PYTORCH_VERSION": "25.01",
    "NVIDIA_REQUIRE_CUDA": "cuda>=9.0",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_CONSTRAINT": "/etc/pip/constraint.txt",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
}
_DEBIAN = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TORCH_VERSION = "usr/lib/python3/dist-packages/torch/version.py"
_CONTENT = (PACKAGES, CONSTRAINTS, ENTRYPOINT)


def push_base(place: Place, *, engine: str, registry: str) -> str:
    """Return the base's name in our registry, made and pushed if it is not there.

    Raises:
        UnavailableError: It cannot be made here.
    """

    def make(_: Path) -> Made:
        tar, torch = _make_tar(place)
        return Made(tar=tar, changes=changes(torch))

    return push_once(
        place, f"{registry}/{NAME}:{TAG}", recipe=(_CONTENT, changes("")), engine=engine, make=make
    )


def changes(torch: str) -> tuple[str, ...]:
    """Return what NVIDIA's image with a version of torch says of itself, as docker import takes it."""
    variables = {**VARIABLES, "PYTORCH_VERSION": torch, "PYTORCH_BUILD_VERSION": torch}
    return (
        *(f"ENV {name}={json.dumps(value)}" for name, value in sorted(variables.items())),
        "WORKDIR /workspace",
        'ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]',
        'CMD ["/bin/bash"]',
        "LABEL com.nvidia.cuda.version=9.0",
    )


def _make_tar(place: Place) -> tuple[Path, str]:
    """Return the root file system as a tar, and torch's version in it."""
    key = hashlib.sha256(repr(_CONTENT).encode()).hexdigest()[:12]
    tar, version = (place.folder / f"base-{key}.{kind}" for kind in ("tar", "torch"))
    if tar.exists() and version.exists():
        return tar, version.read_text()
    for old in place.folder.glob("base-*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    with tempfile.TemporaryDirectory(prefix="base-", dir=place.folder) as folder:
        root = Path(folder, "root")
        _bootstrap(root)
        version.write_text(_torch_version(root / _TORCH_VERSION))
        partial = Path(folder, "tar")
        call("tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(partial), ".")
        partial.rename(tar)
    return tar, version.read_text()


def _bootstrap(root: Path) -> None:
    say("making the stand-in base; about two minutes")
    debootstrap("trixie", root, PACKAGES)
    write(root / "etc/pip/constraint.txt", CONSTRAINTS, mode=0o644)
    write(root / "opt/nvidia/nvidia_entrypoint.sh", ENTRYPOINT, mode=0o755)
    (root / "workspace").mkdir()


def debootstrap(
    suite: str, root: Path, packages: Sequence[str], *, machine: str | None = None
) -> None:
    """Make a root folder of a release of Debian, with these packages and what they need.

    For another ``machine`` they are fetched alone, into the folder where apt keeps them.

    Raises:
        UnavailableError: The mirror does not answer, or debootstrap cannot run here.
    """
    install({"debootstrap": "debootstrap", "debian-archive-keyring": _KEYRING})
    call(
        "debootstrap",
        "--variant=minbase",
        *((f"--arch={machine}", "--download-only") if machine else ()),
        *((f"--include={','.join(packages)}",) if packages else ()),
        f"--keyring={_KEYRING}",
        suite,
        str(root),
        debian_mirror(_apt_sources()),
        environment=_apt_proxy(),
    )
    if machine:
        return
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)


def debian_mirror(sources: Iterator[str]) -> str:
    """Return the mirror of Debian's main archive that apt sources name, else Debian's own."""
    for text in sources:
        found = re.search(
            r"^(?:URIs:|deb(?: \[.*\])?)\s+(http://\S+/debian)/?\s", text, re.MULTILINE
        )
        if found:
            return found[1]
    return _DEBIAN


def _apt_sources() -> Iterator[str]:
    folder = Path("/etc/apt")
    for path in sorted([*folder.glob("sources.list"), *folder.glob("sources.list.d/*")]):
        yield path.read_text(errors="replace")


def _apt_proxy() -> Mapping[str, str]:
    said = call("apt-config", "shell", "PROXY", "Acquire::http::Proxy")
    found = re.search(r"PROXY='(http[^']+)'", said)
    return {"http_proxy": found[1]} if found else {}


def _torch_version(path: Path) -> str:
    found = re.search(r"__version__ = '([^']+)'", path.read_text())
    if found is None:
        raise UnavailableError(f"{path} names no version")
    return found[1]


def write(path: Path, text: str, *, mode: int) -> None:
    """Write a file of an image, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
