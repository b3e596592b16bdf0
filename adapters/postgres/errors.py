"""Errors of asyncpg and the operating system, translated into the failures of `bot.errors`.

Decided by SQLSTATE, so this module does not import asyncpg. Codes:
https://www.postgresql.org/docs/current/errcodes-appendix.html. The reaction belongs to the callers.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from bot.errors import ConnectFailed, Failure, OutcomeUnknown, Permanent, ServiceError

MIGRATE = "run `tickertape migrate`"


class NotMigrated(Permanent):
    """The database lacks tables of this version, or has lost some to a later one."""


class PoolerFound(ServiceError):
    """A prepared statement is missing: a pooler gave the session to another client. The statement did not run."""


class StandbyFound(ServiceError):
    """The server takes no writes: it is a standby, or stopped being the primary. The statement did not run."""


class ParameterRefused(ServiceError):
    """The server or a pooler before it refuses the parameters of the session."""


_Factory = Callable[[str], Failure]

# A prefix of the SQLSTATE with a failure and a remedy; the longest prefix wins. None: PostgreSQL's own words.
_BY_STATE: Mapping[str, tuple[_Factory, str | None]] = MappingProxyType(
    {
        "08": (OutcomeUnknown, "the connection was lost"),
        "08P01": (ParameterRefused, None),
        "0A000": (ParameterRefused, None),
        "22023": (ParameterRefused, None),
        "25006": (StandbyFound, "it takes no writes now: it is a standby, or read-only"),
        "25P03": (OutcomeUnknown, "a transaction was idle for too long"),
        "26000": (PoolerFound, "a pooler changes the session between statements"),
        "28": (Permanent, "it refuses the user: check the user and the password in JOURNAL_URL"),
        "3D000": (Permanent, "there is no such database: create it, or correct the name in JOURNAL_URL"),
        "3F000": (NotMigrated, f"its tables are missing: {MIGRATE}"),
        "40003": (OutcomeUnknown, "the connection was lost during a commit"),
        "42501": (Permanent, "the user lacks a permission there: grant it, or use the owner of the tables"),
        "42703": (NotMigrated, f"a column is missing: {MIGRATE}"),
        "42883": (NotMigrated, f"a function is missing: {MIGRATE}"),
        "42P01": (NotMigrated, f"its tables are missing: {MIGRATE}"),
        "42P05": (PoolerFound, "a pooler changes the session between statements"),
        "53100": (ServiceError, "its disk is full: free some space"),
        "53200": (ServiceError, "it is out of memory"),
        "53300": (ConnectFailed, "it has no free connection: close some, or choose a larger plan"),
        "55P03": (ServiceError, "a lock is held for too long"),
        "57": (OutcomeUnknown, "it is stopping, or an operator ended the connection"),
        "57014": (ServiceError, "it did not finish in time"),
        "57P03": (ConnectFailed, "it is starting or stopping"),
        "58": (ServiceError, "its system fails: check its log"),
        "XX001": (ServiceError, "its data is corrupt: check its log"),
        "XX002": (ServiceError, "its data is corrupt: check its log"),
    }
)

# asyncpg's own errors by class name, looked up along the bases.
_BY_NAME: Mapping[str, tuple[_Factory, str | None]] = MappingProxyType(
    {
        "ClientConfigurationError": (Permanent, None),
        "UnsupportedClientFeatureError": (Permanent, None),
        "UnsupportedServerFeatureError": (Permanent, None),
        "TargetServerAttributeNotMatched": (ConnectFailed, "none of its hosts has the wanted role"),
        "InternalClientError": (OutcomeUnknown, "the connection broke"),
        "InterfaceError": (ServiceError, None),
    }
)

# Classes whose messages may quote values of a statement: a reader's text does not belong in a log.
_QUOTING_STATES = ("22", "23")


class ErrorTranslator:
    """Translates the errors of one database. Its messages name the server, and never the password."""

    def __init__(self, url: str) -> None:
        self.place = place_of(url)
        self._secrets = _secrets_of(url)

    @contextmanager
    def translating(self, *, connecting: bool = False) -> Iterator[None]:
        """Raise a `Failure` instead of any error of asyncpg or the operating system."""
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            failure = self.translate(error, connecting=connecting)
            if failure is None:
                raise
            raise failure from error

    def translate(self, error: Exception, *, connecting: bool = False) -> Failure | None:
        """The failure behind an error; None if the error is a bug of ours.

        While `connecting` nothing has been asked yet, so a lost connection has a certain outcome.
        """
        found = _classify(error)
        if found is None and connecting and isinstance(error, ValueError):
            found = Permanent, None  # asyncpg reads the address
        if found is None:
            return None
        make, words = found
        if make is OutcomeUnknown and connecting:
            make = ConnectFailed
        return make(f"{self.place}: {words or self._own_words(error)}")

    def _own_words(self, error: Exception) -> str:
        state = getattr(error, "sqlstate", None)
        first_line = next(iter(str(error.args[0] if error.args else "").splitlines()), "")
        for secret in self._secrets:
            first_line = first_line.replace(secret, "***")
        name = f"{type(error).__name__} {state or ''}".rstrip()
        quotable = first_line and not str(state or "").startswith(_QUOTING_STATES)
        return f"{first_line} ({name})" if quotable else name


def _classify(error: Exception) -> tuple[_Factory, str | None] | None:
    if isinstance(error, TimeoutError):
        return OutcomeUnknown, "no answer in time"
    if isinstance(error, OSError):  # of TLS too
        kind = "no encrypted connection" if isinstance(error, ssl.SSLError) else "no connection"
        return OutcomeUnknown, f"{kind} ({error.strerror or str(error) or type(error).__name__})"
    if type(error).__module__.partition(".")[0] != "asyncpg":
        return None
    state: str = getattr(error, "sqlstate", None) or ""
    return _by_state(state) if state else _by_name(error)


def _by_state(state: str) -> tuple[_Factory, str | None]:
    """The longest matching prefix; any other statement has certainly failed."""
    found = (_BY_STATE.get(state[:length]) for length in (5, 2))
    return next((each for each in found if each is not None), (ServiceError, None))


def _by_name(error: Exception) -> tuple[_Factory, str | None]:
    """By the nearest base; an unknown error without a code is a broken conversation with the server."""
    names = (base.__name__ for base in type(error).__mro__)
    return next((_BY_NAME[name] for name in names if name in _BY_NAME), (OutcomeUnknown, None))


def place_of(url: str) -> str:
    """The server and the database of an address, for messages: without user and password."""
    parts = urlsplit(url)
    return f"PostgreSQL at {parts.netloc.rpartition('@')[2] or 'this machine'}{parts.path}"


def _secrets_of(url: str) -> tuple[str, ...]:
    """The password of an address, as written and as meant; longest first."""
    found = re.search(r"://[^:/?#]*:(?P<password>[^/?#]*)@", url)
    written = [found["password"]] if found else []
    written += re.findall(r"[?&]password=([^&]*)", url)
    secrets = {each for secret in written for each in (secret, unquote(secret)) if each}
    return tuple(sorted(secrets, key=len, reverse=True))
