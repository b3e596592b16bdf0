"""Slack's and aiohttp's errors as our failures. Every call of the Web API passes through `translated`.

Slack's error codes are grouped by the caller's reaction; retries are decided elsewhere. Codes:
https://docs.slack.dev/reference/methods (each method lists its own; chat.postMessage, chat.update, chat.delete, the
three methods of native streams, conversations.replies and users.info are covered). `code_of` returns the code of a
failure.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from adapters.shared.json_fields import Json, as_object, list_field, object_field, string_field
from bot.errors import (
    ConnectFailed,
    Failure,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ServiceError,
)

log = logging.getLogger(__name__)

# The message, the thread or the channel no longer exists.
GONE = frozenset(
    [
        "channel_not_found",
        "message_not_found",
        "thread_not_found",
        "invalid_thread_ts",
        "file_not_found",
        "is_archived",
        "is_inactive",
        "cannot_reply_to_message",
    ]
)

# The bot may not do this there, or at all.
FORBIDDEN = frozenset(
    [
        "not_in_channel",
        "missing_scope",
        "invalid_auth",
        "not_authed",
        "token_revoked",
        "token_expired",
        "account_inactive",
        "no_permission",
        "not_allowed_token_type",
        "access_denied",
        "restricted_action",
        "org_login_required",
        "ekm_access_denied",
        "accesslimited",
        "team_access_not_granted",
        "team_not_found",
        "two_factor_setup_required",
        "enterprise_is_restricted",
        "cant_delete_message",
        "compliance_exports_prevent_deletion",
        "messages_tab_disabled",
        "not_enabled",
        "feature_not_enabled",
        "not_allowed",
        "not_authorized",
        "unknown_method",
        "method_deprecated",
        "deprecated_endpoint",
        "method_not_supported_for_channel_type",
        "message_limit_exceeded",
        "user_not_found",
        "user_not_visible",
        "user_is_restricted",
        "user_is_ultra_restricted",
        # Files: disabled or restricted by an administrator, or not allowed in a shared channel.
        "file_uploads_disabled",
        "file_uploads_except_images_disabled",
        "file_type_not_allowed",
        "file_upload_size_restricted",
        "storage_limit_reached",
        "slack_connect_file_upload_sharing_blocked",
        "slack_connect_blocked_file_type",
        "slack_connect_clip_sharing_blocked",
        "posting_to_general_channel_denied",
        "posting_to_channel_denied",
        "invalid_channel",
        "file_update_failed",
        # Native streams: not on this surface, or not with these recipients.
        "channel_type_not_supported",
        "missing_recipient_user_id",
        "missing_recipient_team_id",
        "recipient_user_not_found",
        "recipient_team_not_found",
        "message_not_owned_by_app",
        "paid_only",
        "paid_teams_only",
        "plan_upgrade_required",
        # Installations: the app's credentials, the browser's code, and the refresh token.
        "invalid_client_id",
        "bad_client_secret",
        "invalid_app_id",
        "invalid_code",
        "code_already_used",
        "code_expired",
        "bad_redirect_uri",
        "oauth_authorization_url_mismatch",
        "invalid_grant",
        "invalid_grant_type",
        "invalid_refresh_token",
        "invalid_team_for_non_distributed_app",
        "no_scopes",
    ]
)

_TOO_MANY_BLOCKS = frozenset(["msg_blocks_too_long", "msg_blocks_too_many"])

# The blocks are refused; the text alone may be accepted (`messages.writer` tries).
BLOCKS = frozenset(["invalid_blocks", "invalid_blocks_format", "unsupported_block_type", *_TOO_MANY_BLOCKS])

# Too many tables: Slack makes table blocks of a markdown block's tables, counts them as attachments and allows one
# (https://docs.slack.dev/reference/block-kit/blocks/table-block: invalid_attachments, with the message
# "only_one_table_allowed"). `messages.writer` then sends the others as text.
TABLES = frozenset(["invalid_attachments"])

# This body is refused.
UNACCEPTABLE = (
    BLOCKS
    | TABLES
    | frozenset(
        [
            "msg_too_long",
            "no_text",
            "invalid_chunks",
            "cannot_provide_both_markdown_text_and_chunks",
            "streaming_mode_mismatch",
            "too_many_attachments",
            "invalid_arguments",
            "invalid_arg_name",
            "invalid_array_arg",
            "invalid_charset",
            "invalid_form_data",
            "invalid_post_type",
            "missing_post_type",
            "invalid_json",
            "json_not_object",
            "markdown_text_conflict",
            "invalid_metadata_format",
            "invalid_metadata_schema",
            "metadata_too_large",
            "metadata_must_be_sent_from_app",
            "block_mismatch",
        ]
    )
)

# The metadata of a post is refused, not its text or blocks.
METADATA = frozenset(
    ["invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"]
)

# Too long, or too many blocks: smaller messages of the same kind may be accepted.
TOO_MUCH = frozenset(["msg_too_long", *_TOO_MANY_BLOCKS])

# The message takes no more of its stream: Slack closed it after five minutes, or a reader stopped it.
STREAM_STOPPED = "stopped_by_user"
STREAM_CLOSED = frozenset(["message_not_in_streaming_state", STREAM_STOPPED])

# Edits and deletes are refused while the message is a stream.
STREAM_OPEN = "streaming_state_conflict"
UNDELETABLE = frozenset([STREAM_OPEN, "cant_delete_message"])

# Edits are refused; posts may still be accepted.
UNCHANGEABLE = frozenset(["cant_update_message", "edit_window_closed"])

# The server lacks the method, or has removed it.
NO_METHOD = frozenset(["unknown_method", "method_deprecated", "deprecated_endpoint"])

# Slack failed, perhaps after applying the call.
UNCERTAIN = frozenset(["internal_error", "fatal_error", "service_unavailable"])

# Slack failed without applying the call.
BROKEN = frozenset(
    [
        "request_timeout",
        "team_added_to_org",
        "update_failed",
        "external_channel_migrating",
        STREAM_OPEN,
        "hash_conflict",
    ]
)

LIMITED = frozenset(["ratelimited", "rate_limited"])

# Answers without Slack's JSON, by HTTP status. Slack itself sends 200 or 429 with a code, so these come from a proxy or
# a compatible server. A proxy's 400, 403 or 404 is temporary; these are final.
FINAL_STATUS = frozenset([401, 405, 410, 501])
# The body or the headers are too large for a proxy.
TOO_LARGE_STATUS = frozenset([413, 414, 431])


@contextmanager
def translated(method: str, *, once: bool) -> Iterator[None]:
    """Raise our failures for the SDK's errors in a call of `method`.

    `once`: a repetition would be visible (a post), so a call with an unknown outcome raises `OutcomeUnknown`.
    """
    try:
        yield
    except (SlackClientError, aiohttp.ClientError, OSError, ValueError, AttributeError) as error:
        # TimeoutError is an OSError, broken JSON and UTF-8 are ValueErrors. The SDK raises AttributeError for a 200
        # with a body other than an object (slack_sdk/web/async_slack_response.py, `validate`).
        raise failure_of(error, method, once=once) from error


def failure_of(error: Exception, method: str, *, once: bool) -> Failure:
    """The failure for an error in a call of `method`; see `translated`."""
    uncertain = OutcomeUnknown if once else ServiceError
    match error:
        case SlackApiError():
            return _api_failure(error, method, uncertain)
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return ConnectFailed(f"{method}: no connection ({type(error).__name__})")
        case aiohttp.InvalidURL():
            return ServiceError(f"{method}: no connection ({type(error).__name__})")
        case aiohttp.ClientConnectionError() | TimeoutError() | OSError() | aiohttp.ClientPayloadError():
            return OutcomeUnknown(f"{method}: no answer ({type(error).__name__})")
        case SlackClientError():
            return InvalidRequest(f"{method}: the SDK refuses it ({type(error).__name__}: {error})")
        case _:
            return uncertain(f"{method}: an answer that is not Slack's ({type(error).__name__})")


def address_failure(name: str, status: int, headers: Mapping[str, str]) -> Failure:
    """The failure for a status other than 200 from an address given by Slack: nothing is visible in any case."""
    line = f"{name}: HTTP {status}"
    if status == 429:
        return RateLimited(line, retry_after=_seconds(headers))
    return ServiceError(line) if status >= 500 or status == 408 else InvalidRequest(line)


def _api_failure(error: SlackApiError, method: str, uncertain: type[OutcomeUnknown | ServiceError]) -> Failure:
    status, code = _status(error), _code(error)
    line = f"{method}: {code or 'no error code'} (HTTP {status})"
    if status == 429 or code in LIMITED:
        return RateLimited(line, retry_after=_retry_after(error))
    if code:
        return _failure_by_code(code, f"{line}, needs {needed}" if (needed := _needed(error)) else line, uncertain)
    if status in FINAL_STATUS:
        return Forbidden(line)
    return InvalidRequest(line) if status in TOO_LARGE_STATUS else uncertain(line)


def _failure_by_code(code: str, line: str, uncertain: type[OutcomeUnknown | ServiceError]) -> Failure:
    if code in UNCERTAIN:
        return uncertain(line)
    if code in BROKEN:
        return ServiceError(line)
    if code in GONE:
        return NotFound(line)
    if code in UNACCEPTABLE | UNCHANGEABLE | STREAM_CLOSED:
        return InvalidRequest(line)
    if code not in FORBIDDEN and not code.startswith("restricted_action"):
        # Slack refuses; the same call a second later would hardly succeed.
        log.warning("Slack answered with an unknown error: %s", line)
    return Forbidden(line)


# -------------------------------------------------------------------------------------------- parts of Slack's answer


def code_of(failure: Failure) -> str:
    """Slack's error code of a failure; empty if there is none. A 404 without one is ``unknown_method``."""
    error = failure.__cause__
    if not isinstance(error, SlackApiError):
        return ""
    return _code(error) or ("unknown_method" if _status(error) in (404, 405, 501) else "")


def is_too_much(failure: Failure) -> bool:
    """Whether a body was refused for its size or its number of blocks."""
    if code_of(failure) in TOO_MUCH:
        return True
    words = words_of(failure)
    return "no more than" in words or "too long" in words or "must be less than" in words


def words_of(failure: Failure) -> str:
    """Slack's explanation of a refused body; empty without one."""
    error = failure.__cause__
    data = _data(error) if isinstance(error, SlackApiError) else {}
    return " ".join(map(str, list_field(object_field(data, "response_metadata"), "messages")))


def needed_of(failure: Failure) -> str:
    """The scope needed according to Slack (``missing_scope``), or an empty string."""
    return _needed(failure.__cause__) if isinstance(failure.__cause__, SlackApiError) else ""


def _data(error: SlackApiError) -> Json:
    return as_object(getattr(error.response, "data", None))


def _code(error: SlackApiError) -> str:
    return string_field(_data(error), "error")


def _needed(error: SlackApiError) -> str:
    return string_field(_data(error), "needed")


def _status(error: SlackApiError) -> int:
    # For a body other than JSON, the SDK passes aiohttp's answer instead of its own.
    status = getattr(error.response, "status_code", None) or getattr(error.response, "status", None)
    return status if isinstance(status, int) else 0


def _retry_after(error: SlackApiError) -> float | None:
    return _seconds(getattr(error.response, "headers", None) or {})


def _seconds(headers: Mapping[str, str]) -> float | None:
    given = {str(name).lower(): value for name, value in headers.items()}.get("retry-after")
    try:
        return max(float(given), 0.0) if given is not None else None
    except ValueError:
        return None
