"""The one place where what discord.py and aiohttp raise becomes our failures.

What belongs here: that translation, and the reading of an error's status and body. What does not: deciding what to do
about a failure. ``tests/unit/adapters/discord/test_errors.py`` walks through all exceptions of both and proves that
none is missed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

# Codes that say "you may not" with a status that says "malformed": an archived thread, a locked one
# (https://docs.discord.com/developers/topics/opcodes-and-status-codes#json).
_FORBIDDEN_CODES = frozenset({50083, 160005})

# The same list, where an edit is refused and a post is not: an archived thread, which a post reopens; too many edits of
# an old message; a message that is not ours to edit.
_UNCHANGEABLE_CODES = frozenset({50083, 30046, 50005})

# The same list, where a post may not refer to its question: no leave to read what was said, or an unknown message.
_REFERENCE_CODES = frozenset({160002, 10008})

# "Unknown Channel", from the same list: it is the channel that is gone, and not an endpoint that a server lacks.
_UNKNOWN_CHANNEL = 10003

# A 429 that says no time (Cloudflare's page may not): about as long as a channel's window, and a bit. Seconds.
UNSAID_SECONDS = 10.0

# Gateway closes after which no reconnecting helps, with what the operator should do about each
# (https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway).
REFUSED = (
    "Discord refused DISCORD_TOKEN: reset it in https://discord.com/developers/applications (your application, Bot, "
    "Reset Token) and set the new one."
)
MISSING_INTENT = (
    "Discord refused the Message Content intent: switch it on in https://discord.com/developers/applications (your "
    "application, Bot, Privileged Gateway Intents, Message Content Intent) and start again."
)
_FINAL_CLOSES = {
    4004: REFUSED,
    4010: "Discord refused the connection: invalid shard (gateway close 4010).",
    4011: "Discord asks for sharding: this bot is in more guilds than one connection may serve (gateway close 4011).",
    4012: "Discord refused the gateway's version: update the program (gateway close 4012).",
    4013: "Discord refused the intents: update the program (gateway close 4013).",
    4014: MISSING_INTENT,
}


class EndpointMissing(OutcomeUnknown):
    """A 404 that is not Discord's own: somebody on the way spoke, or a small server has no such endpoint."""


def is_unknown_channel(failure: Failure) -> bool:
    """Whether the channel itself is gone, by Discord's own word."""
    cause = failure.__cause__
    return isinstance(cause, discord.HTTPException) and cause.code == _UNKNOWN_CHANNEL


def refuses_edits(failure: Failure) -> bool:
    """Whether a refused edit says that the message cannot be edited, and nothing against new ones."""
    cause = failure.__cause__
    return isinstance(cause, discord.HTTPException) and (cause.code in _UNCHANGEABLE_CODES or cause.status == 405)


def refuses_reference(failure: Failure) -> bool:
    """Whether a post was refused for the message that it refers to."""
    cause = failure.__cause__
    if not isinstance(cause, discord.HTTPException):
        return False
    return cause.code in _REFERENCE_CODES or "message_reference" in cause.text.lower()


def names_components(failure: Failure) -> bool:
    """Whether a refused body was refused for its `components`, by the server's own words."""
    cause = failure.__cause__
    return isinstance(cause, discord.HTTPException) and "component" in cause.text.lower()


def names_content(failure: Failure) -> bool:
    """The same for its text."""
    cause = failure.__cause__
    return isinstance(cause, discord.HTTPException) and "in content:" in cause.text.lower()


def failure_of_status(status: int, body: object, headers: Mapping[str, str], what: str) -> Failure:
    """The failure that an error status means; `body` is its JSON, or whatever came instead."""
    said = body if isinstance(body, dict) else {}
    line = f"{what}: {status} {said.get('message', '')} ({said.get('code', 'no code')})"
    if status == 429:
        return _limited(said, headers, line)
    if status >= 500 or status == 408:
        return OutcomeUnknown(line)  # a gateway may say so of a request that was applied behind it
    if status == 404:
        return NotFound(line)
    if status == 401:
        return Forbidden(f"{line} {REFUSED}")
    if status == 403 or said.get("code") in _FORBIDDEN_CODES:
        return Forbidden(line)
    return InvalidRequest(line)


def failure_of_foreign_response(status: int, method: str, path: str, *, page: bool) -> Failure | None:
    """The failure that a 4xx without Discord's JSON means, or None where the status says enough.

    It is somebody on the way who speaks (Cloudflare, a proxy), mostly in a `page` of HTML, and does not know what
    Discord would have said: the same call may work later. But a server that is not Discord's may say without a body
    that a message is gone or that we may not write, and what is too long for a proxy stays too long (413).
    `path` is discord.py's template of it.
    """
    if status in (401, 413, 429) or not 400 <= status < 500:
        return None
    to_a_message = method in ("PATCH", "DELETE") and path.endswith("/messages/{message_id}")
    if to_a_message if status == 404 else not page:
        return None
    line = f"{method} {path}: {status} that is not Discord's own"
    return EndpointMissing(f"{line} (does DISCORD_API_URL end in /api/v10?)") if status == 404 else OutcomeUnknown(line)


def _limited(said: Mapping[str, Any], headers: Mapping[str, str], line: str) -> RateLimited:
    # Without Discord's JSON it is Cloudflare who speaks, and means the whole address.
    is_global = bool(said.get("global", "retry_after" not in said)) or headers.get("X-RateLimit-Scope") == "global"
    for word in (said.get("retry_after"), headers.get("X-RateLimit-Reset-After"), headers.get("Retry-After")):
        try:
            seconds = float(word)  # type: ignore[arg-type] # None and nonsense are what the except is for
        except (TypeError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return RateLimited(line, retry_after=seconds, is_global=is_global)
    return RateLimited(line, retry_after=UNSAID_SECONDS, is_global=is_global)


def failure_of(error: BaseException, what: str) -> Failure | None:
    """The failure that an SDK's exception means, or None where it is not one of an SDK's.

    What was sent and not answered may have worked. A refused connection, and one that could not be made, did not.
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
        case discord.DiscordException():  # misuse of the library: the same call would fail again
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
    """Whatever an SDK raises inside comes out as a failure. `what` names the call for the log, and holds no secret."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error, what)
        if failure is None or failure is error:
            raise
        raise failure from error


@contextmanager
def map_connect_errors() -> Iterator[None]:
    """As `map_errors`, around logging in and listening: nothing comes out but failures, and `Forbidden` is final.

    Final is a refused token (401) and a gateway's close that says so (`_FINAL_CLOSES`); any other error's status may
    be a proxy's or pass, and is worth another try.
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
        # The boundary of one connection: what nobody foresaw (a frame that does not unpack) ends it, not the process.
        log.exception("the connection to Discord ended in an unforeseen way")
        raise ServiceError(f"connecting to Discord: {type(error).__name__}") from error
