"""Parse an error body of any shape into codes, messages and a status. Pure.

`error_patterns` interprets them. A body may be an object, a list, a string, or JSON within a string. Shapes seen:
``{"error": {...}}`` (OpenAI), ``{"error": "..."}`` (Ollama, LM Studio), ``{"code": "...", "error": "..."}`` (xAI),
``{"object": "error", "message": "..."}`` (vLLM, Mistral), ``[{"error": {...}}]`` (Gemini), ``{"detail": ...}``
(FastAPI), ``{"error": {"message": {"error": "..."}}}`` (LiteLLM), the vendor's own body as a string in ``metadata.raw``
(OpenRouter) or in ``message`` (LiteLLM, Cloudflare).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Bounds for bodies quoting the whole request: values, nesting levels, characters of one value and of all values.
MAX_VALUES = 60
MAX_DEPTH = 20
MAX_VALUE_CHARACTERS = 1_000
MAX_TEXT_CHARACTERS = 4_000

CODE_FIELDS = frozenset({"code", "type", "status", "reason", "error_code", "error_type", "errorcode"})
# Echoes of our request (FastAPI sends the refused input back), or ids for the vendor's support.
ECHOED_FIELDS = frozenset(
    {"input", "ctx", "url", "request_id", "requestid", "user_id", "id", "object", "@type", "provider_name", "messages"}
)
# Strings that servers send to keep a stream alive, or to end it.
CONTROL_STRINGS = frozenset({"", "ping", "pong", "ok", "keep-alive", "keepalive", "[done]", "done"})

# Code values without information.
MEANINGLESS_CODES = frozenset({"error", "none", "null", "unknown", "failed", "cancelled", "incomplete"})


@dataclass(slots=True)
class ErrorBody:
    """Codes, messages and status of one error. `messages` are unique and in their order in the body."""

    codes: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    param: str = ""
    status: int | None = None

    @property
    def text(self) -> str:
        """All messages in one line of at most `MAX_TEXT_CHARACTERS`."""
        return " ".join("; ".join(self.messages).split())[:MAX_TEXT_CHARACTERS]


def parse_error(body: object) -> ErrorBody:
    """Parse a body of any shape; an unknown shape gives no messages."""
    error = ErrorBody()
    for count, (name, value) in enumerate(_values("", body, 0)):
        if count >= MAX_VALUES:
            break
        _collect(error, name, value)
    return error


def _collect(error: ErrorBody, name: str, value: str | int) -> None:
    text = str(value).strip()
    if name in CODE_FIELDS:
        if re.fullmatch(r"[45]\d\d", text):
            error.status = error.status or int(text)
        elif text and not text.isdigit() and text.lower() not in MEANINGLESS_CODES:
            error.codes.add(" ".join(text.lower().split())[:80])
    elif name == "param":
        error.param = error.param or text
    elif isinstance(value, str) and text and text not in error.messages:
        error.messages.append(text[:MAX_VALUE_CHARACTERS])


def _values(name: str, value: object, depth: int) -> Iterator[tuple[str, str | int]]:
    """All strings and integer codes in a value, each with its field's name in lower case."""
    if isinstance(value, str):
        value = _embedded_json(value) or value
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and name in CODE_FIELDS):
        yield name, value
    elif depth < MAX_DEPTH:
        for field_name, each in _fields(name, value):
            yield from _values(field_name, each, depth + 1)


def _fields(name: str, value: object) -> Iterator[tuple[str, object]]:
    """The items of a list, or the fields of an object except `ECHOED_FIELDS`."""
    if isinstance(value, list):
        yield from ((name, each) for each in value)
    elif isinstance(value, dict):
        named = ((str(key).lower(), each) for key, each in value.items())
        yield from ((key, each) for key, each in named if key not in ECHOED_FIELDS)


def _embedded_json(text: str) -> Mapping[str, object] | list[object] | None:
    """The JSON object or list in a string, or None. Most strings hold no bracket and are not parsed."""
    start = text.find("{")
    if not 0 <= start <= 200 and not text.lstrip().startswith("["):
        return None
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return inner if isinstance(inner, dict | list) else None


def is_error(event: object) -> bool:
    """Whether an answer, or a streamed event, is an error.

    A string is one unless it is a control string, a list if it holds one. An object is marked as one, or has a code and
    a message and no field of an answer.
    """
    match event:
        case str():
            return event.strip().lower() not in CONTROL_STRINGS
        case list():
            return any(is_error(each) for each in event if isinstance(each, dict))
        case dict():
            return _is_error(event)
    return False


def _is_error(event: Mapping[str, object]) -> bool:
    if event.get("error") or event.get("type") == "error" or event.get("object") == "error":
        return True
    if event.keys() & {"choices", "output", "delta"} or str(event.get("type")).startswith("response."):
        return False
    return bool(event.get("detail")) or bool(event.get("message") and (event.get("code") or event.get("status")))
