"""Cross-site request checks: our pages accept requests from themselves only.

Pure functions on plain values.

Any page in a reader's browser can open a socket to a server within the reader's reach, and the owner of a domain can
later point it at that server, so our address becomes the foreign page's own origin
(https://owasp.org/www-community/attacks/csrf, https://en.wikipedia.org/wiki/DNS_rebinding). Therefore every request
must name one of our hosts, whatever address it arrived at, and a page's request must come from the same host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import NamedTuple

# A host with or without a port, as in a Host header or a URL. A user part ("a@b") is not allowed
# (https://www.rfc-editor.org/rfc/rfc9110#name-host-and-authority).
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/?#@\[\]\\%]+))(?::(?P<port>[0-9]{0,5}))?")

# A URL: scheme, authority, and the rest.
_URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)")

DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})


class Host(NamedTuple):
    """A normalized host name or IP address, and the port if one was given."""

    name: str
    port: int | None


def rejection_reason(
    *, hosts: Sequence[str], origins: Sequence[str], target: str, allowed: Iterable[str], page: str = "playground"
) -> str | None:
    """The reason to reject a request, in one plain line; None to accept it.

    `hosts` and `origins` are the values of these headers (no Origin: no browser, or a plain visit). `target` is the
    request target, usually a path. `allowed` are further names of this server, as operators write them. `page` is the
    page's name for people.
    """
    allowed_names = {host.name for each in allowed if (host := parse_host(_authority_of(each))) is not None}
    own = parse_host(hosts[0]) if len(hosts) == 1 else None
    if own is None or not (is_loopback(own.name) or own.name in allowed_names):
        return (
            f"The {page} does not answer to the name {', '.join(hosts)[:80]!r} here: open it as http://127.0.0.1 "
            "or localhost, or allow that name with TICKERTAPE_ALLOWED_HOSTS."
        )
    if not target.startswith("/") and not _is_same_host(target, own):
        return f"The {page} does not answer for other hosts."
    if origins and not (len(origins) == 1 and _is_same_host(origins[0], own, bare=True)):
        return f"The {page} follows its own page only, not one of another origin."
    return None


def parse_host(authority: str) -> Host | None:
    """Parse a Host header; None if it is malformed."""
    match = _AUTHORITY.fullmatch(authority)
    name = _normalized(match["six"] or match["name"]) if match else ""
    return Host(name, int(match["port"]) if match["port"] else None) if match and name else None


def is_loopback(name: str) -> bool:
    """Whether a normalized host name is this machine's loopback."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_same_host(url: str, own: Host, *, bare: bool = False) -> bool:
    """Whether a URL has the same host and port; `bare` allows nothing after them, as in an origin.

    A missing port is the default of the URL's scheme on both sides: a proxy in front of the bot may speak HTTPS.
    """
    match = _URL.fullmatch(url)
    other = parse_host(match["authority"]) if match else None
    port = DEFAULT_PORTS.get(match["scheme"].lower()) if match else None
    if match is None or other is None or port is None or (bare and match["rest"]):
        return False
    return (other.name, other.port or port) == (own.name, own.port or port)


def _authority_of(host: str) -> str:
    """The authority in an operator's spelling of a host, such as `` https://Bot.example/ `` or a bare IPv6 address."""
    host = host.strip()
    match = _URL.fullmatch(host)
    authority = match["authority"] if match else host.rstrip("/")
    return f"[{authority}]" if authority.count(":") > 1 and "[" not in authority else authority


def _normalized(name: str) -> str:
    """A host name or IP address in canonical form: lower case, ASCII, no trailing dot, IPv4 instead of mapped IPv6."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _to_ascii(name.rstrip(".").lower())
    return str(getattr(address, "ipv4_mapped", None) or address)


def _to_ascii(name: str) -> str:
    """The name in IDNA form, as browsers send it; empty if there is none."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
