"""Options of the connections to PostgreSQL: their number and every time limit, with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.backoff import Backoff

# The schema of all tables. Other programs may share the database.
SCHEMA = "tickertape"

# The name of the program in PostgreSQL's list of sessions.
APPLICATION = "tickertape"

# In the FROM clause: the statement's transaction ends without a wait for the disk. If the database's machine fails,
# commits of its last second are lost.
UNSYNCED = "set_config('synchronous_commit', 'off', true)"

# The oldest supported version, as a major number. Version 13 gets no more corrections
# (https://www.postgresql.org/support/versioning/).
OLDEST_VERSION = 14


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """The address of the database, and limits. Times in seconds."""

    # It may hold a password.
    url: str = field(repr=False)
    # Small plans have 20 connections: with one more to listen, four processes and a migration fit into them.
    connections: int = 3
    # A call waits at most this long, with its connection. Slack wants an acknowledgement within 3 s.
    call_seconds: float = 2.5
    # Three round trips and a password check. A server that is far away needs half a second.
    connect_seconds: float = 2.0
    # The server ends a longer statement. All of ours take milliseconds.
    statement_seconds: float = 5.0
    # The server gives up on a lock after this time: a longer one is a shell or a backup.
    lock_seconds: float = 2.0
    # The server ends a transaction whose client is silent, so that its locks are free before the 5 s after which the
    # others declare the process dead.
    idle_seconds: float = 3.0
    # Both ends notice a lost connection after this silence.
    keepalive_seconds: int = 5
    # How often a connection that listens is tried: a peer that swallows everything would keep it deaf.
    probe_seconds: float = 15.0
    # The longest wait for the end of all connections at the program's end.
    close_seconds: float = 2.0
    # The pause after a failed connection. A restart takes a second or two, and heartbeats should follow it soon.
    backoff: Backoff = field(default_factory=lambda: Backoff(0.1, 1.0))

    def session_settings(self) -> Mapping[str, str]:
        """The time limits as parameters of a session; a transaction pooler refuses them."""
        keepalive = str(self.keepalive_seconds)
        return {
            "application_name": APPLICATION,
            **self._timeouts(),
            "tcp_keepalives_idle": keepalive,
            "tcp_user_timeout": f"{keepalive}s",
        }

    def begin(self) -> str:
        """The start of a transaction with the time limits, as one message."""
        return "; ".join(["BEGIN", *(f"SET LOCAL {name} = '{value}'" for name, value in self._timeouts().items())])

    def _timeouts(self) -> Mapping[str, str]:
        return {
            "statement_timeout": _milliseconds(self.statement_seconds),
            "lock_timeout": _milliseconds(self.lock_seconds),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle_seconds),
        }


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
