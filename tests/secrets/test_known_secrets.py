from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from snapenv.secrets.known_secrets import known_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CANARY = "w0mbat-Stew-4711"
AUTH = base64.b64encode(f"me:{CANARY}".encode()).decode()
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"

FILES = {
    "netrc": (".netrc", f"machine example.com\n  login me\n  password {CANARY}\n"),
    "netrc, after a broken line": (
        ".netrc",
        f"machine\nfoo bar\nmachine a login b password {CANARY}",
    ),
    "netrc, by default": (".netrc", f"default login me password {CANARY}\n"),
    "pip": (
        ".config/pip/pip.conf",
        f"[global]\nindex-url = https://me:{CANARY}@example.com/simple\n",
    ),
    "pip, of old": (
        ".pip/pip.conf",
        f"[global]\nextra-index-url=https://a/ https://me:{CANARY}@b/\n",
    ),
    "uv": (".config/uv/uv.toml", f'[[index]]\nurl = "https://me:{CANARY}@example.com/simple"\n'),
    "uv, logged in": (".local/share/uv/credentials/credentials.toml", f'password = "{CANARY}"\n'),
    "git, stored": (".git-credentials", f"https://me:{CANARY}@example.com\n"),
    "git, insteadOf": (
        ".gitconfig",
        f'[url "https://me:{CANARY}@example.com/"]\ninsteadOf=x:\n',
    ),
    "git, header": (".gitconfig", f"[http]\n\textraheader = AUTHORIZATION: basic {AUTH}\n"),
    "docker": (".docker/config.json", json.dumps({"auths": {"example.com": {"auth": AUTH}}})),
    "docker, identity": (
        ".docker/config.json",
        json.dumps({"auths": {"example.com": {"identitytoken": CANARY}}}),
    ),
    "gh": (".config/gh/hosts.yml", f"example.com:\n    user: me\n    oauth_token: {CANARY}\n"),
    "Hugging Face": (".cache/huggingface/token", CANARY),
    "Hugging Face, of old": (".huggingface/token", f"{CANARY}\n"),
    "Hugging Face, named": (".cache/huggingface/stored_tokens", f"[mine]\nhf_token = {CANARY}\n"),
    "AWS": (
        ".aws/credentials",
        f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {CANARY}\n",
    ),
    "pypirc": (".pypirc", f"[pypi]\nusername = __token__\npassword = {CANARY}\n"),
    "npm": (".npmrc", f"//example.com/:_authToken={CANARY}\n"),
    "conda": (".condarc", f"channels:\n  - https://me:{CANARY}@example.com/t/main\n"),
    "Kaggle": (".kaggle/kaggle.json", json.dumps({"username": "me", "key": HEX})),
    "ultralytics": (
        ".config/Ultralytics/settings.json",
        json.dumps({"settings_version": "0.0.6", "uuid": "0" * 64, "api_key": CANARY}),
    ),
    "ultralytics, broken": (".config/Ultralytics/settings.json", f'{{"api_key": "{CANARY}",\n'),
    "Comet": (".comet.config", f"[comet]\napi_key = {CANARY}\n"),
    "ClearML": ("clearml.conf", f'api {{ credentials {{\n  "secret_key" = "{CANARY}"\n}} }}\n'),
    "gcloud": (
        ".config/gcloud/application_default_credentials.json",
        json.dumps({"client_id": "x", "refresh_token": CANARY}),
    ),
    "bytes before": (".pypirc", f"\0\ufffd\npassword: {CANARY}\n"),
}

BESIDE = {
    ".env": f"export DB_PASSWORD='{CANARY}' # ours\n",
    ".git/config": f'[remote "origin"]\n\turl = https://me:{CANARY}@example.com/x.git\n',
    "uv.toml": f'index-url = "https://me:{CANARY}@example.com/"\n',
    "pyproject.toml": f'[[tool.uv.index]]\nurl = "https://me:{CANARY}@example.com/"\n',
}

VARIABLES = (
    ("HF_TOKEN", CANARY),
    ("GH_TOKEN", CANARY),
    ("WANDB_API_KEY", CANARY),
    ("AWS_SECRET_ACCESS_KEY", CANARY),
    ("DB_PASSWORD", CANARY),
    ("MYSQL_PWD", CANARY),
    ("KEYRING_PASSPHRASE", CANARY),
    ("OUR_CREDENTIAL", CANARY),
    ("SIGNING_KEY", CANARY),
    ("UV_INDEX_OURS_PASSWORD", CANARY),
    ("SNAPENV_TOKEN", CANARY),
    ("https_proxy", f"http://me:{CANARY}@192.0.2.1:3128"),
    ("PIP_EXTRA_INDEX_URL", f"https://example.com/ https://me:{CANARY}@example.com/simple"),
    ("DATABASE_URL", f"postgresql://me:{CANARY}@example.com/x"),
)

NO_SECRETS = {
    "PWD": "/work/secret-project",
    "SSH_AUTH_SOCK": "/tmp/agent.1",
    "GPG_KEY": "A035C8C19219BA821ECEA86B64E628F8D684696D",
    "TOKENIZERS_PARALLELISM": "false-but-longer",
    "GOOGLE_CREDENTIALS_FILE": "/etc/credentials.json",
    "KEY_BINDINGS": "emacs",
    "PUBLIC_KEY": "AAAAC3NzaC1lZDI1NTE5AAAAIJ1",
    "http_proxy": "http://192.0.2.1:3128",
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def values(home: Path, environ: Mapping[str, str] | None = None, *folders: Path) -> dict[str, str]:
    seen = known_secrets(environ or {}, home, folders=folders)
    return {secret.value: secret.what for secret in seen}


@pytest.mark.parametrize("name", FILES)
def test_a_credential_in_its_usual_file_is_seen(name: str, tmp_path: Path) -> None:
    where, text = FILES[name]
    write(tmp_path, where, text)

    seen = values(tmp_path)

    value = HEX if name == "Kaggle" else CANARY
    assert seen[value].endswith(f"in ~/{where}")
    assert value not in seen[value]


@pytest.mark.parametrize("where", BESIDE)
def test_a_credential_beside_is_seen(where: str, tmp_path: Path) -> None:
    write(tmp_path / "project", where, BESIDE[where])

    assert CANARY in values(tmp_path, {}, tmp_path / "project")


@pytest.mark.parametrize(("name", "value"), VARIABLES)
def test_a_credential_in_a_variable_is_seen(name: str, value: str, tmp_path: Path) -> None:
    assert values(tmp_path, {name: value})[CANARY] == f"the variable {name}"


@pytest.mark.parametrize("name", NO_SECRETS)
def test_a_variable_of_another_kind_is_no_secret(name: str, tmp_path: Path) -> None:
    assert values(tmp_path, {name: NO_SECRETS[name]}) == {}


def test_a_file_that_a_variable_moves_is_read(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/pip.conf", f"[install]\nindex-url=https://me:{CANARY}@b/\n")
    write(tmp_path, "docker/config.json", json.dumps({"auth": "x", "registrytoken": CANARY + "2"}))
    environ = {
        "PIP_CONFIG_FILE": str(tmp_path / "elsewhere/pip.conf"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }

    assert {CANARY, CANARY + "2"} <= values(tmp_path / "home", environ).keys()


def test_a_password_in_a_url_is_seen_as_written_and_as_meant(tmp_path: Path) -> None:
    seen = values(tmp_path, {"PIP_INDEX_URL": "https://me:a%2Fb%40canary@example.com/"})

    assert seen.keys() == {"a%2Fb%40canary", "a/b@canary"}


def test_a_token_that_stands_for_a_user_is_seen_and_a_user_is_not(tmp_path: Path) -> None:
    token = "0123456789abcdef0123"
    text = f"https://{token}@example.com\nhttps://somebody@example.com\nhttps://{token}1:x-oauth-basic@b\n"
    write(tmp_path, ".git-credentials", text)

    assert values(tmp_path).keys() == {token, token + "1", "x-oauth-basic"}


def test_what_git_finds_in_a_worktree_is_seen(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
        subprocess.run(
            ["git", *who, *words], cwd=tmp_path / "main", check=True, capture_output=True
        )

    (tmp_path / "main").mkdir()
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "One")
    git("remote", "add", "origin", f"https://me:{CANARY}@example.com/x.git")
    git("worktree", "add", "--quiet", str(tmp_path / "other"))
    (tmp_path / "other" / "deep").mkdir()

    assert CANARY in values(tmp_path / "home", {}, tmp_path / "other" / "deep")


@pytest.mark.usefixtures("ssh_keygen")
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_private_key_is_known_by_a_line_that_no_other_key_has(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    for name in ("one", "two"):
        words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "c", "-f", str(folder / name)]
        subprocess.run(words, check=True)
    one, two = ((folder / name).read_text() for name in ("one", "two"))

    lines = [value for value in values(tmp_path) if value in one]

    assert len(lines) == 1
    assert lines[0] not in two
    assert len(lines[0]) >= 32
    assert not any(lines[0] in (folder / f"{name}.pub").read_text() for name in ("one", "two"))


def test_what_cannot_be_read_is_no_failure(tmp_path: Path) -> None:
    write(tmp_path, ".netrc", f"machine a password {CANARY}\n")
    os.mkfifo(tmp_path / ".pypirc")
    (tmp_path / ".npmrc").symlink_to(".npmrc")
    (tmp_path / ".docker/config.json").mkdir(parents=True)
    write(tmp_path, ".kaggle/kaggle.json", "[" * 100_000)
    (tmp_path / ".condarc").write_bytes(os.urandom(5000))
    with write(tmp_path, ".aws/credentials", "a").open("r+b") as file:
        file.truncate(1 << 40)
    environ = {"NETRC": "nul\0l", "HF_HOME": "x" * 5000, "VIRTUAL_ENV": "", "API_KEY": "/" * 5000}

    assert CANARY in values(tmp_path, environ, tmp_path / "gone")


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\n" * 30_000,
        "machine a " + "login b " * 100_000,
        "://" * 300_000,
        "a:" * 400_000,
        "authorization: basic " * 40_000,
        " " * 900_000,
    ],
)
def test_a_hostile_file_takes_no_long_time(text: str, tmp_path: Path) -> None:
    import time

    for where in (".netrc", ".pypirc", ".docker/config.json", ".ssh/key"):
        write(tmp_path, where, text)
    began = time.process_time()

    values(tmp_path)

    assert time.process_time() - began < 60


def test_each_value_is_given_once(tmp_path: Path) -> None:
    write(tmp_path, ".netrc", f"machine a login b password {CANARY}\n")

    seen = known_secrets({"A_TOKEN": CANARY, "B_TOKEN": CANARY}, tmp_path, folders=())

    assert [(secret.value, secret.what) for secret in seen] == [(CANARY, "the variable A_TOKEN")]


def test_the_current_folder_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ".env", f"OUR_SECRET={CANARY}\n")
    monkeypatch.chdir(tmp_path)

    seen = known_secrets({}, tmp_path / "home")

    assert CANARY in {secret.value for secret in seen}
