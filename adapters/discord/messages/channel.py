"""Where one turn's answer is written: discord.py's verbs as the core's port, each a single request that never waits.

What belongs here: what goes along with a write (the reply, the nonce, who is pinged). What does not: when it is made.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import discord
from discord.http import MultipartParameters

from adapters.discord.errors import map_errors, names_components, names_content, refuses_edits, refuses_reference
from adapters.discord.events.mentions import ChannelInfo, ChannelKind
from adapters.discord.events.parse import DiscordMessage
from adapters.discord.history.context import attached
from adapters.discord.history.reader import history
from adapters.discord.history.recovery import find_answer_message, next_answer_message
from adapters.discord.messages.components import components
from adapters.discord.messages.renderer import MESSAGE_LIMIT, DiscordMarkdown
from adapters.discord.state import BotState, now
from bot.conversation import History, Part
from bot.errors import (
    Failure,
    InvalidRequest,
    NotEditable,
    NotFound,
    OutcomeUnknown,
    Permanent,
    RateLimited,
    ServiceError,
    TooLarge,
)
from bot.markdown import utf16_units
from bot.ports import Body, ChannelCapabilities, Controls, UnfinishedTurn, Upload, Verb
from bot.rate_limits import Budget

log = logging.getLogger(__name__)

# The largest file that a bot may send anywhere, in bytes: 10 MiB each
# (https://docs.discord.com/developers/reference#uploading-files); all of one answer are together far below one's.
FILE_LIMIT = 10 * 2**20

CAPS = ChannelCapabilities(limit=MESSAGE_LIMIT, measure=utf16_units, renderer=DiscordMarkdown(), controls=Controls.STOP)

# By whether there are buttons and files.
_CAPS = MappingProxyType(
    {
        (controls, files): replace(
            CAPS, controls=CAPS.controls if controls else Controls.NONE, files=FILE_LIMIT if files else 0
        )
        for controls in (False, True)
        for files in (False, True)
    }
)

# The first message of an answer pings the asker; the ones that go on with it, and edits, ping nobody.
PINGS_ASKER = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=True)
PINGS_NOBODY = discord.AllowedMentions(everyone=False, users=False, roles=False, replied_user=False)

# For so long after the question a lost post is not looked for but made again: Discord knows its nonce "for a few
# minutes" (https://docs.discord.com/developers/resources/message#create-message) and returns the first one's message.
# The answer's posts are younger than the question, so two minutes are on the safe side. Seconds.
NONCE_SECONDS = 120.0

# Where a body is refused for its size or shape, the next ones have half of it, down to this, in UTF-16 units.
MIN_BODY_UNITS = 200

# For one write with files to be answered. Seconds; the core's own patience with them is no longer.
FILE_SECONDS = 60.0

# How often `show_working` looks whether typing is due, and how long one request may take. Seconds.
_TYPING_STEP = 1.0
_TYPING_TIMEOUT = 5.0

# Typing is sent only where the whole bot could send this many requests at once: it gives way to what is said. With all
# of 1,500 live answers typing, whatever was free for a moment, a third of all requests were typing.
_TYPING_ROOM = 25


class DiscordChannel:
    """See the module's docstring. `conversation` is the name that replies to this answer will belong to."""

    def __init__(
        self,
        state: BotState,
        question: DiscordMessage,
        channel_info: ChannelInfo,
        *,
        conversation: str,
        record: UnfinishedTurn | None = None,
    ) -> None:
        """`record` is what an earlier process left of this answer, if one began it."""
        self._state = state
        self._question = question
        self._channel_info = channel_info
        self._conversation = conversation
        self._budgets = state.budgets.channel(question.channel)
        self._connection = state.name
        self._asked_at = now()
        self._taken_up = record is not None
        self._posted = bool(record and record.messages)
        self._has_button: dict[str, bool] = {}  # by message, where it is known: there are as many as messages
        self._plain = False  # the server refuses our controls, or seems to
        self._limit = MESSAGE_LIMIT  # until something was refused for its size
        self._refers = True  # until a post was refused for the question that it replies to
        # Decided once, since it decides how the answer is cut, but for what shows when its own files go up.
        self._takes_files = state.accepts_files(question.channel)
        self._filed: set[str] = set()  # keys of posts with files
        # What an earlier process left may have files, all but the first; an edit that says nothing of them leaves them.
        self._maybe_filed = set(record.messages[1:]) if record else set[str]()

    @property
    def connection(self) -> str:
        """See `bot.ports.Channel`."""
        return self._connection

    @property
    def caps(self) -> ChannelCapabilities:
        """See `bot.ports.Channel`. Without controls, or files, once the server has refused them."""
        plain = self._plain or self._state.controls_refused
        caps = _CAPS[not plain, self._takes_files]
        return caps if self._limit == caps.limit else replace(caps, limit=self._limit)

    def budgets(self, verb: Verb) -> Sequence[Budget]:
        """See `bot.ports.Channel`."""
        return (self._budgets.of(verb), self._state.budgets.everything)

    async def attachments(self) -> tuple[Part, ...]:
        """See `bot.ports.Channel`."""
        return await attached(self._state, self._question, self._channel_info)

    async def history(self, limit: int) -> History:
        """See `bot.ports.Channel`."""
        return await history(self._state, self._question, self._channel_info, limit)

    async def post(self, body: Body, key: str) -> str:
        """See `bot.ports.Channel`. The key is the message's nonce, which Discord keeps unique for some minutes.

        Every message of the answer replies to the question, so that a reply to any of them finds the conversation;
        one that replies to a deleted question is posted without (fail_if_not_exists), and so is one that may not.
        """
        question = self._question
        reference = discord.MessageReference(
            message_id=int(question.id), channel_id=int(question.channel), fail_if_not_exists=False
        )
        pings = PINGS_NOBODY if self._posted else PINGS_ASKER
        payload = {
            "content": body.text,
            "nonce": key,
            "enforce_nonce": True,
            **({"message_reference": reference.to_message_reference_dict()} if self._refers else {}),
            "allowed_mentions": pings.to_dict(),
            **self._components("", body),
        }
        params = _with_files(payload, body.files) if body.files else _only(payload)
        self._filed.update([key] if body.files else [])
        async with self._write("posting", payload, files=bool(body.files)):
            made = await self._state.client.http.send_message(int(question.channel), params=params)
            message = str(int(made["id"]))
        if self._taken_up and str(made.get("content", body.text)).strip() != body.text.strip():
            raise OutcomeUnknown("the post of an earlier process has only now been made")
        self._posted = True
        # With a nonce that was used before, this is the message of then, as it is now.
        self._has_button[message] = bool(made.get("components", payload.get("components")))
        if len(made.get("attachments") or ()) < len(body.files):
            self._without_files("posting: the server leaves files out")
        rest = [file.rest for file in body.files if file.rest]  # so that the next question's history is whole
        self._remember(message, "\n\n".join([*rest, body.text]))
        return message

    async def edit(self, message: str, body: Body) -> None:
        """See `bot.ports.Channel`."""
        payload = {
            "content": body.text,
            "allowed_mentions": PINGS_NOBODY.to_dict(),
            **self._components(message, body),
            **({"attachments": []} if message in self._maybe_filed and not body.files else {}),
        }
        has = self._has_button.pop(message, None)  # not known until the write is answered
        try:
            async with self._write("editing", payload):
                client = self._state.client
                await client.http.edit_message(int(self._question.channel), int(message), params=_only(payload))
        except (ServiceError, Permanent):  # it certainly changed nothing
            self._has_button.update({} if has is None else {message: has})
            raise
        self._has_button[message] = bool(body.controls)
        self._maybe_filed.discard(message)
        self._state.cache.revise(self._question.channel, message, body.text)

    async def delete(self, message: str) -> None:
        """See `bot.ports.Channel`."""
        cache, channel = self._state.cache, self._question.channel
        cache.mark_deleting(message)
        try:
            async with self._write("deleting", {}):
                await self._state.client.http.delete_message(int(channel), int(message))
        except NotFound:
            pass
        self._has_button.pop(message, None)
        cache.remove(channel, message)

    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """See `bot.ports.Channel`. Within `NONCE_SECONDS` of the question, a second post finds the first by itself.

        Not so in an answer that is taken up, or of a message with files, where what is looked for may also be one too
        many, to be deleted.
        """
        state, question = self._state, self._question
        found = next_answer_message(state.cache.held(question.channel), question, known, bot_id=state.identity("").id)
        by_nonce = not self._taken_up and key not in self._filed and now() - self._asked_at < NONCE_SECONDS
        if found is None and not by_nonce:
            found = await find_answer_message(state, question, known)
        if found is not None and self._taken_up:
            self._maybe_filed.add(found)
        return found

    async def show_working(self) -> None:
        """See `bot.ports.Channel`."""
        channel, typing, everything = self._question.channel, self._state.typing, self._state.budgets.everything
        while True:
            # It counts in the bot's whole budget, where it waits for nobody and nobody waits for it.
            if everything.has_room(now(), _TYPING_ROOM) and typing.due(channel, now()):
                sent = now()
                everything.spend(sent)
                try:
                    await self._type(channel)
                finally:
                    everything.record_response(now(), sent=sent)
            await asyncio.sleep(_TYPING_STEP)

    async def _type(self, channel: str) -> None:
        typing = self._state.typing
        try:
            async with asyncio.timeout(_TYPING_TIMEOUT):
                with map_errors("typing"):
                    await self._state.client.http.send_typing(int(channel))
        except (Failure, TimeoutError) as failure:
            log.debug("typing does not show: %r", failure)
            if isinstance(failure, Permanent):
                typing.hold(channel, now() + 60.0)
            elif isinstance(failure, RateLimited):
                typing.hold(channel, now() + (failure.retry_after or 0.0) + 1.0)

    @asynccontextmanager
    async def _write(self, what: str, payload: Mapping[str, Any], *, files: bool = False) -> AsyncIterator[None]:
        try:
            with map_errors(what):
                async with asyncio.timeout(FILE_SECONDS if files else self._state.options.write_seconds):
                    yield
        except Permanent as refusal:
            if files:  # too large, or no leave to attach: what is written instead shows whether we may write at all
                self._without_files(str(refusal))
            if what == "editing" and refuses_edits(refusal):
                raise NotEditable(str(refusal)) from refusal
            if "message_reference" in payload and refuses_reference(refusal):
                self._refers = False
                log.warning("answers here do not reply to their questions: %s", refusal)
                raise ServiceError(f"{what}: refused with its reference", retry_after=0.0) from refusal
            if not isinstance(refusal, InvalidRequest):
                raise
            if "components" not in payload or names_content(refusal):
                self._make_smaller(payload, refusal)
                raise
            # A server without them: the same text is written again at once, with a permit of its own, and without.
            self._plain = True
            if names_components(refusal):
                self._state.controls_refused = True
                log.warning("this server takes no buttons: answers are stopped by saying so, or by deleting them")
            raise ServiceError(f"{what}: refused with its components", retry_after=0.0) from refusal

    def _make_smaller(self, payload: Mapping[str, Any], refusal: InvalidRequest) -> None:
        """Have a body that was refused for itself go on in smaller messages, unless it is small already."""
        size = min(self._limit, utf16_units(str(payload.get("content", ""))))
        if size > MIN_BODY_UNITS and not payload.get("attachments"):
            self._limit = max(size // 2, MIN_BODY_UNITS)
            raise TooLarge(str(refusal)) from refusal

    def _without_files(self, why: str) -> None:
        """Files do not go up here: for the rest of this answer, and for a while for those to come."""
        self._takes_files = False
        self._state.disable_files(self._question.channel)
        log.warning("long answers go on in messages here, since files do not go up: %s", why)

    def _components(self, message: str, body: Body) -> dict[str, Any]:
        """The part of a write that says which buttons a message has, empty where it has those already.

        What an earlier process left, or a write whose answer was lost, may have some.
        """
        has = self._has_button.get(message) if message else False
        if self.caps.controls is Controls.NONE and not has:
            return {}
        wanted = components(body, self._question.id) if self.caps.controls is not Controls.NONE else []
        return {} if has is bool(wanted) else {"components": wanted}

    def _remember(self, message: str, text: str) -> None:
        """What we wrote need not be told to us."""
        cache, question = self._state.cache, self._question
        bot_id = self._state.identity("").id
        ours = DiscordMessage(
            message, question.channel, bot_id, question.guild, text=text, bot=True, reply_to=question.id
        )
        cache.read([ours])
        cache.set_conversation(message, self._conversation)
        if self._channel_info.kind is ChannelKind.THREAD:
            cache.joined(self._channel_info.id, question.id)


def _with_files(payload: dict[str, Any], files: Sequence[Upload]) -> MultipartParameters:
    """A body with files, as the library's HTTP client takes it.

    https://docs.discord.com/developers/reference#uploading-files: the JSON in a part of its own names each by number.
    """
    made = [discord.File(io.BytesIO(file.data), filename=file.name) for file in files]
    payload = payload | {"attachments": [file.to_dict(number) for number, file in enumerate(made)]}
    parts: list[dict[str, Any]] = [{"name": "payload_json", "value": json.dumps(payload)}]
    for number, file in enumerate(made):
        kind = "text/plain; charset=utf-8"
        parts.append({"name": f"files[{number}]", "value": file.fp, "filename": file.filename, "content_type": kind})
    return MultipartParameters(payload=None, multipart=parts, files=made)


def _only(payload: dict[str, Any]) -> MultipartParameters:
    """A body without files, as the library's HTTP client takes it."""
    return MultipartParameters(payload=payload, multipart=None, files=None)
