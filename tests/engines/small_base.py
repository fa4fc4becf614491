"""The stand-in base without torch: a tenth of its size.

Pulling, saving, searching and probing an image take as long as it is large, and most tests ask
nothing of torch.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tests.engines.base import CONSTRAINTS, ENTRYPOINT, TAG, VARIABLES, debootstrap
from tests.engines.engine import connect
from tests.engines.place import UnavailableError, call, say

if TYPE_CHECKING:
    from tests.engines.place import Place

NAME = "nvidia/small"
PACKAGES = ("ca-certificates", "python3", "python3-packaging", "python3-venv", "python3-yaml")
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def push_small_base(place: Place, *, engine: str, registry: str) -> str:
    """Return the small base's name in our registry, made and pushed if it is not there.

    Raises:
        UnavailableError: It cannot be made here.
    """
    name, file = f"{registry}/{NAME}:{TAG}", place.folder / "small-base.json"
    recipe = hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()
    known = json.loads(file.read_text()) if file.exists() else {}
    if known == {"recipe": recipe, "digest": _served(name)}:
        return name
    say(f"making {name}; about a minute")
    with tempfile.TemporaryDirectory(prefix="small-base-", dir=place.folder) as folder:
        tar = Path(folder, "tar")
        _make_tar(Path(folder, "root"), tar)
        _push(tar, name=name, engine=engine)
    file.write_text(json.dumps({"recipe": recipe, "digest": _served(name)}))
    return name


def _served(name: str) -> str | None:
    """Return the digest that our registry has under a name."""
    host, _, rest = name.partition("/")
    path, _, tag = rest.rpartition(":")
    url = f"http://{host}/v2/{path}/manifests/{tag}"
    answer = requests.head(url, headers={"Accept": _MANIFEST}, timeout=10)
    return answer.headers.get("Docker-Content-Digest") if answer.ok else None


def _make_tar(root: Path, tar: Path) -> None:
    debootstrap("trixie", root, PACKAGES)
    for name, text, mode in (
        ("etc/pip/constraint.txt", CONSTRAINTS, 0o644),
        ("opt/nvidia/nvidia_entrypoint.sh", ENTRYPOINT, 0o755),
    ):
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(mode)
    call("tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(tar), ".")


def _push(tar: Path, *, name: str, engine: str) -> None:
    variables = {**VARIABLES, "PYTORCH_VERSION": "2.6.0"}
    changes = [f"ENV {key}={json.dumps(value)}" for key, value in sorted(variables.items())]
    changes += [
        "WORKDIR /workspace",
        'ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]',
        'CMD ["/bin/bash"]',
        "LABEL com.nvidia.cuda.version=9.0",
    ]
    repository, _, tag = name.rpartition(":")
    with connect(engine, timeout_s=1800) as client:
        told = client.import_image(src=str(tar), repository=repository, tag=tag, changes=changes)
        if '"error"' in told:
            raise UnavailableError(f"the engine does not import the small base: {told.strip()}")
        for message in client.push(name, stream=True, decode=True):
            if "error" in message:
                raise UnavailableError(f"the small base cannot be pushed: {message['error']}")
