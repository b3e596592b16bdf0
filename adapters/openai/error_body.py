"""What an error's body says, whatever its shape: an object, a list, a string, JSON within a string. Pure.

What belongs here: finding the codes, the words and the status in it. What does not: what they mean (`meanings`).

Shapes seen: ``{"error": {...}}`` (OpenAI), ``{"error": "..."}`` (Ollama, LM Studio), ``{"code": "...", "error":
"..."}`` (xAI), ``{"object": "error", "message": "..."}`` (vLLM, Mistral), ``[{"error": {...}}]`` (Gemini),
``{"detail": ...}`` (FastAPI), ``{"error": {"message": {"error": "..."}}}`` (LiteLLM), the vendor's own body as a string
in ``metadata.raw`` (OpenRouter) or in ``message`` (LiteLLM, Cloudflare).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# More of a body tells nothing new; some quote the whole request. Values, levels, characters of one value and of all.
MOST_VALUES = 60
DEEPEST = 20
LONGEST_VALUE = 1_000
LONGEST_ALL = 4_000

CODES = frozenset({"code", "type", "status", "reason", "error_code", "error_type", "errorcode"})
# Not said by the server, but to it (FastAPI echoes what it refuses), or numbers for its support.
ECHOES = frozenset(
    {"input", "ctx", "url", "request_id", "requestid", "user_id", "id", "object", "@type", "provider_name", "messages"}
)
# Strings that some server may send in a stream to keep it alive, or to end it.
NO_ERRORS = frozenset({"", "ping", "pong", "ok", "keep-alive", "keepalive", "[done]", "done"})

# Values of codes that tell nothing.
IDLE = frozenset({"error", "none", "null", "unknown", "failed", "cancelled", "incomplete"})


@dataclass(slots=True)
class Report:
    """What was found in a body. `words` are in the order in which they stand there, each once."""

    codes: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)
    param: str = ""
    status: int | None = None

    @property
    def text(self) -> str:
        """All words as one line of bounded length."""
        return " ".join("; ".join(self.words).split())[:LONGEST_ALL]


def read(body: object) -> Report:
    """Read a body of any shape; one of a shape never seen has no words."""
    report = Report()
    for count, (name, value) in enumerate(_values("", body, 0)):
        if count >= MOST_VALUES:
            break
        _take(report, name, value)
    return report


def _take(report: Report, name: str, value: str | int) -> None:
    text = str(value).strip()
    if name in CODES:
        if re.fullmatch(r"[45]\d\d", text):
            report.status = report.status or int(text)
        elif text and not text.isdigit() and text.lower() not in IDLE:
            report.codes.add(text.lower()[:80])
    elif name == "param":
        report.param = report.param or text
    elif isinstance(value, str) and text and text not in report.words:
        report.words.append(text[:LONGEST_VALUE])


def _values(name: str, value: object, depth: int) -> Iterator[tuple[str, str | int]]:
    """The strings and whole numbers in a value with the lower-case names of their fields."""
    if isinstance(value, str):
        value = _within(value) or value
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and name in CODES):
        yield name, value
    elif depth < DEEPEST:
        for field_name, each in _fields(name, value):
            yield from _values(field_name, each, depth + 1)


def _fields(name: str, value: object) -> Iterator[tuple[str, object]]:
    """The items of a list, and the fields of an object but for those that the server does not say."""
    if isinstance(value, list):
        yield from ((name, each) for each in value)
    elif isinstance(value, dict):
        named = ((str(key).lower(), each) for key, each in value.items())
        yield from ((key, each) for key, each in named if key not in ECHOES)


def _within(text: str) -> Mapping[str, object] | list[object] | None:
    """The JSON that a string holds, or None: whole, or behind a few words ("Error code: 400 - {...}")."""
    start = text.find("{")
    if not 0 <= start <= 200 and not text.lstrip().startswith("["):
        return None
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return inner if isinstance(inner, dict | list) else None


def is_error(event: object) -> bool:
    """Whether what came in the place of an answer, or of a piece of one, is an error.

    A string and a list are nothing else; an object says so, or has a code and words but nothing of an answer.
    """
    match event:
        case str():
            return event.strip().lower() not in NO_ERRORS
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
