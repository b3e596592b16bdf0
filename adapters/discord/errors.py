"""Map errors of discord.py and aiohttp to the core's failures.

``tests/unit/adapters/discord/test_errors.py`` checks that every exception class of both is mapped. Reactions to a
failure belong elsewhere.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import aiohttp
import discord

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

# Codes for a missing permission under a status for a malformed request: an archived thread, a locked one
# (https://docs.discord.com/developers/topics/opcodes-and-status-codes#json).
_FORBIDDEN_CODES = frozenset({50083, 160005})

# Codes for a rejected edit where a post may succeed, same list: an archived thread (a post reopens it), too many edits
# of an old message, another author's message.
_UNCHANGEABLE_CODES = frozenset({50083, 30046, 50005})

# Codes for a rejected message reference, same list: no permission to read the history, or an unknown message.
_REFERENCE_CODES = frozenset({160002, 10008})

# "Unknown Channel", same list. It tells a deleted channel from an endpoint missing on a server.
_UNKNOWN_CHANNEL = 10003

# Retry delay for a 429 without one (Cloudflare's page may have none): about a channel's window plus a margin. Seconds.
DEFAULT_RETRY_SECONDS = 10.0

# Gateway close codes after which reconnecting is pointless, with advice for the operator
# (https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway).
REFUSED = (
    "Discord refused DISCORD_TOKEN: reset it in https://discord.com/developers/applications (your application, Bot, "
    "Reset Token) and set the new one."
)
MISSING_INTENT = (
    "Discord refused the Message Content intent: switch it on in https://discord.com/developers/applications (your "
    "application, Bot, Privileged Gateway Intents, Message Content Intent) and start again."
)
_FINAL_CLOSES = MappingProxyType(
    {
        4004: REFUSED,
        4010: "Discord refused the connection: invalid shard (gateway close 4010).",
        4011: "Discord asks for more shards: this bot is in more servers than each of them may serve. Set "
        "TICKERTAPE_DISCORD_SHARDS=auto (gateway close 4011).",
        4012: "Discord refused the gateway's version: update the program (gateway close 4012).",
        4013: "Discord refused the intents: update the program (gateway close 4013).",
        4014: MISSING_INTENT,
    }
)


class EndpointMissing(OutcomeUnknown):
    """A 404 without Discord's JSON: from a proxy, or from a small server without the endpoint."""


def code_of(failure: Failure) -> int:
    """Discord's error code behind a failure; 0 if there is none."""
    cause = failure.__cause__
    return cause.code if isinstance(cause, discord.HTTPException) else 0


def status_of(failure: Failure) -> int:
    """The HTTP status behind a failure of Discord's; 0 if there is none."""
    cause = failure.__cause__
    return cause.status if isinstance(cause, discord.HTTPException) else 0


def is_unknown_channel(failure: Failure) -> bool:
    """Whether Discord reports the channel itself as unknown."""
    return code_of(failure) == _UNKNOWN_CHANNEL


def refuses_edits(failure: Failure) -> bool:
    """Whether a rejected edit forbids edits of this message, but no new ones."""
    return code_of(failure) in _UNCHANGEABLE_CODES or status_of(failure) == 405


def refuses_reference(failure: Failure) -> bool:
    """Whether a post was rejected because of its message reference."""
    cause = failure.__cause__
    if not isinstance(cause, discord.HTTPException):
        return False
    return cause.code in _REFERENCE_CODES or "message_reference" in cause.text.lower()


def names_components(failure: Failure) -> bool:
    """Whether a body was rejected because of its `components`, according to the server's text."""
    cause = failure.__cause__
    return isinstance(cause, discord.HTTPException) and "component" in cause.text.lower()


def names_content(failure: Failure) -> bool:
    """Whether a body was rejected because of its text, according to the server's."""
    cause = failure.__cause__
    return isinstance(cause, discord.HTTPException) and "in content:" in cause.text.lower()


def failure_of_status(status: int, body: object, headers: Mapping[str, str], what: str) -> Failure:
    """The failure for an error status; `body` is its JSON, or any other value."""
    fields = body if isinstance(body, dict) else {}
    line = f"{what}: {status} {fields.get('message', '')} ({fields.get('code', 'no code')})"
    if status == 429:
        return _rate_limited(fields, headers, line)
    if status >= 500 or status == 408:
        return OutcomeUnknown(line)  # a gateway may answer so although its server applied the request
    if status == 404:
        return NotFound(line)
    if status == 401:
        return Forbidden(f"{line} {REFUSED}")
    if status == 403 or fields.get("code") in _FORBIDDEN_CODES:
        return Forbidden(line)
    return InvalidRequest(line)


def failure_of_foreign_response(status: int, method: str, path: str, *, page: bool) -> Failure | None:
    """The failure for a 4xx without Discord's JSON; None if the status is enough.

    Usually a proxy or Cloudflare sent it, mostly as a `page` of HTML, without knowing Discord's answer: the same call
    may work later. But another server may report a deleted message or a missing permission without a body, and a body
    too large for a proxy stays too large (413). `path` is discord.py's template.
    """
    if status in (401, 413, 429) or not 400 <= status < 500:
        return None
    to_a_message = method in ("PATCH", "DELETE") and path.endswith("/messages/{message_id}")
    if to_a_message if status == 404 else not page:
        return None
    line = f"{method} {path}: {status} that is not Discord's own"
    return EndpointMissing(f"{line} (does DISCORD_API_URL end in /api/v10?)") if status == 404 else OutcomeUnknown(line)


def _rate_limited(fields: Mapping[str, Any], headers: Mapping[str, str], line: str) -> RateLimited:
    # Without Discord's JSON, Cloudflare sent it and means the whole address.
    is_global = bool(fields.get("global", "retry_after" not in fields)) or headers.get("X-RateLimit-Scope") == "global"
    for value in (fields.get("retry_after"), headers.get("X-RateLimit-Reset-After"), headers.get("Retry-After")):
        try:
            seconds = float(value)  # type: ignore[arg-type] # None and nonsense are what the except is for
        except (TypeError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return RateLimited(line, retry_after=seconds, is_global=is_global)
    return RateLimited(line, retry_after=DEFAULT_RETRY_SECONDS, is_global=is_global)


def failure_of(error: BaseException, what: str) -> Failure | None:
    """The failure for an SDK's exception; None for any other exception.

    A request sent without an answer may have worked. A refused or failed connection did not.
    """
    line = f"{what}: {type(error).__name__}"
    failure: Failure | None
    match error:
        case Failure():
            failure = error
        case discord.HTTPException():
            failure = failure_of_status(error.status, {"message": error.text, "code": error.code}, {}, what)
        case discord.RateLimited():
            failure = RateLimited(line, retry_after=error.retry_after)
        case discord.LoginFailure():
            failure = Forbidden(REFUSED)
        case discord.PrivilegedIntentsRequired():
            failure = Forbidden(MISSING_INTENT)
        case discord.ConnectionClosed():
            final = _FINAL_CLOSES.get(error.code)
            failure = Forbidden(final) if final else ServiceError(f"{line} {error.code}")
        case discord.GatewayNotFound():
            failure = ServiceError(line)
        case discord.InvalidData():
            failure = OutcomeUnknown(line)
        case discord.DiscordException():  # misuse of the library; a retry would fail as well
            failure = InvalidRequest(line)
        case _:
            failure = _of_transport(error, line)
    return failure


def _of_transport(error: BaseException, line: str) -> Failure | None:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ConnectFailed(line)
    if isinstance(error, aiohttp.InvalidURL):
        return ServiceError(line)
    if isinstance(error, aiohttp.ClientError | OSError):  # a TimeoutError is an OSError
        return OutcomeUnknown(line)
    if isinstance(error, KeyError | TypeError | ValueError | AttributeError):
        return OutcomeUnknown(f"{line} (an answer that is not what Discord sends)")
    return None


@contextmanager
def map_errors(what: str) -> Iterator[None]:
    """Raise a `Failure` for an SDK's exception. `what` names the call in the log and contains no secret."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error, what)
        if failure is None or failure is error:
            raise
        raise failure from error


@contextmanager
def map_connect_errors() -> Iterator[None]:
    """Raise only failures while logging in and listening; `Forbidden` is final.

    Final are a rejected token (401) and the close codes in `_FINAL_CLOSES`. Any other error may come from a proxy or
    pass, and is retried.
    """
    try:
        with map_errors("connecting to Discord"):
            yield
    except Forbidden as failure:
        cause = failure.__cause__
        if isinstance(cause, discord.HTTPException) and cause.status != 401:
            raise ServiceError(str(failure)) from failure
        raise
    except Failure:
        raise
    except Exception as error:
        # The boundary of one connection: an unforeseen error, such as a corrupt frame, ends it but not the process.
        log.exception("the connection to Discord ended in an unforeseen way")
        raise ServiceError(f"connecting to Discord: {type(error).__name__}") from error
