"""Futures with several possible ends."""

from __future__ import annotations

import asyncio


def settle(future: asyncio.Future[bool], *, value: bool) -> None:
    """Give a future its value, unless it has one."""
    if not future.done():
        future.set_result(value)
