"""A model behind any server that speaks OpenAI's protocol: Chat Completions, or the Responses API.

Retries and all timeouts except the connect timeout belong to `bot.completion`, not here.
"""

from adapters.openai.check import check
from adapters.openai.connection import ServerConnection
from adapters.openai.model import OpenAIModel
from adapters.openai.options import OPENAI_BASE_URL, OpenAIOptions

__all__ = ["OPENAI_BASE_URL", "OpenAIModel", "OpenAIOptions", "ServerConnection", "check"]
