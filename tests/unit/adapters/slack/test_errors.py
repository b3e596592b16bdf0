"""Each error of Slack's SDK or aiohttp becomes the right failure."""

from __future__ import annotations

import inspect
import json
from typing import Any

import aiohttp
import pytest
import slack_sdk.errors
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from adapters.slack import errors
from adapters.slack.errors import code_of, failure_of, needed_of, translated
from bot.errors import (
    ConnectFailed,
    Failure,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Retryable,
    ServiceError,
)


def refused(data: Any, status: int = 200, **headers: str) -> SlackApiError:
    """The SDK's error for an answer."""
    response = AsyncSlackResponse(
        client=AsyncWebClient(token="xoxb-secret"),
        http_verb="POST",
        api_url="https://slack.com/api/chat.update",
        req_args={"headers": {"Authorization": "Bearer xoxb-secret"}},
        data=data,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        status_code=status,
    )
    return SlackApiError("The request to the Slack API failed.", response)  # type: ignore[no-untyped-call]


def code(error: str, **more: str) -> SlackApiError:
    return refused({"ok": False, "error": error, **more})


@pytest.mark.parametrize(
    ("error", "for_edit", "for_post"),
    [
        (refused({"ok": False, "error": "ratelimited"}, 429, Retry_After="3"), RateLimited, RateLimited),
        (code("ratelimited"), RateLimited, RateLimited),
        (code("channel_not_found"), NotFound, NotFound),
        (code("message_not_found"), NotFound, NotFound),
        (code("is_archived"), NotFound, NotFound),
        (code("not_in_channel"), Forbidden, Forbidden),
        (code("missing_scope", needed="chat:write"), Forbidden, Forbidden),
        (code("token_revoked"), Forbidden, Forbidden),
        (code("restricted_action_read_only_channel"), Forbidden, Forbidden),
        (code("edit_window_closed"), InvalidRequest, InvalidRequest),
        (code("rate_limited"), RateLimited, RateLimited),
        (code("message_not_in_streaming_state"), InvalidRequest, InvalidRequest),
        (code("stopped_by_user"), InvalidRequest, InvalidRequest),
        (code("channel_type_not_supported"), Forbidden, Forbidden),
        (code("missing_recipient_team_id"), Forbidden, Forbidden),
        (code("msg_blocks_too_many"), InvalidRequest, InvalidRequest),
        (code("an_error_of_tomorrow"), Forbidden, Forbidden),
        (code("msg_too_long"), InvalidRequest, InvalidRequest),
        (code("invalid_blocks"), InvalidRequest, InvalidRequest),
        (code("invalid_attachments"), InvalidRequest, InvalidRequest),
        (code("internal_error"), ServiceError, OutcomeUnknown),
        (code("service_unavailable"), ServiceError, OutcomeUnknown),
        (code("team_added_to_org"), ServiceError, ServiceError),
        (code("streaming_state_conflict"), ServiceError, ServiceError),
        (refused({}, 500), ServiceError, OutcomeUnknown),
        (refused("<html>", 503), ServiceError, OutcomeUnknown),
        (refused("<html>", 400), ServiceError, OutcomeUnknown),
        (refused("<html>", 403), ServiceError, OutcomeUnknown),
        (refused({}, 404), ServiceError, OutcomeUnknown),
        (refused("<html>", 401), Forbidden, Forbidden),
        (refused({}, 405), Forbidden, Forbidden),
        (refused({}, 401), Forbidden, Forbidden),
        (refused({}, 413), InvalidRequest, InvalidRequest),
        (TimeoutError(), OutcomeUnknown, OutcomeUnknown),
        (aiohttp.ServerDisconnectedError(), OutcomeUnknown, OutcomeUnknown),
        (aiohttp.ClientOSError(104, "reset"), OutcomeUnknown, OutcomeUnknown),
        (ConnectionResetError(), OutcomeUnknown, OutcomeUnknown),
        (aiohttp.ClientPayloadError(), OutcomeUnknown, OutcomeUnknown),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), ServiceError, OutcomeUnknown),
        (json.JSONDecodeError("no", "", 0), ServiceError, OutcomeUnknown),
        (AttributeError("'str' object has no attribute 'get'"), ServiceError, OutcomeUnknown),
    ],
)
def test_the_table(error: Exception, for_edit: type[Failure], for_post: type[Failure]) -> None:
    """A post with an unknown outcome is `OutcomeUnknown`; other errors tell the caller's reaction."""
    assert type(failure_of(error, "m", once=False)) is for_edit
    assert type(failure_of(error, "m", once=True)) is for_post


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("0", 0.0), ("soon", None), (None, None), ("-1", 0.0)])
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """The server's seconds are passed on; nonsense is no word at all."""
    headers = {} if header is None else {"retry_after": header}
    failure = failure_of(refused({"ok": False, "error": "ratelimited"}, 429, **headers), "m", once=False)
    assert isinstance(failure, RateLimited)
    assert failure.retry_after == seconds


def test_code_and_scope_of_a_failure() -> None:
    """A failure has Slack's code and scope, and no token."""
    with pytest.raises(Forbidden) as caught, translated("users.info", once=False):
        raise code("missing_scope", needed="users:read")
    assert code_of(caught.value) == "missing_scope"
    assert needed_of(caught.value) == "users:read"
    assert "users:read" in str(caught.value)
    assert "secret" not in str(caught.value) + str(caught.value.__cause__)
    assert code_of(ServiceError("x")) == ""


def test_a_404_is_an_unknown_method() -> None:
    """Compatible servers answer 404 for missing methods."""
    with pytest.raises(ServiceError) as caught, translated("users.info", once=False):
        raise refused({}, 404)
    assert code_of(caught.value) == "unknown_method"


def foreign() -> list[type[Exception]]:
    """All errors of the SDK and of aiohttp's client."""
    theirs = [kind for _, kind in inspect.getmembers(slack_sdk.errors, inspect.isclass)]
    client = [kind for _, kind in inspect.getmembers(aiohttp, inspect.isclass) if issubclass(kind, aiohttp.ClientError)]
    return [kind for kind in (*theirs, *client) if issubclass(kind, Exception) and kind is not SlackApiError]


@pytest.mark.parametrize("kind", foreign(), ids=lambda kind: kind.__name__)
def test_none_is_missed(kind: type[Exception]) -> None:
    """Each exception of the SDK and its transport becomes a `Failure`."""
    error = kind.__new__(kind)
    with pytest.raises(Failure), translated("chat.postMessage", once=True):
        raise error


@pytest.mark.parametrize(
    "kind", [aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError, aiohttp.ConnectionTimeoutError]
)
def test_a_failed_connection_has_a_known_outcome(kind: type[Exception]) -> None:
    """A failed connection certainly made no post."""
    assert type(failure_of(kind.__new__(kind), "m", once=True)) is ConnectFailed


def test_the_groups_do_not_overlap() -> None:
    """A code means one thing."""
    groups = (errors.GONE, errors.FORBIDDEN, errors.UNACCEPTABLE, errors.UNCERTAIN, errors.BROKEN, errors.LIMITED)
    assert sum(len(group) for group in groups) == len(frozenset().union(*groups))
    assert errors.BLOCKS <= errors.UNACCEPTABLE
    assert issubclass(OutcomeUnknown, Retryable)
