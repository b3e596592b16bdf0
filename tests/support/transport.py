"""The two ways of Slack's payloads to an app, and the way in the running test.

A test marked ``transports`` runs once over each transport named there (`tests.conftest`); others use the socket.
"""

from __future__ import annotations

from contextvars import ContextVar
from enum import Enum


class Transport(Enum):
    """How Slack reaches the app."""

    SOCKET = "socket"
    HTTP = "http"


TRANSPORT: ContextVar[Transport] = ContextVar("transport", default=Transport.SOCKET)
