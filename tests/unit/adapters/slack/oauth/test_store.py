"""The store of installations in memory keeps its contract, so that tests may use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from typing_extensions import override

from adapters.slack.oauth.values import InstallationStore
from tests.contracts.installations import InstallationsContract
from tests.support.installations import MemoryInstallations


class TestMemoryInstallations(InstallationsContract):
    """See `tests.contracts.installations`."""

    @override
    @asynccontextmanager
    async def store(self) -> AsyncIterator[InstallationStore]:
        yield MemoryInstallations()
