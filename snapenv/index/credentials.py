"""Which login an address is asked with. Logins are used here, on this machine, never written.

They are looked for as pip, uv and conda do: in the addresses of configured indexes and channels,
in uv's variables, in the stores of uv and rattler, in netrc; and, once a host has refused, in a
keyring.
"""

from __future__ import annotations

import netrc
import os
import re
import shutil
import subprocess  # noqa: TID251 - it asks the person who runs snapenv, in no target
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from snapenv.index.address import Index, Login, shared_path
from snapenv.index.conda_channels import with_token
from snapenv.network.address import realm
from snapenv.places import expanded, home, is_file
from snapenv.secrets.model import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.index.configuration import Configuration

_NETRC_PASSWORD = re.compile(r"\bpassword\s+\"?([^\s\"]+)")
_USER_INFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^\s/?#\"'<>]+)@([^\s/?#@\"'<>]+)")
_UV_PASSWORD = re.compile(r"UV_(INDEX_.+_PASSWORD|PUBLISH_(PASSWORD|TOKEN))")
_TOKEN_LENGTH = 20  # a user name of this length, without a password, is a token
_PATIENCE_S = 60.0  # for a keyring, which may be waiting for a person who unlocks it


@dataclass(frozen=True, kw_only=True, slots=True)
class Netrc:
    """Logins by host. ``default`` is what any other host may be told that asks for one."""

    logins: Mapping[str, Login] = field(default_factory=dict)
    default: Login | None = None
    words: tuple[str, ...] = field(default=(), repr=False)  # that follow "password" in the text


class Credentials:
    """The logins of this machine; many may ask at once."""

    def __init__(self, configuration: Configuration, netrc: Netrc) -> None:
        self._configuration = configuration
        self._netrc = netrc
        self._lock = Lock()
        self._answered = dict[tuple[str, str, int | None], Login | None]()  # by a keyring

    def known(self, url: str) -> Login | None:
        """Return the login to send with a first request, if there is one."""
        if login := self._answered.get(realm(url)):
            return login
        indexes = self._indexes(url)
        whole = (index.login for index in indexes if index.login and index.login.password)
        users = (index.login for index in indexes if index.login)
        return next(whole, self._netrc.logins.get(urlsplit(url).hostname or "")) or next(
            users, None
        )

    def login_after_refusal(self, url: str, *, index: str | None = None) -> Login | None:
        """Return another login after a host has refused: a keyring is asked, once for each host."""
        with self._lock:
            if realm(url) not in self._answered:
                self._answered[realm(url)] = self._ask(url, index) or self._netrc.default
            return self._answered[realm(url)]

    def is_known(self, url: str) -> bool:
        """Return whether there is a login for an address, or a user whom a keyring may know."""
        return self.known(url) is not None or any(
            index.always or index.token for index in self._indexes(url)
        )

    def with_token(self, url: str) -> str:
        """Return an address with the token of its conda channel, where there is one."""
        tokens = (index.token for index in self._indexes(url) if index.token)
        return next((with_token(url, token) for token in tokens), url)

    def variables(self) -> dict[str, str]:
        """Return what uv must be told; it is let ask a keyring where a password is missing."""
        configuration = self._configuration
        chosen = [url for url in (configuration.pip_default, *configuration.pip_extra) if url]
        logins = [self.known(url) for url in chosen]
        lacks = any(login is None or login.password is None for login in logins)
        asks = configuration.asks_keyring
        return configuration.variables(keyring=has_keyring() and (lacks if asks is None else asks))

    def secrets(self) -> tuple[Secret, ...]:
        """List each credential that was found, in each form in which it may turn up."""
        known = dict[str, str]()
        for value, what in self._values():
            if value:
                known.setdefault(value, what)
        return tuple(Secret(value=value, what=what) for value, what in known.items())

    def _indexes(self, url: str) -> list[Index]:
        """List what is configured for the host of an address, the nearest to its path first."""
        serving = [index for index in self._configuration.indexes if _serves(index.address, url)]
        return sorted(serving, key=lambda index: -shared_path(index.address, url))

    def _ask(self, url: str, index: str | None) -> Login | None:
        if self._configuration.asks_keyring is False:
            return None
        indexes = self._indexes(url)
        user = next((configured.login.user for configured in indexes if configured.login), None)
        host = urlsplit(url).netloc.rpartition("@")[2]
        named = [index] if index and realm(index) == realm(url) else []
        services = (*(configured.address for configured in indexes), *named, host)
        answers = (ask_keyring(service, user) for service in dict.fromkeys(services))
        return next((answer for answer in answers if answer), None)

    def _values(self) -> Iterator[tuple[str, str]]:
        texts = self._configuration.texts
        of_variables = {
            name: value
            for name, value in texts.environment.items()
            if name.startswith(("PIP_", "UV_"))
        }
        named = [(file.source, file.text) for file in (*texts.pip, *texts.uv)]
        for source, text in (*named, *of_variables.items()):
            for user_info, host in _USER_INFO.findall(text):
                yield from _of_user_info(user_info, f"{host} in {source}")
        for name, value in of_variables.items():
            if _UV_PASSWORD.fullmatch(name):
                yield from _forms(Login(user="", password=value), name)
        for index in self._configuration.indexes:
            where = f"{urlsplit(index.address).netloc} in {index.source}"
            if index.login:
                yield from _forms(index.login, where)
            if index.token:
                yield index.token, f"the token of {where}"
        yield from self._values_of_hosts()

    def _values_of_hosts(self) -> Iterator[tuple[str, str]]:
        for host, login in self._netrc.logins.items():
            yield from _forms(login, f"{host} in netrc")
        if self._netrc.default:
            yield from _forms(self._netrc.default, "any host in netrc")
        for word in self._netrc.words:
            yield word, "a password in netrc"
        for (_, host, _), answer in self._answered.items():
            if answer:
                yield from _forms(answer, f"{host} in the keyring")


def _serves(address: str, url: str) -> bool:
    """Return whether an address is of the host of another, or of hosts below ``*.``, with its."""
    if "://*." in address:
        above = f".{address.partition('://*.')[2]}"
        return url.startswith(address.partition("*")[0]) and (
            f".{urlsplit(url).hostname}".endswith(above)
        )
    return realm(address) == realm(url)


def _of_user_info(user_info: str, where: str) -> Iterator[tuple[str, str]]:
    """Yield the forms of a login as it is written into an address."""
    user, colon, password = user_info.partition(":")
    login = Login(user=unquote(user), password=unquote(password) if colon else None)
    yield from _forms(login, where)
    if password:
        yield password, f"the password of {where}"
        yield user_info, f"the login of {where}"


def _forms(login: Login, where: str) -> Iterator[tuple[str, str]]:
    """Yield a password as it is, as an address holds it, and as a request's header does.

    The header's form comes without its padding, and so is found with it and without. A user
    without a password is a credential if it is as long as a token, and is no mail address.
    """
    user, password = login.user, login.password
    if not password:
        if len(user) >= _TOKEN_LENGTH and "@" not in user:
            yield user, f"the token of {where}"
            yield _quoted(user), f"the token of {where}"
            yield _header(user, ""), f"the token of {where}, as a header holds it"
        return
    yield password, f"the password of {where}"
    yield _quoted(password), f"the password of {where}"
    if user:
        yield _header(user, password), f"the login of {where}, as a header holds it"


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _header(user: str, password: str) -> str:
    both = f"{user}:{password}".encode(errors="surrogatepass")
    return b64encode(both).decode().rstrip("=")


def has_keyring() -> bool:
    """Return whether this machine has the ``keyring`` program, which pip and uv ask too.

    Source: https://github.com/jaraco/keyring#command-line-utility
    """
    return shutil.which("keyring") is not None


def ask_keyring(service: str, user: str | None) -> Login | None:
    """Ask for the password of a user, or for any login of a service.

    None where the program is not there, does not know, or does not answer within a minute.
    """
    words = ("get", service, user) if user else ("get", "--mode", "creds", service)
    output = _run(words)
    if output is None:
        return None
    lines = output.splitlines()
    if user:
        return Login(user=user, password=lines[0]) if lines and lines[0] else None
    return Login(user=lines[0], password=lines[1]) if len(lines) > 1 else None


def _run(words: tuple[str, ...]) -> str | None:
    program = shutil.which("keyring")
    if program is None:
        return None
    try:
        done = subprocess.run(
            (program, *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            timeout=_PATIENCE_S,
        )
        return done.stdout.decode() if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None


def read_netrc(environment: Mapping[str, str]) -> Netrc:
    """Read the netrc file of this machine; without one, or with a broken one, no host is known."""
    own = home(environment)
    named = environment.get("NETRC")
    paths = (expanded(named),) if named else (own / ".netrc", own / "_netrc")
    path = next((path for path in paths if is_file(path)), None)
    if path is None:
        return Netrc()
    words: tuple[str, ...] = ()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        words = tuple(_NETRC_PASSWORD.findall(text))
        hosts = netrc.netrc(str(path)).hosts
    except (netrc.NetrcParseError, OSError, ValueError):
        return Netrc(words=words)
    logins = {
        host: Login(user=login or "", password=password)
        for host, (login, _, password) in hosts.items()
    }
    default = logins.pop("default", None)
    return Netrc(logins=logins, default=default, words=words)
