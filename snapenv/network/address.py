"""What the address of a server tells, and the variables that name whom to trust."""

from __future__ import annotations

from urllib.parse import urlsplit

AUTHORITY_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Each names certificates to trust: those of one program before what is meant for all."""


def realm(url: str) -> tuple[str, str, int | None]:
    """Return what one login is good for: scheme, host and port."""
    parts = urlsplit(url)
    standard = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or standard


def show_address(url: str) -> str:
    """Write an address without the login and the path that it may hold."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}" if parts.scheme else place
