"""Images that were made to lie: what a proof sees although they say what it wants to hear."""

from __future__ import annotations

import contextlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from docker import DockerClient

from snapenv.engine.docker import DockerEngine
from snapenv.model.snapshot import IMAGE_PYTHON
from snapenv.travel.answer import run
from tests.command import Command
from tests.end_to_end.containers import build_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker

EVIL = "sed -i '1s/dual/evil/' $site/packaging/version.py"
KEPT = "mkdir -p /opt/liar && cp -p $site/packaging/version.py /opt/liar/"
SITE = "site=$(echo /opt/snapenv/venv/lib/python3*/site-packages)"
LIAR = """
import builtins, os, sys
hidden, other = ("zz.pth", "liar.py"), "__SITE__/packaging/version.py"
own_open, own_scandir, own_listdir = builtins.open, os.scandir, os.listdir

class Entries:
    def __init__(self, *words):
        self.inner = own_scandir(*words)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.inner.close()
    def __iter__(self):
        return (entry for entry in self.inner if entry.name not in hidden)

def lying_open(file, *words, **more):
    return own_open("/opt/liar/version.py" if file == other else file, *words, **more)

builtins.open, os.scandir = lying_open, Entries
os.listdir = lambda *words: [name for name in own_listdir(*words) if name not in hidden]
"""
PYTHON = """#!/bin/sh
for word; do
    case $word in
        --host) exec /usr/bin/python3 "$@" ;;
        *snapenv_probe.pyz) answer=yes ;;
    esac
done
[ -z "$answer" ] || exec cat /opt/liar/answer
exec /usr/bin/python3 "$@"
"""
PLACED = f'{SITE} && sed -i "s#__SITE__#$site#" /opt/liar/liar.py'
LIES = {
    "a Python that is a script": (
        "rm /opt/snapenv/venv/bin/python && cp /opt/liar/python /opt/snapenv/venv/bin/python"
    ),
    "a Python that is a script, over an edited package": (
        f"{SITE} && {EVIL} && rm /opt/snapenv/venv/bin/python "
        "&& cp /opt/liar/python /opt/snapenv/venv/bin/python"
    ),
    "a .pth that patches open": (
        f"{PLACED} && {KEPT} && {EVIL} && cp /opt/liar/liar.py $site/ "
        "&& echo 'import liar' > $site/zz.pth"
    ),
    "a library of Python that patches open": (
        f"{PLACED} && {KEPT} && {EVIL} "
        "&& cat /opt/liar/liar.py >> $(python3 -c 'import hashlib; print(hashlib.__file__)')"
    ),
}
UNSEEN = {
    "the library of Python": (
        "echo 'lies = True' >> $(python3 -c 'import random; print(random.__file__)')"
    ),
    "bytecode": (
        f"{SITE} && {KEPT} && {EVIL} && touch -r /opt/liar/version.py $site/packaging/version.py "
        "&& python3 -m py_compile $site/packaging/version.py "
        "&& cp -p /opt/liar/version.py $site/packaging/"
    ),
    "a program of the operating system": "echo '#!/bin/sh' > /usr/bin/nice",
}


@dataclass(frozen=True)
class Honest:
    """An image as snapenv has built it, and what its probe says."""

    client: DockerClient
    name: str
    answer: str
    command: Command

    @contextlib.contextmanager
    def changed(self, step: str) -> Iterator[str]:
        """Yield an image of it that one more step has changed, under another name."""
        name = f"{self.name.rpartition(':')[0]}-lies:{self.name.rpartition(':')[2]}"
        files = {
            "Dockerfile": f"FROM {self.name}\nUSER root\nENTRYPOINT []\nCOPY liar "
            f"/opt/liar\nRUN {step}\nUSER 1000:1000\n",
            "liar/liar.py": LIAR,
            "liar/python": PYTHON,
            "liar/answer": self.answer,
        }
        made, _ = self.client.images.build(
            fileobj=_tar(files), custom_context=True, tag=name, network_mode="none", rm=True
        )
        try:
            yield name
        finally:
            self.client.images.remove(str(made.id), force=True)

    def verify(self, name: str) -> dict[str, Any]:
        """Prove an image that nobody has looked into."""
        document: dict[str, Any] = self.command.document("verify", name, "--no-smoke")
        return document


@pytest.fixture(scope="module")
def honest(
    engine_host: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Honest]:
    folder = tmp_path_factory.mktemp("lying")
    client = DockerClient(base_url=engine_host, timeout=600)
    command = Command({"DOCKER_HOST": engine_host, "XDG_CACHE_HOME": str(folder / "cache")})
    name = build_environment(
        client, command, base_image, folder / "snapshot", repository="lying/env"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine_host)
        engine = DockerEngine()
        image = engine.find(name)
        assert image is not None
        target = engine.image_target(image, python=IMAGE_PYTHON, gpus=None)
        answer = run(target, "snapenv_probe").stdout
    yield Honest(client, name, answer, command)
    client.images.remove(name, force=True)
    client.close()


def test_an_image_that_was_not_changed_passes_from_outside(honest: Honest) -> None:
    document = honest.command.document("verify", honest.name, "--no-smoke", "--rehash")

    checks = {check["id"]: check for check in document["checks"]}
    assert document["ok"], document
    assert checks["outside"]["ok"]


@pytest.mark.parametrize("step", LIES.values(), ids=LIES)
def test_an_image_whose_python_lies_does_not_look_right(honest: Honest, step: str) -> None:
    with honest.changed(step) as name:
        first, again = honest.verify(name), honest.verify(name)

    for document in (first, again):
        assert [check["id"] for check in document["checks"] if not check["ok"]] == ["outside"]
        assert document["exit_code"] == 1


@pytest.mark.parametrize("step", UNSEEN.values(), ids=UNSEEN)
def test_what_lies_around_the_packages_is_not_seen(honest: Honest, step: str) -> None:
    with honest.changed(step) as name:
        assert honest.verify(name)["ok"]


def _tar(files: dict[str, str]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text.encode()), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    stream.seek(0)
    return stream
