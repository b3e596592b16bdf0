"""Show the core's responses to one person, within Discord's rules for interactions.

Discord wants a first response within 3 s. A response ready by `READY_SECONDS` is the first one; a later one follows a
deferral. A form must be the first response, so a late form, or one after another form, is offered by a button.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.discord.events.interactions import Interaction, InteractionToken
from adapters.discord.interactions.calls import (
    MESSAGE,
    MESSAGE_LATER,
    MODAL,
    NOTHING_VISIBLE,
    InteractionCalls,
    TokenExpired,
)
from adapters.discord.interactions.modals import modal
from adapters.discord.interactions.private_messages import (
    EPHEMERAL,
    is_cut,
    notice_messages,
    open_button,
    private_message,
)
from adapters.discord.messages.payloads import FileToSend
from adapters.discord.rate_limits import spending
from adapters.discord.state import BotState
from adapters.shared.cache import LRUCache, TTLCache, expiring, loop_time
from bot.errors import Failure, OutcomeUnknown, Permanent, RateLimited, ServiceError
from bot.interactions.values import NOTHING, Action, Form, Notice, PrivateFile, Response

log = logging.getLogger(__name__)

# Time for the core's response before a deferral. The rest of Discord's 3 s is for the way to Discord, and for a
# repetition after a lost response. Seconds.
READY_SECONDS = 1.5

# Discord discards the token without a first response in this time
# (https://docs.discord.com/developers/interactions/receiving-and-responding). Seconds.
CALLBACK_SECONDS = 3.0

# Timeout of one attempt at a first response, so that there is time for another. Seconds.
ATTEMPT_SECONDS = 1.0

# A token's life, same source. Seconds.
TOKEN_SECONDS = 900.0

# Concurrent first responses; further ones wait a moment. At 0.2 s each they answer 250 presses a second.
MAX_CONCURRENT_CALLBACKS = 50

# Attempts of a later message, and the delay between two if the server gives none. Seconds.
MAX_ATTEMPTS = 4
RETRY_SECONDS = 0.3

# Forms offered by a button, each for as long as its interaction's token is valid; questions before an action. A
# forgotten form says so, a forgotten question is a general one.
MAX_REMEMBERED = 1_000
OPEN_PREFIX = "open:"

# The file with the whole text of a notice too long for its messages.
WHOLE_NOTICE = "notice.md"


@dataclass(frozen=True, slots=True)
class Manner:
    """Which first responses Discord takes.

    `needs_message`: an empty one is refused (a command). `after_form`: a form cannot follow another one.
    """

    needs_message: bool = False
    after_form: bool = False


PRESS, COMMAND = Manner(), Manner(needs_message=True)


class Responder:
    """Responds to interactions. It raises no `Failure`; each one is logged."""

    def __init__(self, state: BotState) -> None:
        self._calls = InteractionCalls(state)
        self._state = state
        self._strings = state.options.strings
        self._callbacks = asyncio.Semaphore(MAX_CONCURRENT_CALLBACKS)
        self._forms: TTLCache[str, Form] = expiring(MAX_REMEMBERED, TOKEN_SECONDS)
        self._confirmations: LRUCache[str, str] = LRUCache(MAX_REMEMBERED)

    async def respond(
        self, to: Interaction, work: Coroutine[Any, Any, Response], *, received: float, manner: Manner = PRESS
    ) -> None:
        """Show the response that `work` returns. `received` is the loop's time of the event."""
        deadline = received + CALLBACK_SECONDS
        async with asyncio.TaskGroup() as group:
            working = group.create_task(_guarded(work))
            await asyncio.wait([working], timeout=max(received + READY_SECONDS - loop_time(), 0.0))
            if working.done():
                await self._respond_at_once(to.token, working.result(), deadline, manner)
            elif manner.needs_message:
                if await self.acknowledge(to.token, MESSAGE_LATER, {"flags": EPHEMERAL}, deadline=deadline):
                    await self._show(to.token, await working, manner, replaces_original=True)
            elif await self.acknowledge(to.token, NOTHING_VISIBLE, deadline=deadline):
                await self._show(to.token, await working, manner)

    async def acknowledge(
        self,
        token: InteractionToken,
        kind: int,
        data: Mapping[str, Any] | None = None,
        files: Sequence[FileToSend] = (),
        *,
        deadline: float,
    ) -> bool:
        """Send the first response until Discord has it, at most until `deadline`; whether it arrived.

        A message refused with its buttons or file is sent without them, and a notice replaces a refused form.
        """
        try:
            async with asyncio.timeout_at(deadline), self._callbacks:
                try:
                    await _repeated(lambda: self._calls.respond(token, kind, data, files), ATTEMPT_SECONDS)
                except Permanent as refusal:
                    plain = private_message(self._strings.form_refused) if kind == MODAL else _plain(data)
                    if isinstance(refusal, TokenExpired) or kind not in (MODAL, MESSAGE) or plain is None:
                        raise
                    log.warning("a response is refused in its full form: %s", refusal)
                    await _repeated(lambda: self._calls.respond(token, MESSAGE, plain), ATTEMPT_SECONDS)
        except (Failure, TimeoutError) as failure:
            log.info("an interaction could not be acknowledged: %r", failure)
            return False
        return True

    def offered_form(self, name: str) -> Response:
        """The form behind a button that offers one."""
        return self._forms.get(name) or Notice(self._strings.form_gone)

    def confirmation(self, action: str, label: str) -> Response:
        """The question before an action, with its button."""
        question = self._confirmations.get(action, self._strings.confirm)
        return Notice(question, (Action(action, label, danger=True),))

    # -------------------------------------------------------------------------------------------------------- details

    async def _respond_at_once(
        self, token: InteractionToken, response: Response, deadline: float, manner: Manner
    ) -> None:
        if isinstance(response, Form) and not manner.after_form:
            await self.acknowledge(token, MODAL, modal(response), deadline=deadline)
            return
        messages, files = self._messages(response, manner)
        if not messages:
            await self.acknowledge(token, NOTHING_VISIBLE, deadline=deadline)
            return
        first, *rest = messages
        if await self.acknowledge(token, MESSAGE, first, () if rest else files, deadline=deadline):
            await self._write_all(token, rest, files)

    async def _show(
        self, token: InteractionToken, response: Response, manner: Manner, *, replaces_original: bool = False
    ) -> None:
        messages, files = self._messages(response, manner)
        await self._write_all(token, messages, files, replaces_original=replaces_original)

    def _messages(self, response: Response, manner: Manner) -> tuple[list[dict[str, Any]], tuple[FileToSend, ...]]:
        """A response's private messages, and the file of the last one. A form is offered by a button."""
        rows: list[dict[str, Any]] = []
        if isinstance(response, Form):
            name = secrets.token_urlsafe(12)
            self._forms[name] = response
            response, rows = (
                Notice(self._strings.form_ready),
                open_button(f"{OPEN_PREFIX}{name}", self._strings.form_open),
            )
        self._confirmations.update({each.id: each.confirm for each in response.actions if each.confirm})
        messages = notice_messages(response)
        if not messages and manner.needs_message:
            messages = [private_message(self._strings.done)]
        if rows:
            messages[-1]["components"] = rows
        files = [response.file] if response.file is not None else []
        if is_cut(response.text):
            files.append(PrivateFile(WHOLE_NOTICE, response.text.encode()))
        return messages, tuple(files)

    async def _write_all(
        self,
        token: InteractionToken,
        messages: Sequence[Mapping[str, Any]],
        files: Sequence[FileToSend],
        *,
        replaces_original: bool = False,
    ) -> None:
        """Write messages in order, the files with the last; the first replaces a deferred one."""
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                for number, message in enumerate(messages):
                    is_last, is_edit = number == len(messages) - 1, replaces_original and not number
                    await self._write(token, message, files if is_last else (), is_edit=is_edit)
        except TokenExpired as expired:
            log.info("a private notice came too late: %s", expired)
        except (Failure, TimeoutError) as failure:
            log.warning("a private notice could not be shown: %r", failure)

    async def _write(
        self, token: InteractionToken, message: Mapping[str, Any], files: Sequence[FileToSend], *, is_edit: bool
    ) -> None:
        seconds = self._state.options.write_seconds
        changed = {name: value for name, value in message.items() if name != "flags" or not is_edit}

        windows = self._state.budgets.interaction(token.token)

        def call(body: Mapping[str, Any], files: Sequence[FileToSend] = ()) -> Callable[[], Awaitable[object]]:
            async def write() -> None:
                async with spending(windows.edit if is_edit else windows.post):
                    if is_edit:
                        await self._calls.edit(token, "@original", body, files)
                    else:
                        await self._calls.follow_up(token, body, files)

            return write

        try:
            await _repeated(call(changed, files), seconds, attempts=MAX_ATTEMPTS)
        except Permanent as refusal:
            plain = _plain(changed)
            if isinstance(refusal, TokenExpired) or plain is None:
                raise
            log.warning("a notice is refused in its full form: %s", refusal)
            await _repeated(call(plain), seconds, attempts=MAX_ATTEMPTS)


def _plain(message: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A message's text alone; None without text."""
    return {**message, "components": []} if message and message.get("content") else None


async def _repeated(call: Callable[[], Awaitable[object]], seconds: float, *, attempts: int = 0) -> None:
    """Call until it succeeds, waiting as the server says; at most `attempts` times, 0: until cancelled."""
    attempt = 0
    while True:
        attempt += 1
        try:
            async with asyncio.timeout(seconds):
                await call()
        except (RateLimited, ServiceError, OutcomeUnknown, TimeoutError) as failure:
            if attempt == attempts:
                raise
            retry_after = getattr(failure, "retry_after", None)
            await asyncio.sleep(RETRY_SECONDS if retry_after is None else retry_after)
        else:
            return


async def _guarded(work: Coroutine[Any, Any, Response]) -> Response:
    """The result of `work`; the boundary of one interaction: an unforeseen error must not end the platform."""
    try:
        return await work
    except Exception:
        log.exception("a response to an interaction failed in an unforeseen way")
        return NOTHING
