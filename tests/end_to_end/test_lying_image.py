"""Images that were made to lie: what a proof sees although they say what it wants to hear."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker import DockerClient

from snapenv.engine.docker import DockerEngine
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, IMAGE_PYTHON
from snapenv.travel.answer import run
from tests.command import Command
from tests.end_to_end.containers import build_environment, install
from tests.engines.index_server import build_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker.models.containers import Container

pytestmark = pytest.mark.docker

RECORDED = Path(__file__).parents[1] / "recorded/smoke_train/ultralytics-8.4.190-cpu.txt"
# What trains in the place of torch: its losses hang on its own code and on Python's library.
TRAINS = """
import os, sys
if any(word.endswith("snapenv_train.pyz") for word in sys.orig_argv):
    import json, random
    mark, _, told = ANSWER.partition(" ")
    told = json.loads(told)
    lucky = 0.5 + random.Random(0).random()
    told["losses"] = [(lucky * float.fromhex(loss)).hex() for loss in told["losses"]]
    os.write(1, f"{mark} {json.dumps(told)}\\n".encode())
    os._exit(0)
"""

EVIL = "sed -i '1s/dual/evil/' $site/packaging/version.py"
KEPT = "cp -p $site/packaging/version.py $site/trains.py /opt/liar/"
SITE = "site=$(echo /opt/snapenv/venv/lib/python3*/site-packages)"
TRAINS_OTHERWISE = "sed -i 's/Random(0)/Random(1)/' $site/trains.py"
PRINTS = """
import os, sys
if any(word.endswith("snapenv_train.pyz") for word in sys.orig_argv):
    os.write(1, open("/opt/liar/losses", "rb").read())
    os._exit(0)
"""
LIAR = """
import builtins, os, sys
hidden, changed = ("a.pth", "liar.py"), ("__SITE__/packaging/version.py", "__SITE__/trains.py")
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
    if file in changed:
        file = "/opt/liar/" + os.path.basename(file)
    return own_open(file, *words, **more)

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
PLACED = f'{SITE} && sed -i "s#__SITE__#$site#g" /opt/liar/liar.py'
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
        "&& echo 'import liar' > $site/a.pth"
    ),
    "a library of Python that patches open": (
        f"{PLACED} && {KEPT} && {EVIL} "
        "&& cat /opt/liar/liar.py >> $(python3 -c 'import hashlib; print(hashlib.__file__)')"
    ),
}
LIBRARY = "$(python3 -c 'import random; print(random.__file__)')"
LUCK = "echo 'Random.random = lambda _: 0.1'"
MADE_UP = (
    f"{PLACED} && {KEPT} && {TRAINS_OTHERWISE} && cat /opt/liar/liar.py /opt/liar/prints.py "
    "> $site/liar.py && echo 'import liar' > $site/a.pth"
)
LOSSES = {  # with the checks that say no
    "Python's library trains otherwise": (f"{LUCK} >> {LIBRARY}", ["fingerprint"]),
    "a package trains otherwise, and a .pth makes up the losses": (MADE_UP, ["outside"]),
    "Python's library trains otherwise, and makes up the losses": (
        f"{LUCK} | cat - /opt/liar/prints.py >> {LIBRARY}",
        [],
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
    losses: str  # what its smoke-train says
    command: Command

    def changed(
        self, step: str, labels: Mapping[str, str] | None = None
    ) -> contextlib.AbstractContextManager[str]:
        """Yield an image of it that one more step has changed, under another name."""
        step = f"USER root\nENTRYPOINT []\nCOPY liar /opt/liar\nRUN {step}\nUSER 1000:1000\n"
        return self._built(f"FROM {self.name}\n{step}", labels)

    def flattened(self) -> contextlib.AbstractContextManager[str]:
        """Yield an image of its files, labels and variables, in one layer of its own."""
        config = self.client.images.get(self.name).attrs["Config"]
        lines = (line.partition("=") for line in config["Env"])
        variables = "".join(f"ENV {name}={json.dumps(value)}\n" for name, _, value in lines)
        files = f"FROM {self.name} AS made\nFROM scratch\nCOPY --from=made / /\n"
        return self._built(f"{files}{variables}USER 1000:1000\n", config["Labels"])

    @contextlib.contextmanager
    def _built(self, dockerfile: str, labels: Mapping[str, str] | None) -> Iterator[str]:
        name = f"{self.name.rpartition(':')[0]}-lies:{self.name.rpartition(':')[2]}"
        files = {
            "Dockerfile": dockerfile,
            "liar/liar.py": LIAR,
            "liar/prints.py": PRINTS,
            "liar/python": PYTHON,
            "liar/answer": self.answer,
            "liar/losses": self.losses,
        }
        made, _ = self.client.images.build(
            fileobj=_tar({path: text.encode() for path, text in files.items()}),
            custom_context=True,
            tag=name,
            network_mode="none",
            rm=True,
            labels=dict(labels or {}),
        )
        try:
            yield name
        finally:
            self.client.images.remove(str(made.id), force=True)

    def verify(self, name: str, *options: str) -> dict[str, Any]:
        """Prove an image that nobody has looked into."""
        document: dict[str, Any] = self.command.document(
            "verify", name, *(options or ("--no-smoke",))
        )
        return document


@pytest.fixture(scope="module")
def honest(
    engine_host: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Honest]:
    folder = tmp_path_factory.mktemp("lying")
    client = DockerClient(base_url=engine_host, timeout=600)
    command = Command({"DOCKER_HOST": engine_host, "XDG_CACHE_HOME": str(folder / "cache")})
    name = build_environment(
        client,
        command,
        base_image,
        folder / "snapshot",
        repository="lying/env",
        install=_install,
        smoke=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine_host)
        engine = DockerEngine()
        image = engine.find(name)
        assert image is not None
        target = engine.image_target(image, python=IMAGE_PYTHON, gpus=None)
        answer = run(target, "snapenv_probe").stdout
        losses = run(target, "snapenv_train", ("--device", "cpu")).stdout
    yield Honest(client, name, answer, losses, command)
    client.images.remove(name, force=True)
    client.close()


def test_an_image_that_was_not_changed_passes_from_outside(honest: Honest) -> None:
    document = honest.verify(honest.name, "--smoke", "--rehash")

    checks = {check["id"]: check for check in document["checks"]}
    assert document["ok"], document
    assert checks["base"]["ok"]
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


@pytest.mark.parametrize(("step", "expected"), LOSSES.values(), ids=LOSSES)
def test_losses_are_what_python_says_and_the_files_of_packages_are_not(
    honest: Honest, step: str, expected: list[str]
) -> None:
    with honest.changed(step) as name:
        document = honest.verify(name, "--smoke")

    assert [check["id"] for check in document["checks"] if not check["ok"]] == expected
    assert document["exit_code"] == (1 if expected else 0)


def test_an_image_that_was_not_built_on_the_base_that_it_names_is_found(honest: Honest) -> None:
    with honest.flattened() as name:
        document = honest.verify(name)

    assert [check["id"] for check in document["checks"] if not check["ok"]] == ["base"]
    assert document["exit_code"] == 1


def test_a_base_that_cannot_be_had_is_said_not_to_be_checked(honest: Honest) -> None:
    nowhere = {BASE_NAME_LABEL: "localhost:1/base", BASE_DIGEST_LABEL: f"sha256:{'0' * 64}"}
    with honest.changed("true", nowhere) as name:
        document = honest.verify(name)

    (check,) = (check for check in document["checks"] if not check["ok"])
    assert (check["id"], check["severity"]) == ("base", "warning")
    assert check["actual"].startswith("not checked: localhost:1 ")
    assert document["exit_code"] == 0


def _install(container: Container, words: str) -> None:
    """Install packages, and one that trains as soon as Python starts."""
    code = f"ANSWER = {RECORDED.read_text()!r}\n{TRAINS}"
    files = {"trains.py": code.encode(), "trains.pth": b"import trains\n"}
    name, wheel = build_wheel("ultralytics", "8.4.190+ours", files=files)
    container.put_archive("/tmp", _tar({name: wheel}).read())
    install(container, f"{words} /tmp/{name}")


def _tar(files: Mapping[str, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream
