"""Settings of the model's server, and of the attempts and timeouts of one answer."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from config.declarations import SettingsGroup, setting
from config.prices import EXAMPLE, PriceTable
from config.types import Choice, Count, NameList, Seconds, Secret, Switch, Table, WebAddress, must_be

# OpenAI's host; its regional hosts end in it.
OPENAI_HOST = "api.openai.com"

# Characters of a label: Slack's menus show no more (https://docs.slack.dev/reference/block-kit/composition-objects/option-object).
LONGEST_LABEL = 75


def _label(value: str) -> str:
    text = value.strip()
    if not text.isprintable() or len(text) > LONGEST_LABEL:
        raise must_be(f"one line of at most {LONGEST_LABEL} characters")
    return text


def is_openai(address: str) -> bool:
    """Whether a server's address is OpenAI's; the empty one is."""
    host = urlsplit(address).hostname or OPENAI_HOST
    return host == OPENAI_HOST or host.endswith(f".{OPENAI_HOST}")


Label = Annotated[str, AfterValidator(_label)]


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
    label: Label = setting("", "Name of the model shown to people. Empty: the model name.", default="", toml_only=True)
    price: PriceTable | None = setting(
        "",
        "US dollars per million tokens, a table, or 0 for a model of your own. Empty: the built-in price table.",
        default=None,
        note="Optional tiers price longer calls: tiers = [{ above = 200000, input = 2.5, output = 15.0 }].",
        toml_only=True,
        example=EXAMPLE,
    )
    context: Count | None = setting(
        "",
        "Longest prompt and answer together, in tokens. Empty: unknown.",
        default=None,
        note="A question too long for this model goes to a fallback model with a larger context.",
        toml_only=True,
        example="128000",
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
        return not is_openai(self.base_url)


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
    fallback_models: NameList = setting(
        "",
        "Models to ask in turn, by name, if the chosen one fails before any text.",
        default=(),
        note="Names of [[models]] or the main model; each gets one streamed attempt and one call without streaming.",
        toml_only=True,
    )
    fallback_models_timeout: Seconds = setting(
        "",
        "No further model is asked after this time, counted from the first call.",
        default=480.0,
        note="Longer than the patience for one silent model. The last model may take its own time beyond it.",
        toml_only=True,
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
