"""Slack's and aiohttp's errors as our failures: the one place where they are translated.

What belongs here: the table of Slack's error codes, by what the caller should do, and the context manager that every
call of the Web API goes through. What does not: any decision to try again.

Codes: https://docs.slack.dev/reference/methods (each method lists its own; those of chat.postMessage, chat.update,
chat.delete, conversations.replies and users.info are here). The code of a failure is read back with `code_of`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

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

# The message, the thread or the channel is there no more.
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

# We may not do this there, or at all.
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
        "not_allowed",
        "not_authorized",
        "unknown_method",
        "method_deprecated",
        "deprecated_endpoint",
        "method_not_supported_for_channel_type",
        "message_limit_exceeded",
        "user_not_found",
        "user_not_visible",
        # Files: switched off or restricted by an administrator, or not into a channel that is shared.
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
    ]
)

# The blocks of this body are refused, and its text alone may be taken (`channel` tries).
BLOCKS = frozenset(["invalid_blocks", "invalid_blocks_format", "unsupported_block_type", "msg_blocks_too_long"])

# More than one table in a message: Slack makes table blocks of a markdown block's tables, counts them as attachments
# and allows one (https://docs.slack.dev/reference/block-kit/blocks/table-block: invalid_attachments, with the message
# "only_one_table_allowed"). Read by `channel`, which then shows the others as text.
TABLES = frozenset(["invalid_attachments"])

# This very body is refused.
UNACCEPTABLE = (
    BLOCKS
    | TABLES
    | frozenset(
        [
            "msg_too_long",
            "no_text",
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

# Not the text around the blocks, nor the blocks: what a message is posted with beside them. Read by `channel`.
METADATA = frozenset(
    ["invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"]
)

# Too long, or too many: smaller messages of the same kind may be taken.
TOO_MUCH = frozenset(["msg_too_long", "msg_blocks_too_long"])

# Posts are still taken where edits are not any more. Read by `channel`.
UNCHANGEABLE = frozenset(["cant_update_message", "edit_window_closed"])

# A method that this server does not have, or does not have any more.
NO_METHOD = frozenset(["unknown_method", "method_deprecated", "deprecated_endpoint"])

# It failed at Slack's, and may have been applied all the same.
UNCERTAIN = frozenset(["internal_error", "fatal_error", "service_unavailable"])

# It failed at Slack's, and was not applied.
BROKEN = frozenset(
    ["request_timeout", "team_added_to_org", "update_failed", "external_channel_migrating", "streaming_state_conflict"]
)

LIMITED = frozenset(["ratelimited", "rate_limited"])

# Answers without Slack's JSON, by HTTP status. Slack itself answers a 200 or a 429 with a code, so they come from what
# stands between or from a server that only speaks like Slack. A proxy's 400, 403 or 404 passes; these are meant.
MEANT = frozenset([401, 405, 410, 501])
# The body, or what is around it, is too large for whoever stands between.
TOO_LARGE = frozenset([413, 414, 431])


@contextmanager
def translated(method: str, *, once: bool) -> Iterator[None]:
    """Raise our failures for what the SDK raises in a call of `method`.

    `once` says that being applied twice would show (a post): what may have been applied is then `OutcomeUnknown`.
    """
    try:
        yield
    except (SlackClientError, aiohttp.ClientError, OSError, ValueError, AttributeError) as error:
        # TimeoutError is an OSError, broken JSON and UTF-8 are ValueErrors; AttributeError is what the SDK raises for a
        # 200 whose body is not an object (slack_sdk/web/async_slack_response.py, `validate`).
        raise failure_of(error, method, once=once) from error


def failure_of(error: Exception, method: str, *, once: bool) -> Failure:
    """What an error of a call of `method` means. See `translated`."""
    uncertain = OutcomeUnknown if once else ServiceError
    match error:
        case SlackApiError():
            return _refused(error, method, uncertain)
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


def failure_of_upload(status: int, headers: Mapping[str, str]) -> Failure:
    """What another status than 200 means, where a file's bytes are sent: nobody has seen the file in any case."""
    line = f"a file's upload: HTTP {status}"
    if status == 429:
        return RateLimited(line, retry_after=_seconds(headers))
    return ServiceError(line) if status >= 500 or status == 408 else InvalidRequest(line)


def _refused(error: SlackApiError, method: str, uncertain: type[OutcomeUnknown | ServiceError]) -> Failure:
    status, code = _status(error), _code(error)
    line = f"{method}: {code or 'no error code'} (HTTP {status})"
    if status == 429 or code in LIMITED:
        return RateLimited(line, retry_after=_retry_after(error))
    if code:
        return _coded(code, f"{line}, needs {needed}" if (needed := _needed(error)) else line, uncertain)
    if status in MEANT:
        return Forbidden(line)
    return InvalidRequest(line) if status in TOO_LARGE else uncertain(line)


def _coded(code: str, line: str, uncertain: type[OutcomeUnknown | ServiceError]) -> Failure:
    if code in UNCERTAIN:
        return uncertain(line)
    if code in BROKEN:
        return ServiceError(line)
    if code in GONE:
        return NotFound(line)
    if code in UNACCEPTABLE | UNCHANGEABLE:
        return InvalidRequest(line)
    if code not in FORBIDDEN and not code.startswith("restricted_action"):
        # Slack says no and means it: that it would say yes to the same call a second later is not likely.
        log.warning("Slack answered with an error that this program does not know: %s", line)
    return Forbidden(line)


# ------------------------------------------------------------------------------------------------- what Slack said


def code_of(failure: Failure) -> str:
    """Slack's error code behind a failure; empty where it gave none. A 404 without one is ``unknown_method``."""
    error = failure.__cause__
    if not isinstance(error, SlackApiError):
        return ""
    return _code(error) or ("unknown_method" if _status(error) in (404, 405, 501) else "")


def is_too_much(failure: Failure) -> bool:
    """Whether a body was refused for its size, or for how many blocks Slack made of it."""
    if code_of(failure) in TOO_MUCH:
        return True
    error = failure.__cause__
    said = _data(error).get("response_metadata") if isinstance(error, SlackApiError) else None
    messages = said.get("messages") if isinstance(said, dict) else None
    words = " ".join(map(str, messages)) if isinstance(messages, list) else ""
    return "no more than" in words or "too long" in words or "must be less than" in words


def needed_of(failure: Failure) -> str:
    """The scope that Slack says is needed (``missing_scope``), or an empty string."""
    return _needed(failure.__cause__) if isinstance(failure.__cause__, SlackApiError) else ""


def _data(error: SlackApiError) -> Mapping[str, Any]:
    data = getattr(error.response, "data", None)
    return data if isinstance(data, dict) else {}


def _code(error: SlackApiError) -> str:
    code = _data(error).get("error")
    return code if isinstance(code, str) else ""


def _needed(error: SlackApiError) -> str:
    needed = _data(error).get("needed")
    return needed if isinstance(needed, str) else ""


def _status(error: SlackApiError) -> int:
    # Where the body was not JSON, the SDK hands over aiohttp's answer in place of its own.
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
