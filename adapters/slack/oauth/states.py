"""The state of an installation between our page and Slack's: signed, short-lived, for one browser, used once.

It needs no row until it is used, so strangers who only open the page leave nothing behind. The browser proves itself by
a cookie: nobody can make another person install (https://datatracker.ietf.org/doc/html/rfc6749#section-10.12).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from datetime import datetime

from adapters.shared.sealing import CannotOpen, SealedBox

# The browser's own random text. The prefix keeps other hosts of the domain from setting it
# (https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes).
COOKIE = "__Host-tickertape-install"
_BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")

# Characters of a state; ours have some 250.
MAX_STATE = 1_000

# Tells a state from anything else sealed with the same keys.
_PURPOSE = "install"


class States:
    """Issues and reads states. `seconds` is the life of one, by the wall clock."""

    def __init__(self, box: SealedBox, wall_clock: Callable[[], datetime], seconds: float) -> None:
        self._box = box
        self._wall_clock = wall_clock
        self._seconds = seconds

    def issue(self, browser: str) -> str:
        """A new state for a browser's text."""
        until = self._wall_clock().timestamp() + self._seconds
        return self._box.seal(json.dumps([_PURPOSE, _digest(browser), until, secrets.token_urlsafe(8)])).decode()

    def read(self, state: str, browser: str) -> bytes | None:
        """The digest of a state to remember; None if it is not this browser's, has expired, or is none of ours."""
        if not state or len(state) > MAX_STATE or not is_browser(browser):
            return None
        try:
            if base64.urlsafe_b64encode(base64.urlsafe_b64decode(state)) != state.encode():
                return None  # another spelling of the same bytes: it would be used twice
            purpose, owner, until, _ = json.loads(self._box.open(state.encode("utf-8", "replace")))
        except (CannotOpen, ValueError, TypeError):
            return None
        if purpose != _PURPOSE or not hmac.compare_digest(owner, _digest(browser)):
            return None
        return hashlib.sha256(state.encode()).digest() if self._wall_clock().timestamp() < until else None


def new_browser() -> str:
    """A random text for a browser."""
    return secrets.token_urlsafe(32)


def is_browser(text: str) -> bool:
    """Whether a cookie has the form of ours."""
    return _BROWSER.fullmatch(text) is not None


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()
