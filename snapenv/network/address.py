"""What the address of a server tells, and the variables that name whom to trust."""

from __future__ import annotations

from urllib.parse import urlsplit

AUTHORITY_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Each names certificates to trust: those of one program before what is meant for all."""


def is_address(url: str) -> bool:
    """Return whether an address can be taken apart: its host may be in odd brackets."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def realm(url: str) -> tuple[str, str, int | None]:
    """Return what one login is good for: scheme, host and port; of no address, the text itself."""
    if not is_address(url):
        return "", url, None
    parts = urlsplit(url)
    standard = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or standard


def host_of(url: str) -> str:
    """Return the host of an address; empty where it has none, or is none."""
    return realm(url)[1] if is_address(url) else ""


def show_address(url: str) -> str:
    """Write an address without the login and the path that it may hold."""
    if not is_address(url):
        return "an invalid address"
    parts = urlsplit(url if "://" in url else f"//{url}")
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}" if parts.scheme else place
