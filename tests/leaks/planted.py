"""A working environment, and around it credentials in all the places where people have them."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.command import Command
from tests.engines.index_server import IndexServer, build_wheel, serve_index
from tests.leaks.canaries import Canaries, outputs_of
from tests.leaks.proxy import Proxy, run_proxy
from tests.zoo.cases import SETUPTOOLS, git, wheel
from tests.zoo.environment import Venv, write

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

VARIABLES = (
    *("HF_TOKEN", "GH_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"),
    *("DB_PASSWORD", "SNAPENV_TOKEN", "UV_INDEX_OTHER_PASSWORD", "ROBOFLOW_API_KEY"),
)
INDEX = "the login of the index"


@dataclass
class Planted:
    """The environment at ``folder/working``, an otherwise empty home, and a folder to work in."""

    folder: Path
    server: IndexServer
    proxy: Proxy
    canaries: Canaries

    @property
    def venv(self) -> Venv:
        return Venv(self.folder / "working")

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def beside(self) -> Path:
        return self.folder / "project"

    def environment(self) -> dict[str, str]:
        """Return the variables; the first of the proxies is asked, for the public index."""
        plant = self.canaries.plant
        return {
            **{name: plant(f"the variable {name}") for name in VARIABLES},
            "HOME": str(self.home),
            "DOCKER_CONFIG": str(self.home / ".docker"),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "UV_CACHE_DIR": str(self.folder / "uv"),
            "YOLO_CONFIG_DIR": str(self.home / ".config" / "Ultralytics"),
            "HTTPS_PROXY": self.proxy.url,
            "http_proxy": f"http://me:{plant('another proxy')}@127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "PIP_EXTRA_INDEX_URL": self.server.index_as(f"reader:{plant(INDEX)}"),
            "SNAPENV_DEBUG": "",
        }

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the program as a user does, in the folder with the ``.env``."""
        return Command({**self.environment(), **variables}).run(*words, folder=self.beside)

    def capture(
        self, snapshot: Path, *words: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        where = ("--python", str(self.venv.python), "-o", str(snapshot))
        return self.run("capture", "--no-smoke", *where, *words, **variables)

    def escaped(self, done: subprocess.CompletedProcess[str], snapshot: Path) -> list[str]:
        """Say which canaries are in what a run has printed and written."""
        streams = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
        return self.canaries.found({**streams, **outputs_of(snapshot)})


@contextmanager
def plant(folder: Path) -> Iterator[Planted]:
    """Make the environment, with a package of an index behind a password, and plant."""
    canaries = Canaries()
    with serve_index() as server, run_proxy(f"me:{canaries.plant('the proxy')}") as proxy:
        planted = Planted(folder, server, proxy, canaries)
        _fill(planted)
        yield planted


def _fill(planted: Planted) -> None:
    server = planted.server
    name, content = build_wheel("inner_tool", "2.0")
    server.wheels[name] = content
    server.login = ("reader", planted.canaries.plant(INDEX))
    for place in (planted.home, planted.beside):
        place.mkdir()
    _install(planted)
    _plant_in_packages(planted)
    _plant_in_sources(planted)
    _plant_in_home(planted)


def _install(planted: Planted) -> None:
    venv = planted.venv.make()
    login = planted.server.index_as(f"reader:{planted.canaries.plant(INDEX)}")
    venv.install("--no-deps", "--default-index", login, "inner-tool==2.0")
    for name in ("from_a_url", "from_git", "from_conda"):
        venv.install("--no-deps", str(wheel(venv.beside, name, "1.0", {f"{name}.py": "X = 1\n"})))


def _plant_in_packages(planted: Planted) -> None:
    """Let packages look as pip and conda would have left them."""
    secret, site = planted.canaries.plant, planted.venv.site
    archive = {
        "url": f"https://me:{secret('direct_url.json, an archive')}@example.com/x.whl",
        "archive_info": {},
    }
    repository = {
        "url": f"https://{secret('direct_url.json, git')}@example.com/x.git",
        "vcs_info": {"vcs": "git", "commit_id": "0" * 40, "requested_revision": "main"},
    }
    for name, document in (("from_a_url", archive), ("from_git", repository)):
        (site / f"{name}-1.0.dist-info" / "direct_url.json").write_text(json.dumps(document))
    info = site / "from_conda-1.0.dist-info"
    (info / "direct_url.json").unlink()
    (info / "INSTALLER").write_text("conda")
    channel = f"https://example.com/t/{secret('the channel of conda')}/main"
    files = [str(path.relative_to(planted.venv.folder)) for path in info.iterdir()]
    record = {"files": files, "channel": channel, "url": f"{channel}/from_conda-1.0-py_0.conda"}
    write(planted.venv.folder, {"conda-meta/from_conda-1.0-py_0.json": json.dumps(record)})


def _plant_in_sources(planted: Planted) -> None:
    """Install an editable tree; beside what can be imported, it holds what people leave there."""
    secret = planted.canaries.plant
    output = [{"output_type": "stream", "text": [f"token: {secret('the output of a notebook')}\n"]}]
    notebook = {"cells": [{"cell_type": "code", "source": [], "outputs": output}]}
    tree = write(
        planted.beside / "tree",
        {
            "pyproject.toml": SETUPTOOLS,
            "src/animal/__init__.py": "ANSWER = 42\n",
            "notebooks/try.ipynb": json.dumps(notebook),
            ".env": f"OUR_TOKEN={secret('.env of the tree')}\n",
            "pip.conf": f"[global]\nindex-url = https://me:{secret('pip.conf of the tree')}@b/\n",
        },
    )
    git(tree, "init", "--quiet")
    git(tree, "remote", "add", "origin", f"https://me:{secret('the git remote')}@example.com/x.git")
    planted.venv.install("--no-deps", "--editable", str(tree))


def _plant_in_home(planted: Planted) -> None:
    secret = planted.canaries.plant
    login = base64.b64encode(f"me:{secret('docker login')}".encode()).decode()
    header = base64.b64encode(f"me:{secret('the header of git')}".encode()).decode()
    kind = "RSA PRIVATE KEY"
    key = base64.b64encode((secret("an ssh key") * 30).encode()).decode()
    lines = "\n".join(key[start : start + 64] for start in range(0, len(key), 64))
    write(
        planted.home,
        {
            ".netrc": f"machine b.example.com login me password {secret('.netrc')}\n"
            f"machine api.example.com\n  login user\n  password {secret('.netrc, for wandb')}\n",
            ".config/pip/pip.conf": "[global]\n"
            f"extra-index-url = https://me:{secret('pip.conf')}@b.example.com/simple\n",
            ".config/uv/uv.toml": f'publish-url = "https://me:{secret("uv.toml")}@b.example.com/"\n',
            ".gitconfig": f'[url "https://me:{secret("insteadOf")}@example.com/"]\ninsteadOf=x:\n'
            f"[http]\nextraheader = AUTHORIZATION: basic {header}\n",
            ".git-credentials": f"https://me:{secret('.git-credentials')}@example.com\n",
            ".docker/config.json": json.dumps({"auths": {"example.com": {"auth": login}}}),
            ".cache/huggingface/token": secret("the token of Hugging Face"),
            ".config/Ultralytics/settings.json": json.dumps(
                {
                    "settings_version": "0.0.6",
                    "api_key": secret("the settings of ultralytics"),
                    "openai_api_key": secret("the settings of ultralytics, OpenAI"),
                    "wandb": True,
                }
            ),
            ".aws/credentials": f"[default]\naws_secret_access_key = {secret('AWS')}\n",
            ".pypirc": f"[pypi]\nusername = __token__\npassword = {secret('.pypirc')}\n",
            ".npmrc": f"//example.com/:_authToken={secret('.npmrc')}\n",
            ".condarc": f"channels:\n  - https://me:{secret('.condarc')}@example.com/main\n",
            ".kaggle/kaggle.json": json.dumps({"username": "me", "key": secret("Kaggle")}),
            ".ssh/id_rsa": f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n",
        },
    )
    write(planted.beside, {".env": f"DB_PASSWORD={secret('.env')}\n"})
