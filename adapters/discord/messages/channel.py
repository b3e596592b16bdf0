"""The core's port for one answer in a Discord channel: post, edit, delete and find. Each call is a single request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import discord
from typing_extensions import override

from adapters.discord.errors import map_errors
from adapters.discord.events.message import ChannelKind, DiscordMessage
from adapters.discord.events.parse import MessagePosted
from adapters.discord.history.lost_posts import find_answer_message, next_answer_message
from adapters.discord.history.reader import HistoryReader
from adapters.discord.messages.accepted_form import AcceptedForm
from adapters.discord.messages.components import ids_in, question_name
from adapters.discord.messages.payloads import PINGS_NOBODY, request_body
from adapters.discord.messages.typing_indicator import show_typing
from adapters.discord.rate_limits import ChannelBudgets
from adapters.discord.state import BotState
from adapters.shared.cache import loop_time
from bot.conversation import History, Part
from bot.errors import NotFound, OutcomeUnknown, Permanent, ServiceError
from bot.ports import Body, Channel, ChannelCapabilities, Controls, UnfinishedTurn, Verb
from bot.rate_limits import Budget

log = logging.getLogger(__name__)

# An answer's first message pings the asker. Later messages and edits ping nobody (`payloads.PINGS_NOBODY`).
PINGS_ASKER = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=True)

# Timeout of a write with files; the core's own is no longer. Seconds.
FILE_SECONDS = 60.0


class DiscordChannel(Channel):
    """Writes one answer and reads its conversation. `conversation` is recorded for each posted message.

    `unfinished` is the turn's state in an earlier process; `replaces` are the messages of the present answer, which
    another one replaces. `question_id` replaces the id of the event's message in the ids of controls, and `asked_in` is
    the question's channel if the answer is in another one. The constructor only stores values: budgets and capabilities
    are looked up on first use.
    """

    def __init__(
        self,
        state: BotState,
        event: MessagePosted,
        *,
        conversation: str,
        unfinished: UnfinishedTurn | None = None,
        replaces: Sequence[str] = (),
        pings_author: bool = True,
        question_id: str = "",
        asked_in: str = "",
    ) -> None:
        self._state = state
        self._question = event.message
        self._channel = event.channel
        self._bot_id = event.bot.id
        self._conversation = conversation
        self._asked_at = loop_time()
        self._recovered = unfinished is not None
        known = unfinished.messages if unfinished else tuple(replaces)
        self._pings = PINGS_NOBODY if known or not pings_author else PINGS_ASKER  # of the next post
        self._question_id = question_id or event.message.id
        self._asked_in = asked_in or event.message.channel
        self._shown: dict[str, frozenset[str]] = {}  # ids of the controls by message, if known
        self._keys_with_files: set[str] = set()  # keys of posts
        # Messages certainly without files: also the first one of an unfinished first answer. An edit of another one
        # says so, since an edit without "attachments" keeps them.
        is_first_answer = unfinished is not None and not unfinished.key.generation
        self._without_files = set(known[:1] if is_first_answer else ())

    @cached_property
    def _budgets(self) -> ChannelBudgets:
        return self._state.budgets.channel(self._question.channel)

    @cached_property
    def _form(self) -> AcceptedForm:
        return AcceptedForm(self._state, self._question.channel)

    @cached_property
    def _question_name(self) -> str:
        return question_name(self._asked_in, self._question_id, shown_in=self._question.channel)

    @property
    @override
    def connection(self) -> str:
        """One connection per bot."""
        return f"discord:{self._bot_id}"

    @property
    @override
    def caps(self) -> ChannelCapabilities:
        """Capabilities; controls and files disappear once the server has rejected them."""
        return self._form.caps

    @override
    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """The channel's window for `verb`, the whole bot's budget, and the shard's last limit."""
        return (self._budgets.of(verb), self._state.budgets.global_limit, *self._state.last_limits)

    @override
    async def attachments(self) -> tuple[Part, ...]:
        """Context labels and files of the question."""
        return await HistoryReader(self._state).context(self._question, self._channel)

    @override
    async def history(self, limit: int) -> History:
        """The conversation before the question."""
        return await HistoryReader(self._state).history(self._question, self._channel, limit)

    @override
    async def turn_ended(self) -> None:
        return None

    @override
    async def show_working(self) -> None:
        """Show the typing indicator until cancelled."""
        await show_typing(self._state, self._question.channel)

    # --------------------------------------------------------------------------------------------------------- writes

    @override
    async def post(self, body: Body, key: str) -> str:
        """Post a message and return its id. `key` is its nonce, which Discord keeps unique for some minutes.

        Each message replies to the question, so that a reply to any of them finds the conversation. If the question
        was deleted, or references are refused, the post has none (fail_if_not_exists).
        """
        payload = self._post_payload(body, key)
        params = request_body(payload, body.files)
        if body.files:
            self._keys_with_files.add(key)
        async with self._write(Verb.POST, payload, files=bool(body.files)):
            created = await self._state.client.http.send_message(int(self._question.channel), params=params)
            message = str(int(created["id"]))
        self._pings = PINGS_NOBODY
        text = str(created.get("content", body.text))
        if self._recovered and text.strip() != body.text.strip():
            # Without the cached message, a search that does not reach it would repeat this post for ever.
            self._cache_own(message, text)
            raise OutcomeUnknown("the message of an earlier process has this key", retry_after=0.0)
        if not created.get("attachments"):
            self._without_files.add(message)
        # With a nonce already used, Discord returns the earlier message in its current state.
        self._shown[message] = ids_in(created.get("components", payload.get("components")))
        if len(created.get("attachments") or ()) < len(body.files):
            self._form.disable_files("the server dropped the files of a post")
        rest = [file.rest for file in body.files if file.rest]  # so that the next history has the whole answer
        self._cache_own(message, "\n\n".join([*rest, body.text]))
        return message

    def _post_payload(self, body: Body, key: str) -> dict[str, Any]:
        question = self._question
        payload = {
            "content": body.text,
            "nonce": key,
            "enforce_nonce": True,
            "allowed_mentions": self._pings.to_dict(),
            **self._components("", body),
        }
        if self._form.references and question.id != question.channel:  # a thread's own question is outside of it
            reference = discord.MessageReference(
                message_id=int(question.id), channel_id=int(question.channel), fail_if_not_exists=False
            )
            payload["message_reference"] = reference.to_message_reference_dict()
        return payload

    @override
    async def edit(self, message: str, body: Body) -> None:
        """Replace a message's text and components."""
        payload = {
            "content": body.text,
            "allowed_mentions": PINGS_NOBODY.to_dict(),
            **self._components(message, body),
            **({} if body.files or message in self._without_files else {"attachments": []}),
        }
        shown = self._shown.pop(message, None)  # unknown until the response
        try:
            async with self._write(Verb.EDIT, payload):
                client = self._state.client
                await client.http.edit_message(int(self._question.channel), int(message), params=request_body(payload))
        except (ServiceError, Permanent):  # certainly without effect
            if shown is not None:
                self._shown[message] = shown
            raise
        if "components" in payload:
            shown = ids_in(payload["components"])
        self._shown[message] = shown or frozenset()
        if not body.files:
            self._without_files.add(message)
        self._state.cache.set_text(self._question.channel, message, body.text)

    @override
    async def delete(self, message: str) -> None:
        """Delete a message; a missing one counts as deleted."""
        cache, channel = self._state.cache, self._question.channel
        cache.mark_deleting(message)
        try:
            async with self._write(Verb.DELETE, {}):
                await self._state.client.http.delete_message(int(channel), int(message))
        except NotFound:
            pass
        self._shown.pop(message, None)
        cache.remove(channel, message)

    @override
    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """The id of the post with `key` if it exists; None if not, or if repeating the post finds it.

        A repeated post finds the first one by its nonce within `nonce_seconds` of the question. A recovered answer and
        a post with files are searched for instead, because a surplus message must be found to be deleted.
        """
        state, question = self._state, self._question
        cached = state.cache.messages(question.channel)
        found = next_answer_message(cached, question, known, bot_id=state.bot_id)
        age = loop_time() - self._asked_at
        has_nonce = not self._recovered and key not in self._keys_with_files and age < state.options.nonce_seconds
        if found is None and not has_nonce:
            found = await find_answer_message(state, question, known)
        if found is not None:
            self._pings = PINGS_NOBODY
        return found

    @asynccontextmanager
    async def _write(self, verb: Verb, payload: Mapping[str, Any], *, files: bool = False) -> AsyncIterator[None]:
        try:
            with map_errors(verb.value):
                async with asyncio.timeout(FILE_SECONDS if files else self._state.options.write_seconds):
                    yield
        except Permanent as rejection:
            failure = self._form.failure_for(verb, payload, rejection, files=files)
            if failure is rejection:
                raise
            raise failure from rejection

    def _components(self, message: str, body: Body) -> dict[str, Any]:
        """The "components" field of a write; empty if the message certainly has the right ones.

        Unknown for messages of an earlier process and after a write without a response.
        """
        shown = self._shown.get(message) if message else frozenset[str]()
        controls = self.caps.controls
        can_show = controls is not Controls.NONE
        if not can_show and not shown:
            return {}
        wanted = self._state.components(body.controls & controls, self._question_name) if can_show else []
        return {} if shown == ids_in(wanted) else {"components": wanted}

    def _cache_own(self, message: str, text: str) -> None:
        """Cache our own post without waiting for its event."""
        cache, question = self._state.cache, self._question
        own = DiscordMessage(
            message, question.channel, self._state.bot_id, question.guild, text=text, bot=True, reply_to=question.id
        )
        cache.add_read([own])
        cache.set_conversation(message, self._conversation)
        if self._channel.kind is ChannelKind.THREAD:
            cache.set_participation(self._channel.id, question.id)
