"""The engine in memory keeps the contract of the port, so that tests on virtual time mean something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from typing_extensions import override

from bot.ownership.ports import Ownership
from tests.contracts.ownership import LIMIT, SHARED, OwnershipContract
from tests.support.engine import Engine
from tests.support.ownership import MemoryOwnership


class TestMemoryOwnership(OwnershipContract):
    """See `tests.contracts.ownership`."""

    @override
    @asynccontextmanager
    async def ownership(self) -> AsyncIterator[Ownership]:
        self.engine = Engine(asyncio.get_running_loop().time, {LIMIT: SHARED})
        yield MemoryOwnership(self.engine)

    @override
    def with_settings(self, settings: Mapping[str, str]) -> Ownership:
        return MemoryOwnership(self.engine, settings=settings)

    @override
    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
