"""Sessions of the operator's page: the token, logins and their limit. Pure; times are given, in seconds."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque

from adapters.shared.cache import LRUCache

# Failed logins of one address within this time, before further ones are refused unread. Seconds.
FAILED_LOGINS, LOGIN_WINDOW_SECONDS = 10, 60.0

# Addresses with failed logins in memory. A forgotten one gets another ten.
MAX_ADDRESSES = 10_000

# A session ends after this time without a request, and after that one in any case. Seconds: an hour, a working day.
IDLE_SECONDS, SESSION_SECONDS = 3_600.0, 43_200.0

# Sessions in memory: an operator with several devices. The oldest ends.
MAX_SESSIONS = 100


class LoginLimit:
    """Bounds the failed logins of each address."""

    def __init__(self) -> None:
        self._failed: LRUCache[str, deque[float]] = LRUCache(MAX_ADDRESSES)

    def permits(self, address: str, now: float) -> bool:
        """Whether this address may try to log in."""
        times = self._failed.get(address)
        return times is None or len(times) < FAILED_LOGINS or now - times[0] >= LOGIN_WINDOW_SECONDS

    def record_failure(self, address: str, now: float) -> None:
        """Count a failed login."""
        times = self._failed.get(address)
        if times is None:
            times = self._failed[address] = deque(maxlen=FAILED_LOGINS)
        times.append(now)


class Sessions:
    """The token, and the sessions opened with it."""

    def __init__(self, token: str) -> None:
        self._token = _digest(token)
        self._sessions: dict[str, tuple[float, float]] = {}  # by the id's digest: opened, last used

    def is_token(self, given: str) -> bool:
        """Whether this is the operator's token. The comparison takes the same time for any text."""
        return hmac.compare_digest(_digest(given), self._token)

    def open(self, now: float) -> str:
        """Open a session and return its secret id."""
        if len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = (now, now)
        return session

    def is_open(self, session: str, now: float) -> bool:
        """Whether a session is valid; its idle time begins again."""
        key = _digest(session)
        times = self._sessions.get(key)
        if times is None:
            return False
        opened, used = times
        if now - used >= IDLE_SECONDS or now - opened >= SESSION_SECONDS:
            del self._sessions[key]
            return False
        self._sessions[key] = (opened, now)
        return True

    def close(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(session), None)

    def form_token(self, session: str) -> str:
        """The secret in the forms of a session; a foreign page cannot know it."""
        return _digest(f"form {session}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
