"""Webhooks: one POST of JSON. Their addresses are secrets, and are never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.network.address import host_of
from snapenv.network.session import Advice, Patience, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE = Patience(connect_s=10.0, read_s=20.0, retries=2)
_ADVICE = Advice(
    login="Check the address: some webhooks have a token in it.",
    absent="Check the address.",
)
_ACCEPTED = range(200, 300)


def post(url: str, document: Mapping[str, object], patience: Patience = _PATIENCE) -> None:
    """Send a document.

    Raises:
        RequestError: The server is not reached, or refuses.
    """
    host = host_of(url) or "the webhook"
    with Session(advice=_ADVICE, patience=patience) as session:
        session.retry(frozenset())
        with session.ask(url, host=host, method="POST", json=document) as response:
            session.check_status(response.status_code, _ACCEPTED)
