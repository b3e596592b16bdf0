"""Whose requests the playground follows: those of its own page, and of nobody else's.

What belongs here: the decision, on plain values. What does not: requests and answers.

Any page that a reader visits can open a socket to a machine that the reader can reach, and the owner of a name can
point it at that machine afterwards, so that our address becomes that page's own origin
(https://owasp.org/www-community/attacks/csrf, https://en.wikipedia.org/wiki/DNS_rebinding). So every request has to
name a host of ours, at whichever address it came in, and a page's request has to come from that same host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# A host with or without a port, as in a Host header and in an address; a user ("a@b") has no place in it
# (https://www.rfc-editor.org/rfc/rfc9110#name-host-and-authority).
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/?#@\[\]\\%]+))(?::(?P<port>[0-9]{0,5}))?")

# An address, in the two parts that count, and the rest.
_ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)")

DEFAULT_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """A host by the one spelling of its name or IP address, and the port where one was given."""

    name: str
    port: int | None


def refusal(*, hosts: Sequence[str], origins: Sequence[str], target: str, allowed: Iterable[str]) -> str | None:
    """Why a request is not followed, in one plain line, or None where it is.

    `hosts` and `origins` are its headers of these names (no Origin: no browser, or a plain visit), `target` is what it
    asks for, usually a path. `allowed` are further names that we are known by, as people write them.
    """
    known = {host.name for each in allowed if (host := place(_without_scheme(each))) is not None}
    here = place(hosts[0]) if len(hosts) == 1 else None
    if here is None or not (is_loopback(here.name) or here.name in known):
        return (
            f"The playground does not answer to the name {', '.join(hosts)[:80]!r} here: open it as http://127.0.0.1 "
            "or localhost, or allow that name with TICKERTAPE_ALLOWED_HOSTS."
        )
    if not target.startswith("/") and not _is_of(target, here):
        return "The playground does not answer for other hosts."
    if origins and not (len(origins) == 1 and _is_of(origins[0], here, bare=True)):
        return "The playground follows its own page only, not one of another origin."
    return None


def place(authority: str) -> Place | None:
    """The host and the port of a Host header; None where it is malformed."""
    match = _AUTHORITY.fullmatch(authority)
    name = _spelled(match["six"] or match["name"]) if match else ""
    return Place(name, int(match["port"]) if match["port"] else None) if match and name else None


def is_loopback(name: str) -> bool:
    """Whether the name of a `Place` means this very machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_of(address: str, here: Place, *, bare: bool = False) -> bool:
    """Whether a web address is one of the same host and port; `bare` where nothing may follow these, as in an origin.

    A proxy in front of us may speak HTTPS, so a missing port is that of the address's scheme on both sides.
    """
    match = _ADDRESS.fullmatch(address)
    there = place(match["authority"]) if match else None
    port = DEFAULT_PORTS.get(match["scheme"].lower()) if match else None
    if match is None or there is None or port is None or (bare and match["rest"]):
        return False
    return (there.name, there.port or port) == (here.name, here.port or port)


def _without_scheme(host: str) -> str:
    """What an operator means by a host: `` https://Bot.example/ `` and a bare IPv6 address are hosts too."""
    host = host.strip()
    match = _ADDRESS.fullmatch(host)
    authority = match["authority"] if match else host.rstrip("/")
    return f"[{authority}]" if authority.count(":") > 1 and "[" not in authority else authority


def _spelled(name: str) -> str:
    """The one spelling of a name or an IP address: small letters, ASCII, no dot at the end, IPv4 as itself."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _in_ascii(name.rstrip(".").lower())
    return str(getattr(address, "ipv4_mapped", None) or address)


def _in_ascii(name: str) -> str:
    """The name as browsers send it; empty where it can be none."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
