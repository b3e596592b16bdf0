"""Ports for servers yet to be started."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

# Below those that systems give to connections, so that nobody takes one before its server.
PORTS = (20_000, 32_000)


def free_port() -> int:
    """A port without a listener."""
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
