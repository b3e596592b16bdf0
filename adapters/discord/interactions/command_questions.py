"""The turns and channels behind commands: a question, the answer to a message, a summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from typing_extensions import override

from adapters.discord.events.codec import StoredCommand, dump_command
from adapters.discord.events.commands import CommandUsed
from adapters.discord.events.mentions import build_turn
from adapters.discord.events.message import DiscordMessage
from adapters.discord.events.parse import MessagePosted, parse_posted, readable
from adapters.discord.history.transcript import read_transcript
from adapters.discord.messages.channel import DiscordChannel
from adapters.discord.messages.interaction_channel import CommandQuestion, InteractionChannel
from adapters.discord.state import BotState
from bot.conversation import History, Part, Text, TurnKey
from bot.interactions.quotes import quote_of
from bot.ports import OpenedQuestion, UnfinishedTurn

# The registry's names of the commands with a question (`bot.interactions.commands`).
ASK, ANSWER, SUMMARIZE = "ask", "answer", "summarize"


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of an answer: in an earlier process, or the messages and the number of a new generation."""

    unfinished: UnfinishedTurn | None = None
    replaces: tuple[str, ...] = ()
    generation: int = 0


FRESH = Progress()


def question_in(event: CommandUsed, argument: str, state: BotState) -> str:
    """The text of an argument as people read it, with names instead of ids."""
    users, guild = dict(event.users), event.interaction.guild

    def name_of(sign: str, target: str) -> str:
        return users.get(target, "") if sign == "@" else state.client.name_of(guild, sign, target)

    return readable(event.arguments.get(argument, ""), name_of, state.options.zone)


def open_command(state: BotState, stored: StoredCommand, progress: Progress = FRESH) -> OpenedQuestion:
    """The turn of a command, its channel, and its journal text. Raises one of `PARSE_ERRORS` for a malformed target."""
    event = stored.event
    if event.name == SUMMARIZE:
        return _summary(state, stored, progress)
    if event.name == ANSWER and event.access.posts:
        return _reply(state, stored, progress)
    return _through_interaction(state, stored, progress)


def parse_target(state: BotState, event: CommandUsed) -> MessagePosted:
    """The message of a menu."""
    channel, guild = event.interaction.channel, event.interaction.guild
    return parse_posted(event.target, state.client, channel=channel, guild=guild)


def _through_interaction(state: BotState, stored: StoredCommand, progress: Progress) -> OpenedQuestion:
    """An answer in place of the command, below its question as a quote."""
    event, to = stored.event, stored.event.interaction
    asked = _question_of(event, stored.question)
    context = parse_target(state, event).message if event.target else None
    message = replace(context, id=asked.id, reply_to="") if context is not None else asked
    conversation = state.cache.conversation(asked, to.channel)
    quote = quote_of(context.full_text if context is not None else stored.question)
    turn = replace(
        build_turn(message, to.channel, conversation=conversation),
        author=to.by,
        preface=quote.text,
        can_retry=quote.is_whole and event.access.reads,
    )
    turn = replace(turn, key=replace(turn.key, generation=progress.generation))
    question = CommandQuestion(message, to.channel, to.token, event.access, asker=to.by.name)
    channel = InteractionChannel(
        state, question, conversation=conversation, unfinished=progress.unfinished, replaces=progress.replaces
    )
    return OpenedQuestion(turn, channel, dump_command(event, stored.question))


def _reply(state: BotState, stored: StoredCommand, progress: Progress) -> OpenedQuestion:
    """An answer to somebody's message, as a reply that pings nobody."""
    event, target = stored.event, parse_target(state, stored.event)
    conversation = state.cache.conversation(target.message, target.channel)
    for message in (target.message.id, *(progress.unfinished.messages if progress.unfinished else ())):
        state.cache.set_conversation(message, conversation)
    turn = replace(build_turn(target.message, target.channel, conversation=conversation), author=event.interaction.by)
    channel = DiscordChannel(
        state, target, conversation=conversation, unfinished=progress.unfinished, pings_author=False
    )
    return OpenedQuestion(turn, channel, dump_command(event, ""))


def _summary(state: BotState, stored: StoredCommand, progress: Progress) -> OpenedQuestion:
    """A summary as a reply to the message where it begins."""
    event, target = stored.event, parse_target(state, stored.event)
    asked = _question_of(event, stored.question)
    conversation = state.cache.conversation(asked, target.channel)
    turn = build_turn(asked, target.channel, conversation=conversation)
    turn = replace(turn, author=event.interaction.by, can_retry=False)  # its question is in no message
    channel = _SummaryChannel(state, target, turn.key, conversation=conversation, unfinished=progress.unfinished)
    return OpenedQuestion(turn, channel, dump_command(event, stored.question))


def _question_of(event: CommandUsed, text: str) -> DiscordMessage:
    """A message with a command's question; its id is the interaction's, in the order of messages."""
    to = event.interaction
    return DiscordMessage(
        to.token.id,
        to.channel.id,
        to.by.id,
        to.guild,
        name=to.by.name,
        text=text,
        question_text=text,
        roles=to.by.roles,
        guest=to.by.guest,
    )


class _SummaryChannel(DiscordChannel):
    """Writes a summary; the conversation from the target on is part of the question."""

    def __init__(
        self,
        state: BotState,
        target: MessagePosted,
        key: TurnKey,
        *,
        conversation: str,
        unfinished: UnfinishedTurn | None,
    ) -> None:
        super().__init__(
            state,
            target,
            conversation=conversation,
            unfinished=unfinished,
            pings_author=False,
            question_id=key.message,
        )
        self._summarized = (state, target)
        self._until = key.message

    @override
    async def attachments(self) -> tuple[Part, ...]:
        state, target = self._summarized
        text = await read_transcript(state, target.message, until=self._until)
        return (Text(text),) if text else ()

    @override
    async def history(self, limit: int) -> History:
        return History()

    @override
    async def find(self, key: str, known: Sequence[str] = ()) -> str | None:
        """Earlier replies to the target are other answers."""
        return await super().find(key, known or (self._until,))
