"""Where one turn's answer is written: discord.py's verbs as the core's port, each a single request that never waits.

What belongs here: what goes along with a write (the reply, the nonce, who is pinged). What does not: when it is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import discord

from adapters.discord.asked import Kind, Place
from adapters.discord.dialect import MESSAGE_LIMIT, DiscordMarkdown
from adapters.discord.errors import translated
from adapters.discord.history import history
from adapters.discord.presence import Presence, now
from adapters.discord.seen import Seen
from bot.budget import Budget
from bot.conversation import History, Part
from bot.errors import Failure, Gone, Limited, Permanent
from bot.markdown import utf16_units
from bot.ports import Body, Caps, Verb

log = logging.getLogger(__name__)

CAPS = Caps(limit=MESSAGE_LIMIT, measure=utf16_units, dialect=DiscordMarkdown())

# The first message of an answer pings the asker; the ones that go on with it, and edits, ping nobody.
PINGS_ASKER = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=True)
PINGS_NOBODY = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=False)

# How often `working` looks whether typing is due, and how long one request may take. Seconds.
_TYPING_STEP = 1.0
_TYPING_TIMEOUT = 5.0

# Typing is sent only where the whole bot could send this many requests at once: it gives way to what is said. With all
# of 1,500 live answers typing, whatever was free for a moment, a third of all requests were typing.
_TYPING_ROOM = 25


class DiscordChannel:
    """See the module's docstring. `conversation` is the name that replies to this answer will belong to."""

    def __init__(self, presence: Presence, question: Seen, place: Place, *, conversation: str) -> None:
        self._presence = presence
        self._question = question
        self._place = place
        self._conversation = conversation
        self._budgets = presence.budgets.channel(question.channel)
        self._connection = presence.name
        self._posted = False

    @property
    def connection(self) -> str:
        """See `bot.ports.Channel`."""
        return self._connection

    @property
    def caps(self) -> Caps:
        """See `bot.ports.Channel`."""
        return CAPS

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """See `bot.ports.Channel`."""
        return (self._budgets.of(verb), self._presence.budgets.everything)

    async def attached(self) -> tuple[Part, ...]:
        """See `bot.ports.Channel`."""
        return await self._presence.attachments.read(self._question.attachments)

    async def history(self, limit: int) -> History:
        """See `bot.ports.Channel`."""
        return await history(self._presence, self._question, self._place, limit)

    async def post(self, body: Body, key: str) -> str:
        """See `bot.ports.Channel`. The key is the message's nonce, which Discord keeps unique for some minutes.

        Every message of the answer replies to the question, so that a reply to any of them finds the conversation;
        one that replies to a deleted question is posted without (fail_if_not_exists).
        """
        question = self._question
        reference = discord.MessageReference(
            message_id=int(question.id), channel_id=int(question.channel), fail_if_not_exists=False
        )
        async with self._write("posting"):
            target = self._presence.client.get_partial_messageable(int(question.channel))
            pings = PINGS_NOBODY if self._posted else PINGS_ASKER
            made = await target.send(body.text, nonce=key, reference=reference, allowed_mentions=pings)
        self._posted = True
        self._remember(str(made.id), body.text)
        return str(made.id)

    async def edit(self, message: str, body: Body) -> None:
        """See `bot.ports.Channel`."""
        async with self._write("editing"):
            await self._partial(message).edit(content=body.text, allowed_mentions=PINGS_NOBODY)
        self._presence.memory.revise(self._question.channel, message, body.text)

    async def delete(self, message: str) -> None:
        """See `bot.ports.Channel`."""
        try:
            async with self._write("deleting"):
                await self._partial(message).delete()
        except Gone:
            pass
        self._presence.memory.remove(self._question.channel, message)

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:  # noqa: ARG002 (a protocol's signature)
        """See `bot.ports.Channel`. Not needed: a second post with the same nonce returns the first one's message."""
        return None

    async def working(self) -> None:
        """See `bot.ports.Channel`."""
        channel, typing, everything = self._question.channel, self._presence.typing, self._presence.budgets.everything
        while True:
            # It counts in the bot's whole budget, where it waits for nobody and nobody waits for it.
            if everything.has_room(now(), _TYPING_ROOM) and typing.due(channel, now()):
                sent = now()
                everything.spend(sent)
                try:
                    await self._type(channel)
                finally:
                    everything.settle(now(), sent=sent)
            await asyncio.sleep(_TYPING_STEP)

    async def _type(self, channel: str) -> None:
        typing = self._presence.typing
        try:
            async with asyncio.timeout(_TYPING_TIMEOUT):
                with translated("typing"):
                    await self._presence.client.http.send_typing(int(channel))
        except (Failure, TimeoutError) as failure:
            log.debug("typing does not show: %r", failure)
            if isinstance(failure, Permanent):
                typing.hold(channel, now() + 60.0)
            elif isinstance(failure, Limited):
                typing.hold(channel, now() + (failure.retry_after or 0.0) + 1.0)

    @asynccontextmanager
    async def _write(self, what: str) -> AsyncIterator[None]:
        with translated(what):
            async with asyncio.timeout(self._presence.options.write_seconds):
                yield

    def _partial(self, message: str) -> discord.PartialMessage:
        return self._presence.client.get_partial_messageable(int(self._question.channel)).get_partial_message(
            int(message)
        )

    def _remember(self, message: str, text: str) -> None:
        """What we wrote need not be told to us."""
        memory, question = self._presence.memory, self._question
        me = self._presence.me("").id
        ours = Seen(message, question.channel, me, question.guild, text=text, bot=True, reply_to=question.id)
        memory.read([ours])
        memory.belongs(message, self._conversation)
        if self._place.kind is Kind.THREAD:
            memory.joined(self._place.id, question.id)
