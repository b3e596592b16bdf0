"""Calls with an interaction's token: the first response, then edits and follow-ups of its webhook.

https://docs.discord.com/developers/interactions/receiving-and-responding. The bot's global limit does not count them;
each token has windows of its own (`Budgets.interaction`), and all follow-ups in a channel share a limit without
headers, known only from its 429s. Each call sends one request and raises a `Failure`. discord.py's own webhook client
would ignore the configured address and wait inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from discord.http import Route

from adapters.discord.errors import code_of, map_errors, status_of
from adapters.discord.events.interactions import InteractionToken
from adapters.discord.messages.payloads import FileToSend, request_body
from adapters.discord.state import BotState
from adapters.shared.json_fields import as_object
from bot.errors import Failure, Forbidden, NotFound

# Callback types (same source): a message; a message later; nothing visible; a form; completions of an argument.
MESSAGE, MESSAGE_LATER, NOTHING_VISIBLE, COMPLETIONS, MODAL = 4, 5, 6, 8, 9

# "Interaction has already been acknowledged" (https://docs.discord.com/developers/topics/opcodes-and-status-codes).
_ALREADY_ACKNOWLEDGED = 40060

# Unknown interaction, unknown webhook, invalid webhook token; same list. The token's time is over, whatever the clock
# says.
_EXPIRED = frozenset({10062, 10015, 50027})


class TokenExpired(NotFound):
    """The interaction's token is no longer valid: nothing more can be shown with it."""


class InteractionCalls:
    """Requests with interaction tokens."""

    def __init__(self, state: BotState) -> None:
        self._state = state

    async def respond(
        self, to: InteractionToken, kind: int, data: Mapping[str, Any] | None = None, files: Sequence[FileToSend] = ()
    ) -> None:
        """Send the first response. Returns if there was one already: an earlier attempt whose response was lost."""
        route = Route(
            "POST",
            "/interactions/{interaction_id}/{interaction_token}/callback",
            interaction_id=to.id,
            interaction_token=to.token,
        )
        payload = {"type": kind} if data is None else {"type": kind, "data": dict(data)}
        try:
            await self._send(route, payload, files, inner="data", what="responding to an interaction")
        except Failure as failure:
            if code_of(failure) != _ALREADY_ACKNOWLEDGED:
                raise

    async def follow_up(
        self, to: InteractionToken, data: Mapping[str, Any], files: Sequence[FileToSend] = ()
    ) -> Mapping[str, Any]:
        """Add a message, and return it. Not idempotent: after a lost response, a repetition appears twice."""
        return await self._message(_route("POST", to, ""), data, files, what="adding a message to an interaction")

    async def edit(
        self, to: InteractionToken, message: str, data: Mapping[str, Any], files: Sequence[FileToSend] = ()
    ) -> Mapping[str, Any]:
        """Edit a message, and return it. `message` is an id or ``@original``, the first response."""
        return await self._message(_route("PATCH", to, message), data, files, what="editing an interaction's message")

    async def delete(self, to: InteractionToken, message: str) -> None:
        """Delete a message; `message` as in `edit`."""
        await self._send(_route("DELETE", to, message), None, what="deleting an interaction's message")

    async def _message(
        self, route: Route, data: Mapping[str, Any], files: Sequence[FileToSend], *, what: str
    ) -> Mapping[str, Any]:
        return as_object(await self._send(route, data, files, what=what))

    async def _send(
        self,
        route: Route,
        data: Mapping[str, Any] | None,
        files: Sequence[FileToSend] = (),
        *,
        what: str,
        inner: str = "",
    ) -> Any:  # noqa: ANN401 (JSON of any shape)
        body: dict[str, Any] = {}
        if data is not None:
            params = request_body(data, files, inner=inner)
            body = {"files": params.files, "form": params.multipart} if params.files else {"json": params.payload}
        with _expiry(what), map_errors(what):
            return await self._state.client.http.request(route, **body)


def _route(method: str, to: InteractionToken, message: str) -> Route:
    path = "/webhooks/{webhook_id}/{webhook_token}" + ("/messages/{message_id}" if message else "")
    ids = {"message_id": message} if message else {}
    return Route(method, path, webhook_id=to.application, webhook_token=to.token, **ids)


@contextmanager
def _expiry(what: str) -> Iterator[None]:
    """Raise `TokenExpired` for the errors that mean it."""
    try:
        yield
    except (NotFound, Forbidden) as failure:
        if code_of(failure) in _EXPIRED or status_of(failure) == 401:
            raise TokenExpired(f"{what}: the token has expired") from failure
        raise
