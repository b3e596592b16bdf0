"""How the program logs: lines that people can grep and collectors can parse, without a secret in any of them.

What belongs here: the set-up of logging, the two formats, and the masking of secrets. What does not: what is logged,
and which of a library's lines are too many (`config.log_deduplication`).
Figures of a turn are passed as fields, ``log.info("turn ended", extra={"turn": reference, "ending": "done"})``, and
come out as ``2026-11-22T14:25:00.123Z INFO bot.turns.manager turn ended turn=x7f2k9qa ending=done``.

One record is one line, whatever a user's name or a server's error has in it; the lines of a traceback are indented, so
that none can pass for a record.
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

from config.log_deduplication import RepeatCounter

MASK = "[secret]"

# Shorter ones are a test's ("x"): masking these would make every line unreadable, and no platform gives out such.
SHORTEST_MASKED = 6

# What a credential looks like when it is not one of ours: a ticket that a server made, a token in somebody's error.
_CREDENTIAL = re.compile(
    r"(?P<before>\bBearer\s+|[?&](?:ticket|token|access_token)=)[^\s&\"',\\]{6,}"
    r"|(?P<prefix>\bBot\s+)[^\s&\"',\\]{24,}"  # longer than any word that may follow "Bot" in a sentence
    r"|\bx(?:ox[a-z]|app)-[\w-]{6,}"
)

# They say much that only their makers need, and at debug some write whole requests. What is wrong they say as warnings.
LIBRARIES = ("aiohttp", "asyncio", "discord", "httpcore2", "httpx2", "openai", "slack_bolt", "slack_sdk")

# What every record has: anything else was passed as `extra`, and is a field.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}

# A value that needs no quotes in text: nothing in it that ends a value or a line.
_BARE = re.compile(r"[^\s\"=\\]+")


def configure(*, level: str, style: str, secrets: Iterable[str], stream: TextIO | None = None) -> None:
    """Set up logging for the process, to `stream` (standard error).

    `level` is the least severe level in lower case, `style` ``text`` or ``json``, `secrets` the texts to mask.
    Libraries are heard from ``warning`` on, at debug from ``info`` on. Calling it again replaces what was set up.
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
    if not sys.warnoptions:  # where somebody asked for errors (tests do), they stay errors
        warnings.simplefilter("default")
    logging.captureWarnings(capture=True)


class DeduplicatingHandler(logging.StreamHandler[TextIO]):
    """Writes records, of a library's repeated ones only a few a minute, and then how many it left out.

    Here and not in a filter, because a handler emits with its lock held: records come from threads too.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._repeats = RepeatCounter()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if self._repeats.is_due(record.created):
            self._tell(record.created)
        if self._repeats.passes(record):
            super().emit(record)

    def close(self) -> None:
        """See `logging.Handler`. What is left out so far is told."""
        with self.lock or nullcontext():
            self._tell(float("-inf"))
        super().close()

    def _tell(self, now: float) -> None:
        for summary in self._repeats.told(now):
            super().emit(summary)


class SecretMasker:
    """Takes secrets out of a text: those that it is told, and whatever looks like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Also as JSON and repr would write them; the longest first, since one may begin with another.
        spelled = {text for secret in secrets for text in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])}
        masked = sorted((text for text in spelled if len(text) >= SHORTEST_MASKED), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, masked))) if masked else None

    def __repr__(self) -> str:
        """Say nothing of what it knows."""
        return "Masker()"

    def __call__(self, text: str) -> str:
        """Return the text with `MASK` in place of each secret."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _CREDENTIAL.sub(lambda match: (match["before"] or match["prefix"] or "") + MASK, text)


class _MaskingFormatter(logging.Formatter):
    """Masks the whole line when everything is in it: message, fields and traceback."""

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
        """Return the traceback and the stack of a record, empty where it has none."""
        # Not `record.exc_text`: another handler's formatter may have cached its own there.
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
        said: dict[str, object] = {
            "time": timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: value for name, value in fields(record).items() if name not in said}
        if traceback_text := self.traceback_text(record):
            said["trouble"] = traceback_text
        return json.dumps(said, ensure_ascii=False, default=str)


def timestamp(record: logging.LogRecord) -> str:
    """When it was logged: UTC, ISO 8601, milliseconds."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fields(record: logging.LogRecord) -> Mapping[str, object]:
    """What was passed as `extra`, without what is None: a figure that never came to be is left out."""
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _STANDARD and not name.startswith("_") and value is not None
    }


def _quoted(value: object) -> str:
    """One value as text: bare where it is one word, else in quotes, with whatever ends a line escaped."""
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
    """Escape what a terminal or a reader of lines would obey: line breaks, control characters, bidirectional marks."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
