"""Settings of the model's server, and of the attempts and timeouts of one answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from config.declarations import SettingsGroup, setting
from config.types import Choice, Seconds, Secret, Switch, Table, WebAddress

# OpenAI's host; its regional hosts end in it.
OPENAI_HOST = "api.openai.com"


class Api(Choice):
    """OpenAI's interface used for requests."""

    CHAT = "chat"
    RESPONSES = "responses"


class ModelSettings(SettingsGroup):
    """The model: any server with an OpenAI-compatible API."""

    api_key: Secret | None = setting(
        "OPENAI_API_KEY",
        "API key of the model server.",
        default=None,
        note="OpenAI's keys are at https://platform.openai.com/api-keys.",
    )
    base_url: WebAddress = setting(
        "OPENAI_BASE_URL", "Address of the model server; ends in /v1. Empty: OpenAI.", default=""
    )
    name: str = setting(
        "OPENAI_MODEL",
        "Model name, as its server calls it.",
        default="",
        note="Required with a key or a base URL. No default: the operator pays, and names change every few months.",
    )
    api: Api = setting(
        "TICKERTAPE_API",
        "chat (Chat Completions) or responses (OpenAI's Responses API).",
        default=Api.CHAT,
        note="Every compatible server has chat.",
    )
    parameters: Table = setting(
        "TICKERTAPE_MODEL_PARAMETERS",
        "Extra request parameters such as temperature, as a JSON object.",
        default={},
        note='Sent unchanged. In the TOML file, a table: { temperature = 0.3, reasoning_effort = "low" }.',
    )
    images: bool = setting(
        "TICKERTAPE_IMAGES",
        "Whether the model accepts images.",
        default=True,
        note="Current hosted models do. If false, the reader learns that images were left out.",
    )
    requests_per_minute: int = setting(
        "",
        "Requests to the model server per minute, over all turns; more wait. 0: no limit.",
        default=0,
        note="For a server without its own rate limit, or to stay below a quota.",
        toml_only=True,
        ge=0,
        le=1_000_000,
    )
    embedded: Switch = setting(
        "TICKERTAPE_EMBEDDED",
        "Demonstration model: auto, on or off.",
        default=Switch.AUTO,
        note="auto runs it if no model server is set and only the playground runs.",
        toml_only=True,
    )

    @property
    def remote(self) -> bool:
        """Whether a model server is configured."""
        return self.api_key is not None or bool(self.base_url)

    @property
    def loads(self) -> bool:
        """Whether the server may load its model on the first request: true for every server except OpenAI's."""
        host = urlsplit(self.base_url).hostname or OPENAI_HOST
        return host != OPENAI_HOST and not host.endswith(f".{OPENAI_HOST}")


class CompletionSettings(SettingsGroup):
    """Attempts and timeouts of one answer, in seconds."""

    attempts: int = setting(
        "TICKERTAPE_ATTEMPTS",
        "Streamed attempts before the fallback call without streaming.",
        default=3,
        note="Two transient errors in a row happen now and then; three mean an outage.",
        ge=0,
        le=20,
    )
    first_chunk_timeout: Seconds | None = setting(
        "TICKERTAPE_FIRST_CHUNK_TIMEOUT",
        "Longest wait for the first chunk. Empty: 60, or 180 for a loading model.",
        default=None,
        note="A server other than OpenAI's may load its model during the first attempt, so that attempt gets 180 s.",
        renamed_from=("TICKERTAPE_FIRST_SECONDS", "first_seconds"),
    )
    connect_wait_seconds: Seconds = setting(
        "TICKERTAPE_CONNECT_WAIT_SECONDS",
        "Longest wait for a model server that refuses connections or is not ready.",
        default=30.0,
        note="A restarted server is back within half a minute.",
        toml_only=True,
        renamed_from=("TICKERTAPE_ABSENCE_SECONDS", "absence_seconds"),
    )
    outage_seconds: Seconds = setting(
        "TICKERTAPE_OUTAGE_SECONDS",
        "The same wait while the chat platform is unreachable too, so the network is down.",
        default=300.0,
        note="A router restarts or a link fails over; meanwhile the reader cannot be notified anyway.",
        toml_only=True,
    )
    stream_idle_timeout: Seconds = setting(
        "TICKERTAPE_STREAM_IDLE_TIMEOUT",
        "Longest silence between two chunks; comments and empty chunks count.",
        default=20.0,
        note="Working servers send a chunk or a comment every few seconds.",
        renamed_from=("TICKERTAPE_STALL_SECONDS", "stall_seconds"),
    )
    no_text_timeout: Seconds = setting(
        "TICKERTAPE_NO_TEXT_TIMEOUT",
        "Longest time without text while chunks arrive, before the fallback call.",
        default=300.0,
        note="Some models think for five minutes; the reader sees no text meanwhile.",
        toml_only=True,
        renamed_from=("TICKERTAPE_QUIET_SECONDS", "quiet_seconds"),
    )
    answer_timeout: Seconds = setting(
        "TICKERTAPE_ANSWER_TIMEOUT",
        "Longest duration of all streamed attempts together, counted from the first text.",
        default=300.0,
        note="12,000 words at 40 words a second.",
        toml_only=True,
        renamed_from=("TICKERTAPE_ANSWER_SECONDS", "answer_seconds"),
    )
    fallback_timeout: Seconds = setting(
        "TICKERTAPE_FALLBACK_TIMEOUT",
        "Longest wait for the fallback call without streaming.",
        default=120.0,
        note="The whole answer arrives at once, at the end.",
        toml_only=True,
        renamed_from=("TICKERTAPE_WHOLE_SECONDS", "whole_seconds"),
    )
    backoff_seconds: Seconds = setting(
        "TICKERTAPE_BACKOFF_SECONDS",
        "Upper bound of the first delay between attempts; doubles with each attempt.",
        default=0.5,
        note="An overloaded server often has capacity half a second later.",
        toml_only=True,
    )
    backoff_limit_seconds: Seconds = setting(
        "TICKERTAPE_BACKOFF_LIMIT_SECONDS",
        "Upper bound of every delay between attempts.",
        default=8.0,
        note="A reader is waiting.",
        toml_only=True,
    )
    retry_after_limit_seconds: Seconds = setting(
        "TICKERTAPE_RETRY_AFTER_LIMIT_SECONDS",
        "Longest Retry-After that is obeyed; a longer one fails the answer.",
        default=60.0,
        note="Hosted limits count per minute. Beyond a minute, an honest notice is better.",
        toml_only=True,
    )
