"""The only translation of errors of the SDK and the model's server into our failures (tree: `bot.errors`).

`error_body` parses bodies; `error_patterns` knows the vendors' codes and messages. The text of a failure is for the
log: status, code and message, shortened, and never the key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from types import MappingProxyType

import httpx2
import openai

from adapters.openai.error_body import is_error, parse_error
from adapters.openai.error_patterns import match_reason, refuses_system_role
from bot.errors import (
    ConnectFailed,
    Failure,
    ModelRejected,
    NotReady,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    ServiceError,
)

# Errors of the SDK and the libraries below it. JSONDecodeError: a malformed event. UnicodeError: bytes outside UTF-8,
# or a key outside ASCII.
SDK_ERRORS: tuple[type[Exception], ...] = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    json.JSONDecodeError,
    UnicodeError,
    OSError,
)

# Request extension set by the client's trace: true while the request waits for a response on a reused connection.
REUSED_CONNECTION = "tickertape.reused_connection"

# Fields of an error sent with status 200 or in a stream.
ERROR_FIELDS = frozenset({"error", "message", "detail", "code", "type", "status", "param", "reason", "title", "object"})

# Characters of a server's message in the log.
MAX_MESSAGE_CHARACTERS = 300

# Codes of errors in a stream or in a response's field, without an HTTP status.
REQUEST_CODES = frozenset(
    {
        "invalid_prompt",
        "invalid_request_error",
        "content_policy_violation",
        "bio_policy",
        "misalignment_policy_violation",
        "data_residency_mismatch",
    }
)
RATE_LIMIT_CODES = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests"})

# The reason for a status if neither code nor message gives one.
BY_STATUS = MappingProxyType(
    {
        401: RejectionReason.CREDENTIALS,
        402: RejectionReason.QUOTA,
        403: RejectionReason.CREDENTIALS,
        404: RejectionReason.SETUP,
        405: RejectionReason.SETUP,
        413: RejectionReason.CONTEXT,
        415: RejectionReason.IMAGES,  # images are our only input with a media type
    }
)

# For the log, beside the server's message: it may be empty, or left out because it quotes the key.
REASON_TEXTS = MappingProxyType(
    {
        RejectionReason.QUOTA: "no credit is left",
        RejectionReason.CREDENTIALS: "it refuses the key",
        RejectionReason.MODEL: "it does not have the model",
        RejectionReason.CONTEXT: "the conversation is too long for it",
        RejectionReason.IMAGES: "it takes no images",
        RejectionReason.IMAGE: "it cannot read an image",
        RejectionReason.TOO_MANY_IMAGES: "it takes fewer images",
        RejectionReason.SETUP: "the base URL or a parameter is wrong",
    }
)

# 4xx unrelated to the request itself: a timeout of the server, a lock, too early.
TRANSIENT_STATUSES = frozenset({408, 409, 425})

# Signs of a restart: no server behind the proxy (502; Cloudflare: 521, 523), or a server still loading (503,
# llama.cpp's "Loading model"). A 500, 504 or 529 comes from a running server.
NOT_READY_STATUSES = frozenset({502, 503, 521, 523})

STREAM_WORD = re.compile(r"\bstream(ing|ed)?\b", re.IGNORECASE)  # and not stream_options

# Shorter keys are placeholders for servers without keys; masking them would hide half of a sentence.
MIN_KEY_CHARACTERS = 8


class SystemRoleRefused(ModelRejected):
    """The server has no system role. The system prompt can go into the first user message instead."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error reported by the model's server: an HTTP error, a streamed event, or a field of a response."""

    status: int | None = None
    codes: frozenset[str] = frozenset()  # codes and types: servers disagree about their roles
    param: str = ""
    message: str = ""
    retry_after: float | None = None

    @classmethod
    def parse(cls, error: object, *, status: int | None = None, retry_after: float | None = None) -> ServerError:
        """Parse an error of any shape. A numeric code (gateways) counts as the status."""
        body = parse_error(error)
        codes = frozenset(body.codes)
        return cls(status or body.status, codes, body.param, body.text, retry_after)

    def failure(self) -> Failure:
        """The failure for the caller."""
        text = "" if self._is_html else f"{self.param} {self.message}"  # a web page may contain any words
        if self.status not in {401, 402, 403, 429} and refuses_system_role(text):
            return SystemRoleRefused(self._log_line(RejectionReason.REQUEST), reason=RejectionReason.REQUEST)
        reason = self._reason(text)
        if reason is not None:
            return ModelRejected(self._log_line(reason), reason=reason)
        if self.status == 429 or (self.status is None and self.codes & RATE_LIMIT_CODES):
            return RateLimited(self._log_line(), retry_after=self.retry_after)
        return ServiceError(self._log_line(), retry_after=self.retry_after)

    def _reason(self, text: str) -> RejectionReason | None:
        if self._is_html and self.status == 403:
            return RejectionReason.SETUP
        reason = match_reason(self.status, self.codes, text)
        if reason is RejectionReason.SETUP and self._refuses_streaming():
            return None
        if reason is not None:
            return reason
        if self.status is not None and 400 <= self.status < 500 and self.status != 429:
            return self._reason_from_status()
        return RejectionReason.REQUEST if self.status is None and self._rejects_request() else None

    @property
    def _is_html(self) -> bool:
        return is_html(self.message)

    def _reason_from_status(self) -> RejectionReason | None:
        if self.status in TRANSIENT_STATUSES or self._refuses_streaming():
            return None
        if self.status == 404 and not self._is_html and "model" in self.message.lower():
            return RejectionReason.MODEL
        return BY_STATUS.get(self.status or 0, RejectionReason.REQUEST)

    def _rejects_request(self) -> bool:
        return bool(self.codes & REQUEST_CODES)

    def _refuses_streaming(self) -> bool:
        """Whether the server refuses streaming only, so that the fallback without streaming may succeed.

        "Your organization must be verified to stream this model" (param: stream), or a server without streaming.
        """
        return self.status in {400, 422} and (
            self.param == "stream" or (not self.param and STREAM_WORD.search(self.message) is not None)
        )

    def _log_line(self, reason: RejectionReason | None = None) -> str:
        """One line for the log, without a message about the key: it may quote the key."""
        status = [] if self.status is None else [f"HTTP {self.status}"]
        reason_text = [f"({REASON_TEXTS[reason]})"] if reason is not None and reason in REASON_TEXTS else []
        message = [shorten(self.message)] if self.message and reason is not RejectionReason.CREDENTIALS else []
        parts = [*status, *sorted(self.codes), *reason_text, *message]
        return "the model's server: " + " ".join(parts or ["an error without a message"])


def raise_error(body: object) -> None:
    """Raise a `Failure` if an event, or a body with status 200, holds an error."""
    if not is_error(body):
        return
    if isinstance(body, Mapping):  # model text may stand beside the error
        body = {name: value for name, value in body.items() if str(name).lower() in ERROR_FIELDS}
    raise ServerError.parse(body).failure()


def unexpected_body(body: object, message: str) -> Failure:
    """The failure for a body without an answer: the reason found in its text, or a `ServiceError` with `message`."""
    failure = ServerError.parse(body).failure()
    return failure if isinstance(failure, ModelRejected | RateLimited) else ServiceError(message)


@contextmanager
def translated(key: str = "") -> Iterator[None]:
    """Translate `SDK_ERRORS` into failures, with `key` masked in case a server echoes it.

    The cause is dropped: its traceback would bring the server's full message, with its quotations, into the log.
    """
    try:
        yield
    except Failure as failure:  # an error sent as data
        redact_key(failure, key)
        raise
    except SDK_ERRORS as error:
        translation = translate(error)
        redact_key(translation, key)
        raise translation from None


def redact_key(failure: Failure, key: str) -> None:
    """Mask the key in the text of a failure."""
    if len(key) >= MIN_KEY_CHARACTERS:
        failure.args = tuple(str(arg).replace(key, "***") for arg in failure.args)


def translate(error: Exception) -> Failure:
    """The failure for an error of the SDK or a library below it."""
    failure: Failure
    match error:
        case openai.APIStatusError():
            wait = retry_after(error.response.headers)
            failure = ServerError.parse(body_of(error), status=error.status_code, retry_after=wait).failure()
            if type(failure) is ServiceError and error.status_code in NOT_READY_STATUSES:
                failure = NotReady(str(failure), retry_after=wait)
        case openai.APIConnectionError():
            cause = error.__cause__
            failure = _connection(cause if isinstance(cause, Exception) else error, error.request)
        case openai.APIResponseValidationError():
            failure = ServiceError(f"the model's server answered with something else: {shorten(str(error))}")
        case openai.APIError():  # an error event in a stream
            failure = ServerError.parse(error.body or error.message).failure()
        case openai.OpenAIError():
            failure = ServiceError(f"{type(error).__name__}: {shorten(str(error))}")
        case UnicodeEncodeError():
            line = "the key or the base URL holds a character not allowed in a request"
            failure = ModelRejected(line, reason=RejectionReason.CREDENTIALS)
        case httpx2.InvalidURL():
            failure = ModelRejected("the base URL is not a URL", reason=RejectionReason.REQUEST)
        case json.JSONDecodeError() | UnicodeError():
            failure = ServiceError(f"the model's server sent unreadable data: {type(error).__name__}")
        case _:
            failure = _connection(error, None)
    return failure


def body_of(error: openai.APIStatusError) -> object:
    """The whole body of an error. The SDK keeps only the field ``error``; xAI puts its code beside it."""
    try:
        return json.loads(error.response.text)
    except (ValueError, RecursionError, httpx2.HTTPError, httpx2.StreamError):  # not JSON, or the body was never read
        return error.body


def _connection(cause: Exception, request: httpx2.Request | None) -> Failure:
    """The failure for an error below HTTP."""
    name = f"{type(cause).__name__} {shorten(str(cause))}".strip()
    match cause:
        case httpx2.UnsupportedProtocol():
            return ModelRejected("the base URL does not begin with http:// or https://", reason=RejectionReason.REQUEST)
        case httpx2.LocalProtocolError():  # its message quotes the header, and so the key
            line = "the request cannot be written: is there a line break in the key?"
            return ModelRejected(line, reason=RejectionReason.CREDENTIALS)
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return ConnectFailed(f"the model's server cannot be reached: {name}")
        case httpx2.TimeoutException() | openai.APITimeoutError():
            return OutcomeUnknown(f"the model's server did not answer in time: {name}")
    if request is not None and was_stale(cause, request):
        return ServiceError(f"a kept-alive connection was stale: {name}", retry_after=0.0)
    return ServiceError(f"the connection to the model's server broke: {name}")


def was_stale(cause: Exception, request: httpx2.Request) -> bool:
    """Whether a reused connection was closed before the first byte of the response.

    The server closed an idle connection while we were writing, or just before. Nothing is wrong, and the request may be
    repeated at once. On a new connection the same error means a server failure.
    """
    closed = isinstance(cause, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)
    return closed and request.extensions.get(REUSED_CONNECTION, False)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as requested by the server; None if missing, not positive or not finite.

    ``retry-after-ms`` (OpenAI) precedes ``Retry-After``. A date counts from the server's own ``Date``, so that our
    clock does not matter (RFC 9110, 10.2.3).
    """
    for header, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(header, "")) / divisor
        except ValueError:
            continue
        return seconds if math.isfinite(seconds) and seconds > 0 else None
    until, now = _moment(headers.get("retry-after", "")), _moment(headers.get("date", ""))
    return until - now if until is not None and now is not None and until > now else None


def _moment(date: str) -> float | None:
    """An HTTP date in seconds since the epoch."""
    try:
        parsed = parsedate_tz(date)
        return None if parsed is None else float(mktime_tz(parsed))
    except (
        ValueError,
        OverflowError,
        IndexError,
        TypeError,
    ):  # for malformed dates
        return None


def rejects_parameter(error: openai.APIStatusError, parameter: str) -> bool:
    """Whether the server refuses an unknown parameter (400, or FastAPI's 422)."""
    return error.status_code in {400, 422} and parameter in f"{error.body} {error.message}"


def is_html(text: str) -> bool:
    """Whether a message is a web page."""
    return "<html" in text.lower() or "<!doctype" in text.lower()


def shorten(text: str) -> str:
    """A message in one line of bounded length; a web page becomes a short note."""
    if is_html(text):
        return "(a web page; is the base URL right?)"
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE_CHARACTERS else line[:MAX_MESSAGE_CHARACTERS] + "..."
