"""Names and values of the spans: the one place to change them with the conventions.

Pinned: OpenTelemetry's GenAI conventions of schema 1.42.0, still in development
(https://github.com/open-telemetry/semantic-conventions-genai/blob/024a4f944a1291fcb627c9c47da69e79868dd15e/docs/gen-ai/client-inference.md),
and the stable `error` and `server` attributes (https://opentelemetry.io/docs/specs/semconv/registry/attributes/).
Names under ``tickertape`` are our own. None of them holds any text of people or models, nor the id of a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bot.conversation import FinishReason

SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai/1.42.0"

SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"

# ------------------------------------------------------------------------------------------------ one call of a model

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"  # present only if true
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"  # seconds from the call
INPUT_TOKENS = "gen_ai.usage.input_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"  # part of the input
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"  # part of the output
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"

# The span of an attempt is named by its operation and the requested model.
CHAT = "chat"

# The conventions name these; a finish that was expected and never came is an error too.
NO_FINISH = "error"
FINISH_VALUES: Mapping[FinishReason, str] = MappingProxyType(
    {
        FinishReason.STOP: "stop",
        FinishReason.LENGTH: "length",
        FinishReason.FILTERED: "content_filter",
        FinishReason.TOOLS: "tool_call",
        FinishReason.OTHER: "other",
        FinishReason.THOUGHT_ONLY: "stop",
        FinishReason.TOOLS_ONLY: "tool_call",
    }
)

# Providers by the end of their host's name. Any other server speaks OpenAI's protocol, and the conventions then ask for
# the provider of the protocol; `server.address` tells which server it is.
DEFAULT_PROVIDER = "openai"
PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "api.openai.com": "openai",
        "openai.azure.com": "azure.ai.openai",
        "services.ai.azure.com": "azure.ai.inference",
        "models.ai.azure.com": "azure.ai.inference",
        "amazonaws.com": "aws.bedrock",
        "api.anthropic.com": "anthropic",
        "api.cohere.ai": "cohere",
        "api.cohere.com": "cohere",
        "api.deepseek.com": "deepseek",
        "generativelanguage.googleapis.com": "gcp.gemini",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
        "api.groq.com": "groq",
        "ml.cloud.ibm.com": "ibm.watsonx.ai",
        "api.mistral.ai": "mistral_ai",
        "api.perplexity.ai": "perplexity",
        "api.x.ai": "x_ai",
    }
)

# ------------------------------------------------------------------------------------------------------- one turn, ours

TURN = "turn"  # the name of its span

PLATFORM = "tickertape.platform"
WORKSPACE = "tickertape.workspace"  # its id
REFERENCE = "tickertape.turn"  # the short name in the log, and in what readers see of a failure
GENERATION = "tickertape.generation"  # present from 1 on: "try again", or an edited question
RESUMED = "tickertape.resumed"  # present if true: an earlier process began the turn
ENDING = "tickertape.ending"
MESSAGES = "tickertape.messages"
WRITES = "tickertape.writes"
ATTEMPTS = "tickertape.attempts"
FALLBACK = "tickertape.fallback"  # present if true: asked without streaming in the end
FIRST_VISIBLE = "tickertape.first_visible_seconds"
CHARACTER_DELAY = "tickertape.character_delay_seconds"
SETTLE = "tickertape.settle_seconds"

CANCELLED = "tickertape.cancelled"  # present if true, at an attempt: a stop, a shutdown or a full answer ended it

WRITE_VERB = "tickertape.write.verb"
WRITE_TRIES = "tickertape.write.tries"
