"""The model adapter passes the contract of its port over both APIs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.openai import OpenAIModel, OpenAIOptions
from tests.contracts.model import ModelContract
from tests.servers.openai import OpenAIDouble


@pytest.mark.quick
class TestChat(ModelContract):
    """Chat Completions."""

    @asynccontextmanager
    async def model(self, double: OpenAIDouble) -> AsyncIterator[OpenAIModel]:
        model = OpenAIModel(OpenAIOptions("test-model", "sk-test", double.url))
        try:
            yield model
        finally:
            await model.close()


class TestResponses(ModelContract):
    """The Responses API."""

    @asynccontextmanager
    async def model(self, double: OpenAIDouble) -> AsyncIterator[OpenAIModel]:
        model = OpenAIModel(OpenAIOptions("test-model", "sk-test", double.url, api="responses"))
        try:
            yield model
        finally:
            await model.close()
