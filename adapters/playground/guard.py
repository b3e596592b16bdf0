"""Whose requests the playground follows: those of its own page, and of nobody's else.

What belongs here: the decision, on plain values. What does not: requests and answers.

Any page that a reader visits can open a socket to their own machine, and a name that its owner points at 127.0.0.1
afterwards is that page's own origin (https://owasp.org/www-community/attacks/csrf,
https://en.wikipedia.org/wiki/DNS_rebinding). So a foreign Origin is refused, and on loopback a foreign Host too.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def refusal(*, host: str, origin: str | None, local_address: str, allowed: frozenset[str]) -> str | None:
    """Why a request is not followed, in one plain line, or None where it is.

    `host` and `origin` are its headers (no Origin: no browser, or the same page), `local_address` the address of ours
    that it came in at, `allowed` further names (without a port) that we are known by, as behind a proxy.
    """
    name, known = _name(host), {each.lower().rstrip(".") for each in allowed}
    if _is_loopback(local_address) and not (_is_loopback(name) or name in known):
        return (
            f"The playground does not answer to the name {name[:80]!r} here: open it as http://127.0.0.1 or localhost, "
            "or allow that name with TICKERTAPE_ALLOWED_HOSTS."
        )
    if origin is not None and _authority(origin) != host.lower():
        return "The playground follows its own page only, not one of another origin."
    return None


def _name(host: str) -> str:
    """The name in a Host header, without its port; empty where it is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _authority(origin: str) -> str | None:
    """The host and port of an Origin header; None where it has none ("null", a malformed one)."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in {"http", "https"} and parts.netloc else None


def _is_loopback(name: str) -> bool:
    """Whether a host name or an address means this very machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
