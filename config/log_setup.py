"""Set-up of logging: two line formats and the masking of secrets.

Pass figures as fields: ``log.info("turn ended", extra={"turn": reference, "ending": "done"})`` becomes
``2026-11-22T14:25:00.123Z INFO bot.turns.manager turn ended turn=x7f2k9qa ending=done``.

One record is one line, even with line breaks in a user's name or a server's error. Traceback lines are indented, so
none of them looks like a record.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TextIO

from typing_extensions import override

from config.log_deduplication import RepeatCounter

MASK = "[secret]"

# In characters. Shorter secrets exist in tests only ("x"), and masking them would make every line unreadable.
SHORTEST_MASKED = 6

# Credentials other than ours: a ticket made by a server, or a token quoted in an error.
_CREDENTIAL = re.compile(
    r"(?P<before>\bBearer\s+|[?&](?:ticket|token|access_token)=)[^\s&\"',\\]{6,}"
    r"|(?P<prefix>\bBot\s+)[^\s&\"',\\]{24,}"  # longer than any word after "Bot" in a sentence
    r"|\bx(?:ox[a-z]|app)-[\w-]{6,}"
)

# Verbose libraries: some log whole requests at debug. They report problems as warnings.
LIBRARIES = ("aiohttp", "asyncio", "discord", "httpcore2", "httpx2", "openai", "slack_bolt", "slack_sdk", "urllib3")

# Attributes of every record; any other was passed as `extra` and is a field.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}

# A value without quotes: no character ends a value or a line.
_BARE = re.compile(r"[^\s\"=\\]+")


def configure(*, level: str, style: str, secrets: Iterable[str], stream: TextIO | None = None) -> None:
    """Set up logging for the process, to `stream` (standard error).

    `level` is the least severe level in lower case, `style` ``text`` or ``json``, `secrets` the texts to mask.
    Libraries log from ``warning`` up, at debug from ``info`` up. A second call replaces the first set-up.
    """
    handler = DeduplicatingHandler(stream or sys.stderr)
    mask = SecretMasker(secrets)
    handler.setFormatter(JsonFormatter(mask) if style == "json" else TextFormatter(mask))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    quiet = logging.INFO if root.level <= logging.DEBUG else max(logging.WARNING, root.level)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(quiet)
    if not sys.warnoptions:  # -W error, as in tests, stays in force
        warnings.simplefilter("default")
    logging.captureWarnings(capture=True)


class DeduplicatingHandler(logging.StreamHandler[TextIO]):
    """Writes records, but only a few a minute of a library's repeated ones; a summary counts the rest.

    Not a filter, because only a handler's emit holds its lock, and records come from threads too.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._repeats = RepeatCounter()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._repeats.is_due(record.created):
            self._emit_summaries(record.created)
        if self._repeats.allows(record):
            super().emit(record)

    @override
    def close(self) -> None:
        """Write the summaries so far, then close."""
        with self.lock or nullcontext():
            self._emit_summaries(float("-inf"))
        super().close()

    def _emit_summaries(self, now: float) -> None:
        for summary in self._repeats.start_interval(now):
            super().emit(summary)


class SecretMasker:
    """Replaces known secrets, and texts with the form of a credential, by `MASK`."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Also in the spelling of JSON and repr. The longest first: one secret may be the prefix of another.
        spelled = {text for secret in secrets for text in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])}
        masked = sorted((text for text in spelled if len(text) >= SHORTEST_MASKED), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, masked))) if masked else None

    def __repr__(self) -> str:
        """Hide the secrets."""
        return "SecretMasker()"

    def __call__(self, text: str) -> str:
        """Return the text with `MASK` in place of each secret."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _CREDENTIAL.sub(lambda match: (match["before"] or match["prefix"] or "") + MASK, text)


class _MaskingFormatter(logging.Formatter):
    """Masks the complete line: message, fields and traceback."""

    def __init__(self, mask: SecretMasker) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        return self._mask(self.line(record))

    def line(self, record: logging.LogRecord) -> str:
        """Return the line before masking."""
        raise NotImplementedError

    def traceback_text(self, record: logging.LogRecord) -> str:
        """Return the traceback and the stack of a record, or empty text."""
        # Not `record.exc_text`: another handler's formatter may have cached its text there.
        parts = (
            self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else "",
            self.formatStack(record.stack_info) if record.stack_info else "",
        )
        return "\n".join(part for part in parts if part)


class TextFormatter(_MaskingFormatter):
    """``time LEVEL logger message key=value ...``; a traceback follows, indented."""

    def line(self, record: logging.LogRecord) -> str:
        """Return the line before masking."""
        pairs = [f"{name}={_quoted(value)}" for name, value in fields(record).items()]
        head = [timestamp(record), record.levelname, record.name, _escaped(record.getMessage())]
        traceback_text = "".join(f"\n    {_escaped(line)}" for line in self.traceback_text(record).splitlines())
        return " ".join(head + pairs) + traceback_text


class JsonFormatter(_MaskingFormatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, the fields, ``trouble`` (a traceback)."""

    def line(self, record: logging.LogRecord) -> str:
        """Return the line before masking."""
        content: dict[str, object] = {
            "time": timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        content |= {name: value for name, value in fields(record).items() if name not in content}
        if traceback_text := self.traceback_text(record):
            content["trouble"] = traceback_text
        return json.dumps(content, ensure_ascii=False, default=str)


def timestamp(record: logging.LogRecord) -> str:
    """Return the time of a record: UTC, ISO 8601, milliseconds."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fields(record: logging.LogRecord) -> Mapping[str, object]:
    """Return the fields passed as `extra`, except None: a missing figure is left out."""
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _STANDARD and not name.startswith("_") and value is not None
    }


def _quoted(value: object) -> str:
    """Return a value as text: bare if it is one word, else in quotes with line breaks escaped."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = str(value)
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(escaped)}"'


def _escaped(text: str) -> str:
    """Escape line breaks, control characters and bidirectional marks, which terminals obey."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
