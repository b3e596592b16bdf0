"""The one place where the model's server's and its SDK's errors become failures of ours.

What belongs here: which failure each error is for the caller (`bot.errors` has the tree). What does not: doing anything
about it, reading an error's body (`report`), and the vendors' codes and words (`meanings`).

What a failure says is for the log: the status, the server's code and its words, shortened; never the key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

import httpx2
import openai

from adapters.openai.error_body import is_error, read
from adapters.openai.error_meanings import reason_of, refuses_system
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

# Everything that the SDK and what it stands on raise for reasons outside of us: JSONDecodeError is a malformed event,
# UnicodeError bytes that are no UTF-8, or a key that is no ASCII.
FOREIGN: tuple[type[Exception], ...] = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    json.JSONDecodeError,
    UnicodeError,
    OSError,
)

# In a request's extensions, set by the client's trace: true while the request has a connection that had been kept alive
# and no answer has begun on it.
KEPT = "tickertape.kept"

# The fields of an error in the place of an answer.
OF_ERROR = frozenset({"error", "message", "detail", "code", "type", "status", "param", "reason", "title", "object"})

# More of a server's words than this helps nobody who reads a log. Characters.
LONGEST_WORDS = 300

# Codes of errors that come in a stream or a response's field, without a status that would tell.
REQUEST = frozenset(
    {
        "invalid_prompt",
        "invalid_request_error",
        "content_policy_violation",
        "bio_policy",
        "misalignment_policy_violation",
        "data_residency_mismatch",
    }
)
LIMITED = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests"})

# What a status means where neither codes nor words tell.
BY_STATUS = {
    401: RejectionReason.CREDENTIALS,
    402: RejectionReason.QUOTA,
    403: RejectionReason.CREDENTIALS,
    404: RejectionReason.SETUP,
    405: RejectionReason.SETUP,
    413: RejectionReason.CONTEXT,
    415: RejectionReason.IMAGES,  # nothing else that we send has a media type
}

# What an operator is told beside the server's words, which may be few, or be left out because they quote the key.
REASONS = {
    RejectionReason.QUOTA: "no credit is left",
    RejectionReason.CREDENTIALS: "it refuses the key",
    RejectionReason.MODEL: "it does not have the model",
    RejectionReason.CONTEXT: "the conversation is too long for it",
    RejectionReason.IMAGES: "it takes no images",
    RejectionReason.IMAGE: "it cannot read an image",
    RejectionReason.TOO_MANY_IMAGES: "it takes fewer images",
    RejectionReason.SETUP: "the base URL or a parameter is wrong",
}

# 4xx that say nothing about the request itself: a time-out of the server's own, a lock, too early.
PASSING = frozenset({408, 409, 425})


# Nobody behind a proxy is there just now (502; 521 and 523 are Cloudflare's), or a server is there and not ready (503,
# llama.cpp's "Loading model"): what a restart looks like. A 500, 504 or 529 is an answer of somebody who is.
NOT_READY = frozenset({502, 503, 521, 523})

STREAM = re.compile(r"\bstream(ing|ed)?\b", re.IGNORECASE)  # and not stream_options

# Shorter keys are no secrets but placeholders for servers that want none, and would mask half of a sentence. Read by
# `hide`.
SHORTEST_KEY = 8


class SystemRefused(ModelRejected):
    """The server has no role for the system's words, which may stand in the first message instead."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server said was wrong: an HTTP error, an event in a stream, or a field of a response."""

    status: int | None = None
    codes: frozenset[str] = frozenset()  # its codes and its types: servers disagree on which of them tells
    param: str = ""
    message: str = ""
    retry_after: float | None = None

    @classmethod
    def of(cls, error: object, *, status: int | None = None, retry_after: float | None = None) -> Complaint:
        """Read an error of any shape. A code that is a number (gateways) stands for the status."""
        report = read(error)
        codes = frozenset(report.codes)
        return cls(status or report.status, codes, report.param, report.text, retry_after)

    def failure(self) -> Failure:
        """What it means for the caller."""
        words = "" if self._is_page else f"{self.param} {self.message}"  # a page speaks of anything
        if self.status not in {401, 402, 403, 429} and refuses_system(words):
            return SystemRefused(self._line(RejectionReason.REQUEST), reason=RejectionReason.REQUEST)
        reason = self._because(words)
        if reason is not None:
            return ModelRejected(self._line(reason), reason=reason)
        if self.status == 429 or (self.status is None and self.codes & LIMITED):
            return RateLimited(self._line(), retry_after=self.retry_after)
        return ServiceError(self._line(), retry_after=self.retry_after)

    def _because(self, words: str) -> RejectionReason | None:
        if self._is_page and self.status == 403:
            return RejectionReason.SETUP
        reason = reason_of(self.status, self.codes, words)
        if reason is RejectionReason.SETUP and self._cannot_stream():
            return None
        if reason is not None:
            return reason
        if self.status is not None and 400 <= self.status < 500 and self.status != 429:
            return self._because_of_status()
        return RejectionReason.REQUEST if self.status is None and self._names_request() else None

    @property
    def _is_page(self) -> bool:
        return is_page(self.message)

    def _because_of_status(self) -> RejectionReason | None:
        if self.status in PASSING or self._cannot_stream():
            return None
        if self.status == 404 and not self._is_page and "model" in self.message.lower():
            return RejectionReason.MODEL
        return BY_STATUS.get(self.status or 0, RejectionReason.REQUEST)

    def _names_request(self) -> bool:
        return bool(self.codes & REQUEST)

    def _cannot_stream(self) -> bool:
        """Whether the same prompt may be answered without streaming, so that the caller should go on.

        "Your organization must be verified to stream this model" (param: stream), and servers that never could.
        """
        return self.status in {400, 422} and (
            self.param == "stream" or (not self.param and STREAM.search(self.message) is not None)
        )

    def _line(self, reason: RejectionReason | None = None) -> str:
        """One line for the log. Words about a key may quote it, so they are left out."""
        status = [] if self.status is None else [f"HTTP {self.status}"]
        said_reason = [f"({REASONS[reason]})"] if reason in REASONS else []
        words = [shortened(self.message)] if self.message and reason is not RejectionReason.CREDENTIALS else []
        said = [*status, *sorted(self.codes), *said_reason, *words]
        return "the model's server: " + " ".join(said or ["an error without words"])


def raise_error(body: object) -> None:
    """Raise the failure that an event or a body with status 200 holds in the place of an answer, if it does."""
    if not is_error(body):
        return
    if isinstance(body, Mapping):  # beside the error there may be text of the model's
        body = {name: value for name, value in body.items() if str(name).lower() in OF_ERROR}
    raise Complaint.of(body).failure()


def unreadable(body: object, line: str) -> Failure:
    """What it means that something else came than an answer: what its words say, if that is known, or else `line`."""
    failure = Complaint.of(body).failure()
    return failure if isinstance(failure, ModelRejected | RateLimited) else ServiceError(line)


@contextmanager
def translated(key: str = "") -> Iterator[None]:
    """Raise a `Failure` for everything foreign. `key` is taken out of what it says, should a server echo it.

    Without the cause: its traceback would bring the server's full words, and what they quote, into the log.
    """
    try:
        yield
    except Failure as failure:  # an error that came as data
        hide(failure, key)
        raise
    except FOREIGN as error:
        translation = translate(error)
        hide(translation, key)
        raise translation from None


def hide(failure: Failure, key: str) -> None:
    """Take the key out of what a failure says."""
    if len(key) >= SHORTEST_KEY:
        failure.args = tuple(str(arg).replace(key, "***") for arg in failure.args)


def translate(error: Exception) -> Failure:
    """The failure that a foreign error means."""
    failure: Failure
    match error:
        case openai.APIStatusError():
            wait = retry_after(error.response.headers)
            failure = Complaint.of(body_of(error), status=error.status_code, retry_after=wait).failure()
            if type(failure) is ServiceError and error.status_code in NOT_READY:
                failure = NotReady(str(failure), retry_after=wait)
        case openai.APIConnectionError():
            cause = error.__cause__
            failure = _connection(cause if isinstance(cause, Exception) else error, error.request)
        case openai.APIResponseValidationError():
            failure = ServiceError(f"the model's server answered with something else: {shortened(str(error))}")
        case openai.APIError():  # an error event in a stream
            failure = Complaint.of(error.body or error.message).failure()
        case openai.OpenAIError():
            failure = ServiceError(f"{type(error).__name__}: {shortened(str(error))}")
        case UnicodeEncodeError():
            line = "the key or the base URL holds a character that a request cannot carry"
            failure = ModelRejected(line, reason=RejectionReason.CREDENTIALS)
        case httpx2.InvalidURL():
            failure = ModelRejected("the base URL is not a URL", reason=RejectionReason.REQUEST)
        case json.JSONDecodeError() | UnicodeError():
            failure = ServiceError(f"the model's server sent what cannot be read: {type(error).__name__}")
        case _:
            failure = _connection(error, None)
    return failure


def body_of(error: openai.APIStatusError) -> object:
    """The whole body of an error: the SDK keeps what is in its field ``error``, and xAI's code stands beside that."""
    try:
        return json.loads(error.response.text)
    except (ValueError, RecursionError, httpx2.HTTPError, httpx2.StreamError):  # no JSON, or not read
        return error.body


def _connection(cause: Exception, request: httpx2.Request | None) -> Failure:
    """What went wrong below HTTP."""
    name = f"{type(cause).__name__} {shortened(str(cause))}".strip()
    match cause:
        case httpx2.UnsupportedProtocol():
            return ModelRejected("the base URL does not begin with http:// or https://", reason=RejectionReason.REQUEST)
        case httpx2.LocalProtocolError():  # its words quote the header, and so the key
            line = "the request cannot be written: is there a line break in the key?"
            return ModelRejected(line, reason=RejectionReason.CREDENTIALS)
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return ConnectFailed(f"the model's server cannot be reached: {name}")
        case httpx2.TimeoutException() | openai.APITimeoutError():
            return OutcomeUnknown(f"the model's server did not answer in time: {name}")
    if request is not None and was_stale(cause, request):
        return ServiceError(f"a kept-alive connection had gone stale: {name}", retry_after=0.0)
    return ServiceError(f"the connection to the model's server broke: {name}")


def was_stale(cause: Exception, request: httpx2.Request) -> bool:
    """Whether a connection that had been kept alive was closed before a byte of this request's answer came.

    The server closed it while we were writing (or just before): nothing is wrong, and the request may be made again at
    once. On a connection opened for this very request the same error means that the server gave up.
    """
    gone = isinstance(cause, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)
    return gone and request.extensions.get(KEPT, False)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait; None where it does not, or not for a positive, finite time.

    ``retry-after-ms`` (OpenAI) before ``Retry-After``, which may be a date: then counted from the server's own
    ``Date``, so that no clock of ours matters (RFC 9110, 10.2.3).
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
    except (ValueError, OverflowError, IndexError, TypeError):  # what parsedate_tz and mktime_tz do with nonsense
        return None


def rejects(error: openai.APIStatusError, parameter: str) -> bool:
    """Whether a server refuses a request for a parameter that it does not know (400, or FastAPI's 422)."""
    return error.status_code in {400, 422} and parameter in f"{error.body} {error.message}"


def is_page(said: str) -> bool:
    """Whether a server's words are a web page."""
    return "<html" in said.lower() or "<!doctype" in said.lower()


def shortened(said: str) -> str:
    """A server's words on one line of bounded length; a web page is only called one."""
    if is_page(said):
        return "(a web page; is the base URL right?)"
    line = " ".join(said.split())
    return line if len(line) <= LONGEST_WORDS else line[:LONGEST_WORDS] + "..."
