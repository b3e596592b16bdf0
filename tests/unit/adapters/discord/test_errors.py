"""Every exception of discord.py and aiohttp maps to a failure."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest

from adapters.discord.errors import (
    failure_of,
    failure_of_foreign_response,
    failure_of_status,
    map_connect_errors,
    map_errors,
)
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

MESSAGES = "/channels/{channel_id}/messages"
MESSAGE = "/channels/{channel_id}/messages/{message_id}"


def family(*roots: type[Exception]) -> Iterator[type[Exception]]:
    for root in roots:
        yield root
        yield from family(*root.__subclasses__())


def blank(kind: type[Exception]) -> Exception:
    """An exception made without its constructor; discord.py's have the attributes the mapping reads."""
    error = kind.__new__(kind)
    if isinstance(error, discord.DiscordException):
        vars(error).update(status=400, text="", code=0, retry_after=1.0)
    return error


@pytest.mark.parametrize("kind", sorted(set(family(discord.DiscordException, aiohttp.ClientError)), key=str), ids=str)
def test_every_exception_has_its_failure(kind: type[Exception]) -> None:
    """No exception of discord.py or aiohttp gets past the translation, those of later versions included."""
    assert isinstance(failure_of(blank(kind), "posting"), Failure)


def test_the_list_is_not_empty() -> None:
    """The walk above sees the libraries' exceptions."""
    kinds = set(family(discord.DiscordException, aiohttp.ClientError))

    assert {discord.NotFound, discord.RateLimited, aiohttp.ServerDisconnectedError} <= kinds


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"code": 50035}, InvalidRequest),
        (400, {"code": 50006}, InvalidRequest),
        (400, {"code": 50083}, Forbidden),
        (400, {"code": 160005}, Forbidden),
        (401, {}, Forbidden),
        (403, {"code": 50013}, Forbidden),
        (404, {"code": 10008}, NotFound),
        (404, {"code": 10003}, NotFound),
        (404, "not found", NotFound),
        (408, {}, OutcomeUnknown),
        (413, {}, InvalidRequest),
        (429, {"retry_after": 1.5}, RateLimited),
        (500, None, OutcomeUnknown),
        (503, "unavailable", OutcomeUnknown),
        (524, {}, OutcomeUnknown),
    ],
)
def test_statuses(status: int, body: object, expected: type[Failure]) -> None:
    """Each status maps to the failure with the right reaction."""
    assert type(failure_of_status(status, body, {}, "posting")) is expected


@pytest.mark.parametrize(
    ("body", "headers", "seconds", "everywhere"),
    [
        ({"retry_after": 1.5, "global": False}, {"Retry-After": "2"}, 1.5, False),
        ({"retry_after": 1.5, "global": True}, {}, 1.5, True),
        ({"retry_after": 1.5}, {"X-RateLimit-Scope": "global"}, 1.5, True),
        ({"global": False}, {"X-RateLimit-Reset-After": "0.25", "Retry-After": "1"}, 0.25, False),
        (None, {"Retry-After": "30"}, 30.0, True),
        (None, {}, 10.0, True),
        ({"retry_after": "soon", "global": False}, {}, 10.0, False),
        ({"retry_after": float("nan"), "global": False}, {"Retry-After": "3"}, 3.0, False),
        ({"retry_after": -1, "global": False}, {}, 10.0, False),
    ],
)
def test_what_a_429_says(body: object, headers: dict[str, str], seconds: float, everywhere: bool) -> None:
    """Its seconds are taken from where they are most exact, and a page of Cloudflare's means the whole address."""
    limited = failure_of_status(429, body, headers, "posting")

    assert isinstance(limited, RateLimited)
    assert (limited.retry_after, limited.is_global) == (seconds, everywhere)


@pytest.mark.parametrize(
    ("status", "method", "path", "page", "expected"),
    [
        *((status, "POST", MESSAGES, True, OutcomeUnknown) for status in (400, 403, 404, 405, 451)),
        *((status, "PATCH", MESSAGE, True, OutcomeUnknown) for status in (400, 403, 405)),
        *((404, method, MESSAGE, page, None) for method in ("PATCH", "DELETE") for page in (True, False)),
        *((404, method, MESSAGES, False, OutcomeUnknown) for method in ("GET", "POST")),
        (404, "GET", MESSAGE, False, OutcomeUnknown),
        (403, "GET", "/users/@me", True, OutcomeUnknown),
        *((status, "POST", MESSAGES, False, None) for status in (400, 403)),
        *((status, "POST", MESSAGES, True, None) for status in (200, 401, 413, 429, 503)),
    ],
)
def test_who_is_not_discord(status: int, method: str, path: str, page: bool, expected: type[Failure] | None) -> None:
    """A proxy's 4xx may be retried; a small server's 404 on a message and its 403 without a body may not."""
    failure = failure_of_foreign_response(status, method, path, page=page)

    assert failure is None if expected is None else isinstance(failure, expected)


def closed(code: int) -> discord.ConnectionClosed:
    socket: Any = SimpleNamespace(close_code=code)
    return discord.ConnectionClosed(socket, shard_id=None, code=code)


@pytest.mark.parametrize(
    ("error", "expected", "word"),
    [
        (closed(4004), Forbidden, "Reset Token"),
        (closed(4014), Forbidden, "Message Content Intent"),
        (closed(4013), Forbidden, "intents"),
        (closed(4000), ServiceError, "4000"),
        (discord.LoginFailure(), Forbidden, "Reset Token"),
        (discord.PrivilegedIntentsRequired(None), Forbidden, "Message Content Intent"),
        (TimeoutError(), OutcomeUnknown, ""),
        (ConnectionResetError(), OutcomeUnknown, ""),
        (aiohttp.ServerDisconnectedError(), OutcomeUnknown, ""),
        (aiohttp.ConnectionTimeoutError(), ConnectFailed, ""),
        (KeyError("id"), OutcomeUnknown, ""),
        (asyncio.CancelledError(), None, ""),
        (RuntimeError(), None, ""),
    ],
)
def test_other_exceptions(error: BaseException, expected: type[Failure] | None, word: str) -> None:
    """Unsent requests had no effect, sent ones may have; close codes and logins give advice."""
    failure = failure_of(error, "connecting")

    assert (type(failure) if failure is not None else None) is expected
    assert word in str(failure)


def test_failures_pass_and_bugs_stay_bugs() -> None:
    """Our failures pass unchanged, and other exceptions are not disguised as failures."""
    ours = NotFound("the message")
    with pytest.raises(NotFound) as gone, map_errors("editing"):
        raise ours
    assert gone.value is ours
    with pytest.raises(RuntimeError), map_errors("editing"):
        raise RuntimeError
    with pytest.raises(OutcomeUnknown), map_errors("editing"):
        raise TimeoutError


def answered(status: int, kind: type[discord.HTTPException] = discord.HTTPException) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="")
    return kind(response, {"code": 0, "message": "no"})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answered(403, discord.Forbidden), ServiceError),
        (answered(401), Forbidden),
        (answered(404, discord.NotFound), NotFound),
        (discord.LoginFailure(), Forbidden),
        (discord.PrivilegedIntentsRequired(None), Forbidden),
        *((closed(code), Forbidden) for code in (4004, 4010, 4011, 4012, 4013, 4014)),
        (closed(4008), ServiceError),
        (zlib.error(), ServiceError),
        (RuntimeError(), ServiceError),
    ],
)
def test_only_a_refusal_is_final_while_connecting(error: Exception, expected: type[Failure]) -> None:
    """Every error while connecting is a failure; only a final one is `Forbidden`."""
    with pytest.raises(Failure) as failure, map_connect_errors():
        raise error

    assert type(failure.value) is expected
