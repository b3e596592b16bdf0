"""Addresses as people write them, the socket's options, and the missing driver."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from adapters.postgres.connecting import driver_url, import_asyncpg, set_keepalive
from bot.errors import Permanent
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgresql://a:b@c:5/d", "postgresql://a:b@c:5/d"),
        ("postgresql://a:p%40w@c/d?sslmode=require", "postgresql://a:p%40w@c/d?sslmode=require"),
        ("postgresql://a@c/d?channel_binding=require&sslmode=verify-full", "postgresql://a@c/d?sslmode=verify-full"),
        ("postgresql://a@c/d?pgbouncer=true&connection_limit=1", "postgresql://a@c/d"),
        ("postgresql:///d?host=/var/run/postgresql", "postgresql:///d?host=%2Fvar%2Frun%2Fpostgresql"),
    ],
)
def test_parameters_of_other_drivers_are_left_out(written: str, meant: str) -> None:
    """PostgreSQL would refuse them as unknown settings."""
    assert driver_url(written) == meant


def test_the_system_notices_a_lost_peer() -> None:
    """The kernel probes a silent connection, as far as it has the options."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        set_keepalive(client, 5)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000


def test_without_the_driver_one_line_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the extra."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(Permanent, match=r"pip install 'tickertape\[postgres\]'"):
        import_asyncpg()


# Parts for several processes and for many Slack workspaces, with their packages.
SHARED_PARTS = (
    "asyncpg",
    "cryptography",
    "adapters.journal.postgres",
    "adapters.postgres",
    "adapters.records.postgres",
    "adapters.slack.oauth",
    "bot.bootstrap_shared",
    "bot.ownership.keeper",
    "bot.ownership.membership",
)


@pytest.mark.slow
def test_the_program_does_not_import_the_parts_for_many_processes() -> None:
    """A bot on SQLite needs no extra package, nor their memory: two megabytes of ours alone."""
    program = (
        "import sys, bot.__main__, bot.bootstrap, bot.lifecycle;"
        f"print(*(name for name in sys.modules if name.startswith({SHARED_PARTS!r})))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split() == []
