"""Every error of the SDK and of what it stands on becomes one of our failures, in one place."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai.errors import SDK_ERRORS, ServerError, retry_after, shorten, translate, translated
from bot.errors import ConnectFailed, Failure, ModelRejected, OutcomeUnknown, RateLimited, RejectionReason, ServiceError

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")

# Raised only by parts of the SDK that are not used here: webhooks, and httpx2's cookies and warnings.
ELSEWHERE = {
    openai.InvalidWebhookSignatureError,
    httpx2.CookieConflict,
}


def classes_of(module: object) -> Iterator[type[Exception]]:
    # `type(value)`, since `isinstance` would load each of the SDK's lazy resources: seconds for every process.
    classes = (value for _, value in sorted(vars(module).items()) if issubclass(type(value), type))
    for value in classes:
        if issubclass(value, Exception) and not issubclass(value, Warning) and value not in ELSEWHERE:
            yield value


def made(kind: type[Exception]) -> Exception:
    """An error of this class, with what the translation reads on it."""
    error = kind.__new__(kind)
    Exception.__init__(error, "it did not work")
    status = getattr(kind, "status_code", 500)
    response = httpx2.Response(status if isinstance(status, int) else 500, request=REQUEST)
    for name, value in {"request": REQUEST, "response": response, "body": None, "message": "it did not work"}.items():
        if isinstance(error, openai.OpenAIError):
            setattr(error, name, value)
    if isinstance(error, openai.APIStatusError):
        error.status_code = response.status_code
    return error


@pytest.mark.parametrize("kind", [*classes_of(openai), *classes_of(httpx2)], ids=lambda kind: kind.__qualname__)
def test_no_class_of_error_is_missed(kind: type[Exception]) -> None:
    """Whatever the SDK or its HTTP client defines is caught and translated; a new one makes this fail."""
    assert issubclass(kind, SDK_ERRORS)
    with pytest.raises(Failure), translated():
        raise made(kind)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (httpx2.ConnectError("refused"), ConnectFailed),
        (httpx2.ConnectTimeout("slow"), ConnectFailed),
        (httpx2.PoolTimeout("full"), ConnectFailed),
        (httpx2.ReadTimeout("silence"), OutcomeUnknown),
        (httpx2.WriteTimeout("stuck"), OutcomeUnknown),
        (httpx2.ReadError("reset"), ServiceError),
        (httpx2.RemoteProtocolError("peer closed"), ServiceError),
        (httpx2.UnsupportedProtocol("no scheme"), ModelRejected),
        (httpx2.LocalProtocolError("Illegal header value b'Bearer key'"), ModelRejected),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_broke_below_http(cause: Exception, expected: type[Failure]) -> None:
    """The SDK wraps these; what matters is whether the request may have been answered."""
    timeout = isinstance(cause, httpx2.TimeoutException)
    error = openai.APITimeoutError(REQUEST) if timeout else openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    failure = translate(error)
    assert type(failure) is expected
    assert "Bearer" not in str(failure)


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        # in a stream, without a status
        ({"code": "rate_limit_exceeded"}, None, RateLimited("")),
        ({"type": "rate_limit_error"}, None, RateLimited("")),
        ({"code": "insufficient_quota"}, None, RejectionReason.QUOTA),
        ({"code": "context_length_exceeded"}, None, RejectionReason.CONTEXT),
        ({"code": "invalid_prompt"}, None, RejectionReason.REQUEST),
        ({"code": "image_too_large"}, None, RejectionReason.IMAGE),
        ({"code": "server_error"}, None, ServiceError("")),
        ({"code": 502, "message": "upstream"}, None, ServiceError("")),
        ({"code": 429}, None, RateLimited("")),
        ("only words", None, ServiceError("")),
        (None, None, ServiceError("")),
        ({}, None, ServiceError("")),
        # llama.cpp, vLLM, Ollama, gateways
        ({"code": 400, "type": "exceed_context_size_error"}, 400, RejectionReason.CONTEXT),
        ({"message": "This model's maximum context length is 4096 tokens."}, 400, RejectionReason.CONTEXT),
        ({"message": "The model `x` does not exist.", "code": 404}, 404, RejectionReason.MODEL),
        ({"message": "model 'x' not found", "type": "not_found_error"}, 404, RejectionReason.MODEL),
        ({"detail": "Not Found"}, 404, RejectionReason.SETUP),
        ("<html>404</html>", 404, RejectionReason.SETUP),
        ({"code": "model_not_found"}, 403, RejectionReason.MODEL),
        ({"message": "Insufficient Balance"}, 402, RejectionReason.QUOTA),
        ({"message": "Request too large"}, 413, RejectionReason.CONTEXT),
        ({"message": "too early"}, 425, ServiceError("")),
        ({"message": "upstream_options is wrong: stream_options"}, 400, RejectionReason.REQUEST),
    ],
)
def test_what_a_complaint_means(error: object, status: int | None, expected: Failure | RejectionReason) -> None:
    """Codes decide, then the status, then the words of servers that have neither."""
    failure = ServerError.parse(error, status=status).failure()
    if isinstance(expected, RejectionReason):
        assert isinstance(failure, ModelRejected)
        assert failure.reason is expected
    else:
        assert type(failure) is type(expected)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:50 GMT"}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:27:50 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, milliseconds or a date, which counts from the server's own clock; nonsense counts as nothing said."""
    assert retry_after(headers) == expected


@given(header=st.text(), date=st.text())
def test_any_retry_after_is_survived(header: str, date: str) -> None:
    """Nonsense in a header is never an exception, and never a wait that is no time."""
    seconds = retry_after({"retry-after": header, "date": date})
    assert seconds is None or 0 < seconds < float("inf")


def test_words_are_short() -> None:
    """A server's words take one bounded line, and a page is only called one."""
    assert len(shorten("x\n" * 10_000)) < 310
    assert "\n" not in shorten("a\nb")
    assert "base URL" in shorten("<!DOCTYPE html><p>nothing here")


def test_our_own_mistakes_are_not_translated() -> None:
    """A bug in this program stays what it is."""
    with pytest.raises(KeyError), translated():
        raise KeyError("ours")
    with pytest.raises(ServiceError), translated():
        raise json.JSONDecodeError("theirs", "{", 0)
