"""The core's port for an answer to a command: the interaction's response first, then the channel.

The first segment is the interaction's response, ``@original``. Later ones are posts of the channel, with a nonce, where
the bot may post; otherwise at most five follow-ups. Nothing makes a follow-up idempotent: after a lost response it may
appear twice. Once the token has expired (`TokenExpired`, whatever the clock says), the bot writes as in any channel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from typing_extensions import override

from adapters.discord.events.commands import ChannelAccess
from adapters.discord.events.interactions import InteractionToken
from adapters.discord.events.message import COMMAND_ANSWER, ChannelInfo, ChannelKind, DiscordMessage
from adapters.discord.events.parse import MessagePosted
from adapters.discord.history.lost_posts import find_answer_message
from adapters.discord.history.reader import HistoryReader
from adapters.discord.interactions.calls import InteractionCalls, TokenExpired
from adapters.discord.interactions.private_messages import private_message
from adapters.discord.messages.accepted_form import AcceptedForm
from adapters.discord.messages.channel import FILE_SECONDS, DiscordChannel
from adapters.discord.messages.payloads import PINGS_NOBODY
from adapters.discord.messages.switched_budget import SwitchedBudget
from adapters.discord.rate_limits import HoldsOnly
from adapters.discord.state import BotState
from bot.conversation import History, Part
from bot.errors import Failure, Forbidden, InvalidRequest, NotFound, Permanent, RateLimited, ServiceError
from bot.ports import Body, Channel, ChannelCapabilities, Controls, UnfinishedTurn, Verb
from bot.rate_limits import Budget

log = logging.getLogger(__name__)

# Follow-ups of an interaction if the app is not in the server
# (https://docs.discord.com/developers/interactions/receiving-and-responding#followup-messages).
MAX_FOLLOW_UPS = 5

# Hold after a 429 of a follow-up without a time: about the longest window of a webhook. Seconds.
FOLLOW_UP_HOLD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CommandQuestion:
    """The question of a command. `message` has the interaction's id: no such message exists."""

    message: DiscordMessage
    channel: ChannelInfo
    token: InteractionToken  # without its text if only the channel is left to write in
    access: ChannelAccess
    asker: str = ""  # the name of whoever invoked the command


class InteractionChannel(Channel):
    """Writes one answer to a command. `conversation` is recorded for each message.

    `unfinished` is the turn's state in an earlier process, and `replaces` the messages of a present answer.
    """

    def __init__(
        self,
        state: BotState,
        question: CommandQuestion,
        *,
        conversation: str,
        unfinished: UnfinishedTurn | None = None,
        replaces: Sequence[str] = (),
    ) -> None:
        self._state = state
        self._question = question
        self._conversation = conversation
        self._unfinished = unfinished
        self._replaces = tuple(replaces)
        self._calls = InteractionCalls(state)
        known = unfinished.messages if unfinished is not None else self._replaces
        self._first = known[0] if known else ""  # the answer's first message
        self._is_expired = not question.token.token
        self._may_post = question.access.posts
        # Messages written with the token.
        self._by_token = set[str]() if self._is_expired else set(known[:1] if self._may_post else known)
        self._by_channel: DiscordChannel | None = None
        self._budgets = _Budgets(state, question, posts=self._may_post)
        if self._is_expired:
            self._budgets.use_channel()
        elif self._first:
            self._budgets.use_later()

    @cached_property
    def _form(self) -> AcceptedForm:
        return AcceptedForm(self._state, self._question.channel.id)

    @property
    @override
    def connection(self) -> str:
        """The bot's own, so that one pacer makes all writes."""
        return f"discord:{self._state.bot_id}"

    @property
    @override
    def caps(self) -> ChannelCapabilities:
        """As in the channel; without a way to read the question again, nothing to try it again with."""
        caps = self._form.caps
        if not self._question.access.reads:
            caps = replace(caps, controls=caps.controls & ~Controls.RETRY)
        return caps if self._may_post else replace(caps, messages=1 + MAX_FOLLOW_UPS)

    @override
    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """The token's windows at first, then those of the later messages. No interaction counts for the whole bot."""
        return self._budgets.of(verb)

    @override
    async def attachments(self) -> tuple[Part, ...]:
        """The thread's title, and the files of a menu's message."""
        return await HistoryReader(self._state).context(self._question.message, self._question.channel)

    @override
    async def history(self, limit: int) -> History:
        """The conversation before the command, as before a mention; none where the bot cannot read."""
        question = self._question
        if not question.access.reads:
            return History()
        return await HistoryReader(self._state).history(question.message, question.channel, limit)

    @override
    async def turn_ended(self) -> None:
        return None

    @override
    async def show_working(self) -> None:
        """Discord shows that the bot thinks until the first text."""
        await asyncio.Event().wait()

    @override
    async def withdraw(self) -> None:
        """Remove the visible "thinks", and tell the asker alone."""
        if self._first or self._is_expired:
            return
        token, text = self._question.token, self._state.options.strings.not_answered
        try:
            async with asyncio.timeout(self._state.options.write_seconds):
                await self._calls.delete(token, "@original")
                await self._calls.follow_up(token, private_message(text))
        except (Failure, TimeoutError) as failure:
            log.info("a question without an answer still shows that the bot thinks: %r", failure)

    # --------------------------------------------------------------------------------------------------------- writes

    @override
    async def post(self, body: Body, key: str) -> str:
        """Write the next message. The first is an edit of the response, and idempotent."""
        if not self._first and not self._is_expired:
            message = await self._respond(body)
        elif self._may_post:
            message = await self._post_in_channel(body, key)
        elif not self._is_expired:
            message = await self._follow_up(body)
        elif self._first and self._question.access.sees:  # the answer can still say that it ends here
            raise InvalidRequest("the interaction has expired, and the bot may not post here")
        else:
            raise Forbidden("the interaction has expired, and the bot may not post here")
        return message

    @override
    async def edit(self, message: str, body: Body) -> None:
        """Replace a message's text and components."""
        if message not in self._by_token:
            await self._channel_writer().edit(message, body)
            return
        async with self._write(Verb.EDIT, payload := self._payload(body)):
            await self._calls.edit(self._question.token, self._name_of(message), payload)
        self._remember(message, body)

    @override
    async def delete(self, message: str) -> None:
        """Delete a message; a missing one counts as deleted."""
        if message not in self._by_token:
            await self._channel_writer().delete(message)
            return
        self._state.cache.mark_deleting(message)
        try:
            async with self._write(Verb.DELETE, {}):
                await self._calls.delete(self._question.token, self._name_of(message))
        except NotFound:
            pass
        self._by_token.discard(message)
        self._state.cache.remove(self._question.channel.id, message)

    @override
    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """The next message after `known`; None for the response, because editing it twice is harmless.

        A follow-up is found only where the bot sees the channel.
        """
        if not self._first or not known:
            return None
        if self._may_post:
            return await self._channel_writer().find(key, known)
        found = None
        if self._question.access.reads:
            found = await find_answer_message(self._state, self._anchor(), known)
        if found is not None:
            self._by_token.add(found)
        return found

    async def _respond(self, body: Body) -> str:
        payload = self._payload(body)
        async with self._write(Verb.POST, payload, files=bool(body.files)):
            shown = await self._calls.edit(self._question.token, "@original", payload, body.files)
            message = str(int(shown["id"]))
        self._first = message
        self._by_token.add(message)
        self._remember(message, body)
        self._budgets.use_later()
        return message

    async def _post_in_channel(self, body: Body, key: str) -> str:
        try:
            message = await self._channel_writer().post(body, key)
        except Forbidden as refusal:
            if self._is_expired or body.files:
                raise
            # The command's permissions were outdated: follow-ups need none.
            self._may_post = False
            self._budgets.use_follow_ups()
            raise ServiceError("the bot may not post here", retry_after=0.0) from refusal
        if not self._first:
            self._first = message
            self._by_channel = None  # later messages reply to this one
        self._budgets.use_channel()
        return message

    async def _follow_up(self, body: Body) -> str:
        """Add a follow-up. Beyond their number the answer ends where it is, with a notice."""
        if len(self._by_token) > MAX_FOLLOW_UPS:
            raise InvalidRequest("Discord takes no more messages for this interaction")
        payload = self._payload(body)
        try:
            async with self._write(Verb.POST, payload, files=bool(body.files)):
                shown = await self._calls.follow_up(self._question.token, payload, body.files)
                message = str(int(shown["id"]))
        except RateLimited as limited:
            seconds = FOLLOW_UP_HOLD_SECONDS if limited.retry_after is None else limited.retry_after
            self._budgets.hold_follow_ups(seconds)
            raise
        self._by_token.add(message)
        self._remember(message, body)
        return message

    @asynccontextmanager
    async def _write(self, verb: Verb, payload: Mapping[str, Any], *, files: bool = False) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(FILE_SECONDS if files else self._state.options.write_seconds):
                yield
        except TokenExpired as expired:
            self._expire(expired)
        except Permanent as rejection:
            failure = self._form.failure_for(verb, payload, rejection, files=files)
            if failure is rejection:
                raise
            raise failure from rejection

    def _expire(self, expired: TokenExpired) -> None:
        """Write in the channel from now on, at once; a permanent failure if the bot cannot."""
        self._is_expired = True
        self._by_token.clear()
        self._budgets.use_channel()
        access = self._question.access
        if access.sees if self._first else self._may_post:
            raise ServiceError("the interaction has expired", retry_after=0.0) from expired
        raise Forbidden("the interaction has expired, and the bot cannot write here") from expired

    def _payload(self, body: Body) -> dict[str, Any]:
        controls = self.caps.controls
        can_show = controls is not Controls.NONE
        shown = self._state.components(body.controls & controls, self._question.message.id) if can_show else None
        payload = {"content": body.text, "allowed_mentions": PINGS_NOBODY.to_dict()}
        return payload if shown is None else {**payload, "components": shown}

    def _name_of(self, message: str) -> str:
        return "@original" if message == self._first else message

    # --------------------------------------------------------------------------------------------- in the channel

    def _channel_writer(self) -> DiscordChannel:
        """Writes messages of the channel, each a reply to the answer's first one."""
        if self._by_channel is None:
            question = self._question
            event = MessagePosted(
                self._anchor(), question.channel, self._state.identity(question.message.guild), source={}
            )
            self._by_channel = DiscordChannel(
                self._state,
                event,
                conversation=self._conversation,
                unfinished=self._unfinished,
                replaces=self._replaces,
                question_id=question.message.id,
            )
        return self._by_channel

    def _anchor(self) -> DiscordMessage:
        """The message that later ones reply to."""
        return replace(self._question.message, id=self._first or self._question.message.id)

    def _remember(self, message: str, body: Body) -> None:
        """Cache our own message without waiting for its event, where the bot sees the channel."""
        question, cache = self._question, self._state.cache
        cache.set_conversation(message, self._conversation)
        if not question.access.sees:
            return
        if cache.get(question.channel.id, message) is not None:
            cache.set_text(question.channel.id, message, body.text)
        if cache.get(question.channel.id, message) is None or message == self._first:
            cache.add_read([self._own(message, body.text)])
        if question.channel.kind is ChannelKind.THREAD:
            cache.set_participation(question.channel.id, message)

    def _own(self, message: str, text: str) -> DiscordMessage:
        asked, bot_id = self._question.message, self._state.bot_id
        own = DiscordMessage(message, asked.channel, bot_id, asked.guild, text=text, bot=True)
        if message == self._first:
            return replace(own, kind=COMMAND_ANSWER, name=self._question.asker)
        return replace(own, reply_to=self._first)


class _Budgets:
    """The budgets of one answer, which change with the kind of its messages."""

    def __init__(self, state: BotState, question: CommandQuestion, *, posts: bool) -> None:
        channel, token = question.channel.id, question.token.token
        self._global = state.budgets.global_limit
        self._last = state.last_limits
        self._channel = state.budgets.channel(channel)
        self._token = state.budgets.interaction(token) if token else self._channel
        self._posts = posts
        self._none = HoldsOnly()
        self._post = SwitchedBudget(self._token.edit, counts_replies=False)  # the first post is an edit
        self._post_also = SwitchedBudget(self._none, counts_replies=False)
        self._edit = SwitchedBudget(self._token.edit, counts_replies=True)
        self._edit_also = SwitchedBudget(self._none, counts_replies=True)
        self._delete = SwitchedBudget(self._token.delete, counts_replies=True)
        self._delete_also = SwitchedBudget(self._none, counts_replies=False)

    def of(self, verb: Verb) -> Sequence[Budget]:
        if verb is Verb.POST:
            return (self._post, self._post_also, *self._last)
        if verb is Verb.EDIT:
            return (self._edit, self._edit_also, *self._last)
        return (self._delete, self._delete_also, *self._last)

    def use_later(self) -> None:
        """The next post is not the first one. Edits of the response go on until then."""
        if self._posts:
            self._post.switch(self._channel.post)
            self._post_also.switch(self._global)
        else:
            self.use_follow_ups()

    def use_follow_ups(self) -> None:
        """Posts are follow-ups; all of a channel share a limit without headers."""
        self._post.switch(self._token.post)
        self._post_also.switch(self._channel.follow_ups)

    def use_channel(self) -> None:
        """Everything is written in the channel."""
        self._post.switch(self._channel.post)
        self._edit.switch(self._channel.edit)
        self._delete.switch(self._channel.delete)
        for budget in (self._post_also, self._edit_also, self._delete_also):
            budget.switch(self._global)

    def hold_follow_ups(self, seconds: float) -> None:
        """A follow-up met the channel's limit."""
        self._channel.follow_ups.hold(asyncio.get_running_loop().time(), seconds)
