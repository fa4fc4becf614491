"""The credentials that this machine uses, so that none of them leaves it.

What is read stays in memory. A file that is not there, is no plain file, cannot be read or is
broken holds nothing that we know of; of a large one the first MiB is read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec import Struct

from snapenv.places import exists, expanded
from snapenv.secrets.model import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Named = tuple[str, str]  # a value, and what it is: ("abc…", "the password of example.com")
Reader = Callable[[str], Iterator[Named]]

_MOST_BYTES = 1 << 20
_MOST_FILES = 64  # of ~/.ssh
_TOKEN_LENGTH = 16  # characters, from which a user name without a password is a token

_URL = re.compile(r"://([^\s/?#@:\"'<>]*)(?::([^\s/?#@\"'<>]*))?@([^\s/?#\"'<>:]+)")
_NETRC = re.compile(
    r"\b(?:machine\s+(?P<host>\S+)|default)(?P<rest>(?:\s+(?:login|account|password)\s+\S+)+)"
)
_NETRC_PASSWORD = re.compile(r"\bpassword\s+(\S+)")
_ASSIGNMENT = re.compile(
    r"""(?:^|[{,])[ \t]*(?:(?:export|set)[ \t]+|//[^\s:]{1,200}:)?"""
    r"""["']?([A-Za-z0-9_./@-]{1,200})["']?[ \t]*[:=]+[ \t]*"""
    r"""(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"'{\[#;][^\s;#]*))""",
    re.MULTILINE,
)
_HEADER = re.compile(r"authorization:\s*(?:basic|bearer|token)\s+(\S+)", re.IGNORECASE)
_BODY_OF_KEY = re.compile(r"PRIVATE KEY(?: BLOCK)?-----((?:[^-]|-(?!----)){64,16384})-----END")

_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_KEY_LINE = 32  # characters

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:token|secret|password|passwd|passphrase|pass|pwd|apikey|api_key|credentials?|pat|"
    r"auth|auth_?token|identitytoken|registrytoken|dsn|access_key|account_key)(?:_|$)"
)
_KEY_NAME = re.compile(r"(?:^|_)key(?:_|$)")
_NO_SECRET_NAME = re.compile(
    r"^(?:pwd|oldpwd|gpg_key)$|public|(?:_|^)(?:file|path|sock|dir|type|name|url|uri|endpoint|"
    r"method|mode|enabled?|timeout|length|limit|expiry|expires?(?:_in)?|id)$"
)
_LOOKS_LIKE_A_KEY = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/_=.~:-]{16,}")


def known_secrets(
    environ: Mapping[str, str], home: Path, *, folders: Iterable[Path] | None = None
) -> tuple[Secret, ...]:
    """Return what the variables, the files below ``home`` and ``folders`` hold, each value once.

    Of a folder its ``.env``, its configuration of pip and uv, and that of its git repository are
    read; None is the current one. Nothing is raised.
    """
    named: dict[str, str] = {}
    for value, what in _all(environ, home, folders):
        if value and value not in named:
            named[value] = what
    return tuple(Secret(value=value, what=what) for value, what in named.items())


def _all(environ: Mapping[str, str], home: Path, folders: Iterable[Path] | None) -> Iterator[Named]:
    yield from of_variables(environ)
    for path, reader in _files(environ, home):
        yield from _in_file(path, reader, home)
    yield from _of_ssh(home)
    for folder in _here() if folders is None else folders:
        for name in (".env", "pip.conf", "uv.toml", "pyproject.toml", ".netrc", ".npmrc"):
            yield from _in_file(folder / name, of_text, home)
        for config in _git_configs(folder):
            yield from _in_file(config, of_text, home)


def of_variables(environ: Mapping[str, str]) -> Iterator[Named]:
    """Yield the values of variables that their names call secret, and user info in URLs."""
    for name, value in environ.items():
        what = f"the variable {name}"
        for text, _ in of_urls(value):
            yield text, what
        if _is_secret(name, value) and not _is_path(value):
            yield value, what


def of_text(text: str) -> Iterator[Named]:
    """Read a text of lines such as ``name = value``, and the URLs and headers in it."""
    yield from of_urls(text)
    for match in _HEADER.finditer(text):
        yield from ((value, "an Authorization header") for value in _logins(match[1]))
    for match in _ASSIGNMENT.finditer(text):
        name, value = match[1], match[2] or match[3] or match[4]
        if _is_secret(name, value) and "://" not in value:
            yield from ((secret, name.strip("_")) for secret in _plain_or_encoded(name, value))


def of_urls(text: str) -> Iterator[Named]:
    """Yield the passwords in URLs, and tokens that stand for a user, as written and decoded."""
    for user, password, host in _URL.findall(text):
        what = f"the password of {host}"
        is_token = len(user) >= _TOKEN_LENGTH and password in {"", "x-oauth-basic"}
        for value in (password, user if is_token else ""):
            yield from ((form, what) for form in dict.fromkeys((value, unquote(value))) if form)


def of_netrc(text: str) -> Iterator[Named]:
    """Read the passwords of a .netrc, also where other lines of it are broken."""
    for entry in _NETRC.finditer(text):
        for password in _NETRC_PASSWORD.findall(entry["rest"]):
            yield password.strip("\"'"), f"the password of {entry['host'] or 'any host'}"


def of_json(text: str) -> Iterator[Named]:
    """Read a JSON document, or as lines what is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        yield from of_text(text)
        return
    yield from _leaves(document)


def _leaves(document: object) -> Iterator[Named]:
    waiting = [("", document)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(str(key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [(name, below) for below in value]
        elif isinstance(value, str):
            if _is_secret(name, value):
                yield from ((secret, name) for secret in _plain_or_encoded(name, value))
            yield from of_urls(value)
            yield from _of_key(value)


def _of_whole(text: str) -> Iterator[Named]:
    yield text.strip(), "the token"


def _of_key(text: str) -> Iterator[Named]:
    """Yield a line of each private key that no other file has but a copy of it."""
    for body in _BODY_OF_KEY.findall(text):
        lines = [line for line in body.replace("\\n", "\n").split() if _BASE64.fullmatch(line)]
        if lines:  # the last that is long enough: the first ones say only of what kind a key is
            is_long = len(lines[-1]) >= _KEY_LINE
            yield lines[-1] if is_long else lines[-2:][0], "the private key"


class _SecretFile(Struct, frozen=True, kw_only=True):
    """A file's usual place below the home folder, and the variable that moves it.

    The variable names the file itself, or a folder with ``name`` in it.
    """

    usual: str
    reader: Reader
    variable: str | None = None
    name: str = ""


_SECRET_FILES = (
    _SecretFile(usual=".netrc", reader=of_netrc, variable="NETRC"),
    _SecretFile(usual="_netrc", reader=of_netrc),
    _SecretFile(usual=".config/pip/pip.conf", reader=of_text, variable="PIP_CONFIG_FILE"),
    _SecretFile(
        usual=".config/pip/pip.conf",
        reader=of_text,
        variable="XDG_CONFIG_HOME",
        name="pip/pip.conf",
    ),
    _SecretFile(usual=".pip/pip.conf", reader=of_text, variable="VIRTUAL_ENV", name="pip.conf"),
    _SecretFile(usual=".config/uv/uv.toml", reader=of_text, variable="UV_CONFIG_FILE"),
    _SecretFile(
        usual=".config/uv/uv.toml", reader=of_text, variable="XDG_CONFIG_HOME", name="uv/uv.toml"
    ),
    _SecretFile(
        usual=".local/share/uv/credentials/credentials.toml",
        reader=of_text,
        variable="XDG_DATA_HOME",
        name="uv/credentials/credentials.toml",
    ),
    _SecretFile(usual=".git-credentials", reader=of_text),
    _SecretFile(
        usual=".config/git/credentials",
        reader=of_text,
        variable="XDG_CONFIG_HOME",
        name="git/credentials",
    ),
    _SecretFile(usual=".gitconfig", reader=of_text, variable="GIT_CONFIG_GLOBAL"),
    _SecretFile(
        usual=".config/git/config", reader=of_text, variable="XDG_CONFIG_HOME", name="git/config"
    ),
    _SecretFile(
        usual=".docker/config.json", reader=of_json, variable="DOCKER_CONFIG", name="config.json"
    ),
    _SecretFile(
        usual=".config/gh/hosts.yml", reader=of_text, variable="GH_CONFIG_DIR", name="hosts.yml"
    ),
    _SecretFile(usual=".huggingface/token", reader=_of_whole, variable="HF_TOKEN_PATH"),
    _SecretFile(
        usual=".cache/huggingface/token", reader=_of_whole, variable="HF_HOME", name="token"
    ),
    _SecretFile(
        usual=".cache/huggingface/stored_tokens",
        reader=of_text,
        variable="HF_HOME",
        name="stored_tokens",
    ),
    _SecretFile(usual=".aws/credentials", reader=of_text, variable="AWS_SHARED_CREDENTIALS_FILE"),
    _SecretFile(usual=".aws/config", reader=of_text, variable="AWS_CONFIG_FILE"),
    _SecretFile(usual=".pypirc", reader=of_text),
    _SecretFile(usual=".npmrc", reader=of_text, variable="NPM_CONFIG_USERCONFIG"),
    _SecretFile(usual=".condarc", reader=of_text, variable="CONDARC"),
    _SecretFile(
        usual=".kaggle/kaggle.json",
        reader=of_json,
        variable="KAGGLE_CONFIG_DIR",
        name="kaggle.json",
    ),
    _SecretFile(
        usual=".config/Ultralytics/settings.json",
        reader=of_json,
        variable="YOLO_CONFIG_DIR",
        name="settings.json",
    ),
    _SecretFile(usual=".config/roboflow/config.json", reader=of_json),
    _SecretFile(usual=".config/gcloud/application_default_credentials.json", reader=of_json),
    _SecretFile(usual=".comet.config", reader=of_text),
    _SecretFile(usual="clearml.conf", reader=of_text, variable="CLEARML_CONFIG_FILE"),
)
_OF_THE_SYSTEM = ("/etc/pip.conf", "/etc/uv/uv.toml", "/etc/gitconfig", "/etc/conda/.condarc")


def _files(environ: Mapping[str, str], home: Path) -> Iterator[tuple[Path, Reader]]:
    for place in _SECRET_FILES:
        yield home / place.usual, place.reader
        moved = environ.get(place.variable or "")
        if moved:
            yield Path(moved, place.name), place.reader
    for path in _OF_THE_SYSTEM:
        yield Path(path), of_text


def _in_file(path: Path, reader: Reader, home: Path) -> Iterator[Named]:
    shown = f"~/{path.relative_to(home)}" if path.is_relative_to(home) else path.name
    for value, what in reader(_read(path)):
        yield value, f"{what} in {shown}"


def _of_ssh(home: Path) -> Iterator[Named]:
    for path in _list(home / ".ssh")[:_MOST_FILES]:
        if path.suffix != ".pub":
            yield from _in_file(path, _of_key, home)


def _git_configs(folder: Path) -> Iterator[Path]:
    """Yield the configuration of the repository that a folder lies in, if it does."""
    for above in (folder, *folder.parents):
        git = above / ".git"
        pointed = re.match(r"gitdir: (.+)", _read(git))
        if pointed:
            git = above / pointed[1].strip()
            yield git / (_read(git / "commondir").strip() or ".") / "config"
        yield git / "config"


def _is_secret(name: str, value: str) -> bool:
    """Tell by its name, in any spelling, and for a mere ``key`` by its look, what is secret."""
    plain = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().replace("-", "_").replace(".", "_")
    if _NO_SECRET_NAME.search(plain) or value.lower() in {"true", "false", "none", "null"}:
        return False
    if _SECRET_NAME.search(plain):
        return True
    return _KEY_NAME.search(plain) is not None and bool(_LOOKS_LIKE_A_KEY.fullmatch(value))


def _plain_or_encoded(name: str, value: str) -> Iterator[str]:
    """Yield a value, and of what docker and npm call ``auth`` the password within."""
    if name.lower().strip("_") == "auth":
        yield from _logins(value)
    else:
        yield value


def _logins(value: str) -> Iterator[str]:
    """Yield a value, and the password if it is the base64 of ``user:password``."""
    yield value
    with contextlib.suppress(ValueError):  # also of base64
        login = base64.b64decode(value + "==").decode(errors="replace")
        _, _, password = login.partition(":")
        if password.isprintable():
            yield password


def _is_path(value: str) -> bool:
    try:
        return value.startswith(("/", "~", ".")) and exists(expanded(value))
    except ValueError:
        return False


def _here() -> tuple[Path, ...]:
    try:
        return (Path.cwd(),)
    except OSError:
        return ()


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """Read the first MiB of a plain file; of anything else nothing, without opening it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return ""
