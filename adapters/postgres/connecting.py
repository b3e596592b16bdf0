"""One new connection to PostgreSQL: asyncpg's arguments, and the options of its socket."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from adapters.postgres.options import APPLICATION, PostgresOptions
from bot.errors import Permanent

NOT_INSTALLED = (
    "JOURNAL_URL names PostgreSQL, which needs one more package: pip install 'tickertape[postgres]' "
    "(or pip install asyncpg)"
)

# Parameters of an address with a meaning for asyncpg. Others are for other drivers (`pgbouncer=true`,
# `channel_binding=require`); PostgreSQL would refuse them as unknown settings.
_PARAMETERS = frozenset(
    {
        *("host", "port", "user", "password", "passfile", "dbname", "database", "service", "servicefile"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib", "target_session_attrs"),
    }
)

# Prepared statements kept by a session of our own: more than there are statements.
STATEMENTS = 200

# Silent probes until a connection counts as lost, and seconds between two.
_PROBES, _PROBE_SECONDS = 3, 2

# The answer to a session's parameters, if they were not ignored.
_IN_FORCE = "SELECT current_setting('statement_timeout') <> '0' AND current_setting('lock_timeout') <> '0'"


def import_asyncpg() -> Any:  # noqa: ANN401 (a module without types)
    """The driver, loaded only if PostgreSQL is used. Raises `Permanent` with a line for the operator."""
    try:
        return importlib.import_module("asyncpg")
    except ImportError:
        raise Permanent(NOT_INSTALLED) from None


def driver_url(url: str) -> str:
    """An address as people write it, in asyncpg's form: one scheme, and the parameters known to it."""
    parts = urlsplit(url)
    known = [(name, value) for name, value in parse_qsl(parts.query) if name in _PARAMETERS]
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{urlencode(known)}" if known else "")


async def connect(options: PostgresOptions, arguments: Mapping[str, Any], *, pooled: bool) -> tuple[Any, bool]:
    """A new connection, and whether the server took the parameters of the session.

    A `pooled` one brings none, and prepares no statements.
    """
    asyncpg = import_asyncpg()
    connection = await asyncpg.connect(
        driver_url(options.url),
        **{**arguments, "connection_class": _connection_class(options.keepalive_seconds)},
        server_settings={"application_name": APPLICATION} if pooled else dict(options.session_settings()),
        statement_cache_size=0 if pooled else STATEMENTS,
    )
    if pooled:
        return connection, False
    try:
        return connection, bool(await connection.fetchval(_IN_FORCE))
    except BaseException:
        connection.terminate()
        raise


@cache
def _connection_class(keepalive_seconds: int) -> type[Any]:
    base: type[Any] = import_asyncpg().Connection

    class Connection(base):  # type: ignore[misc]  # asyncpg has no types
        """A connection whose system notices a lost peer. asyncpg has no option for it."""

        def __init__(self, protocol: object, transport: Any, *others: object) -> None:  # noqa: ANN401 (asyncpg's)
            super().__init__(protocol, transport, *others)
            set_keepalive(transport.get_extra_info("socket"), keepalive_seconds)

    return Connection


def set_keepalive(connected: socket.socket, seconds: int) -> None:
    """Let the system close a socket after `seconds` without an answer, as far as it can."""
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = {
        "TCP_KEEPIDLE": seconds,
        "TCP_KEEPINTVL": _PROBE_SECONDS,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": seconds * 1000,
    }
    for name, value in values.items():
        if (option := getattr(socket, name, None)) is not None:  # Windows and macOS lack some
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
