"""Tell whom a user has named that snapenv stops a run, or would: by a command or a webhook."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from snapenv.errors import SnapenvError
from snapenv.model.launch import StoppedBy

if TYPE_CHECKING:
    from snapenv.ports import Services

_PATIENCE_S = 60  # with a command
_WEB = ("http://", "https://")


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told; a webhook gets it as JSON, a command as SNAPENV_NOTICE."""

    text: str  # for people; Slack and Mattermost show what is called so
    event: Literal["warned", "stopped"]
    run: str
    by: StoppedBy
    reason: str
    ref: str
    project: str | None = None
    host: str
    checkpoint: str | None = None  # that the run can be continued from


def is_webhook(notify: str) -> bool:
    """Return whether somebody is told by the web, and not by a command."""
    return notify.startswith(_WEB)


def tell(notify: str, notice: Notice, services: Services, *, folder: str) -> str | None:
    """Tell it; a command runs in ``folder``. Return why it failed, without the address."""
    if is_webhook(notify):
        return _post(notify, notice)
    script = f"cd -- {shlex.quote(folder)} || exit\n{notify}\n"
    variables = {
        "SNAPENV_NOTICE": msgspec.json.encode(notice).decode(),
        "SNAPENV_NOTICE_TEXT": notice.text,
    }
    try:
        done = services.local(sys.executable).run(
            ("timeout", str(_PATIENCE_S), "sh", "-c", script), environment=variables
        )
    except SnapenvError as error:
        return error.message
    return f"the command exited with {done.exit_code}" if done.exit_code else None


def _post(url: str, notice: Notice) -> str | None:
    from snapenv.network.session import RequestError
    from snapenv.network.webhook import post

    try:
        post(url, msgspec.to_builtins(notice))
    except RequestError as error:
        return f"the webhook's server {error.what}"
    return None
