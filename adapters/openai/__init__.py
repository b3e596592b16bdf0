"""A model behind any server that speaks OpenAI's protocol: Chat Completions, or the Responses API.

What belongs here: the wire format of both (`chat`, `responses`, what they share in `wire`), the one client of the
process (`client`), the translation of its errors (`errors`) and what the operator is told about the configuration
(`check`).
What does not: retries and every time-out but that of connecting (`bot.completion`), and any reading of settings.
"""

from adapters.openai.check import check
from adapters.openai.model import OpenAIModel
from adapters.openai.options import OPENAI_BASE_URL, OpenAIOptions

__all__ = ["OPENAI_BASE_URL", "OpenAIModel", "OpenAIOptions", "check"]
