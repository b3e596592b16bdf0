"""Further answers to the same question: "try again", and edited questions.

Each is a generation: a turn of its own in the messages of the answer before it. The journal keeps ids only, so the
platform reads the question again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from bot.conversation import Author, Ending, Turn, TurnKey
from bot.errors import Failure, NotFound, ServiceError
from bot.interactions.values import Notice, QuestionEdited, Response, RetryPressed
from bot.journal import Answered
from bot.ports import OpenedQuestion, Platform
from bot.turns.manager import TurnManager
from bot.turns.pending import PendingTurn

log = logging.getLogger(__name__)

# From an edit until its question is answered again: people mend one word after the other. Seconds.
DEBOUNCE_SECONDS = 2.0

# Wait for the end of an answer whose button was pressed: its last write shows the button, and the journal is written
# after it. Seconds.
ENDING_SECONDS = 1.0


class Generations:
    """Answers questions again, in the messages of their present answers."""

    def __init__(self, turns: TurnManager, platforms: Mapping[str, Platform], *, edit_seconds: float) -> None:
        """`edit_seconds`: the age up to which an edit is answered, unless the answer runs still. 0: never."""
        self._turns = turns
        self._access = turns.config.access
        self._strings = turns.config.strings
        self._platforms = platforms
        self._edit_seconds = edit_seconds
        self._timers: dict[TurnKey, asyncio.TimerHandle] = {}  # of edited questions
        self._busy: set[TurnKey] = set()  # questions being opened

    # ------------------------------------------------------------------------------------------------------- try again

    async def retry(self, event: RetryPressed) -> Response:
        """Answer a question again; see `bot.interactions.ports`."""
        question = event.question.question
        if not self._turns.accepting:
            return Notice(self._strings.stopping)
        if question in self._busy:
            return Notice(self._strings.retry_running)
        with self._opening(question):
            try:
                return Notice(await self._retry(event, question))
            except NotFound:
                return Notice(self._strings.retry_gone)
            except Failure as failure:
                log.warning("not tried again", extra={"turn": question.reference, "failure": repr(failure)})
                return Notice(self._strings.retry_unread)
            except Exception:
                log.exception("not tried again", extra={"turn": question.reference})
                return Notice(self._strings.retry_unread)

    async def _has_ended(self, question: TurnKey) -> bool:
        """Whether a question's answer has ended, or does so at once: its button is shown just before its end."""
        pending = self._turns.queues.find(question)
        if pending is None:
            return True
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await pending.progress.ended.wait()
        except TimeoutError:
            return False
        return True

    async def _retry(self, event: RetryPressed, question: TurnKey) -> str:
        """The notice for the person; empty if an answer starts. Raises `Failure`."""
        if self._turns.config.models.find(event.model) is None:  # an old message offers a model removed since
            return self._strings.retry_model
        has_ended = await self._has_ended(question)
        answered = await self._turns.journal.newest_answer(question)
        if answered is None:
            return self._strings.retry_unknown
        if not (has_ended and answered.ended):
            return self._strings.retry_running
        opened = await self._open(_next_key(answered), answered)
        turn = replace(opened.turn, model=event.model)
        if refusal := self._refusal(turn, event.by):
            return refusal
        return await self._accept(replace(opened, turn=turn), answered, event.by)

    def _refusal(self, turn: Turn, by: Author) -> str:
        """The notice for a person who may not have a question answered again now; empty if they may."""
        if by.id != turn.author.id and not self._access.is_admin(by):
            return self._strings.retry_others
        if not self._turns.accepting:
            return self._strings.stopping
        return self._turns.refusal(replace(turn, author=by))

    async def _accept(self, opened: OpenedQuestion, answered: Answered, by: Author) -> str:
        """Journal a generation and start it; the notice if neither happens."""
        turn = opened.turn
        if not await self._turns.receive_again(turn.key, opened.event, answered.messages):
            return self._strings.retry_running
        decision = await self._turns.admit(replace(turn, author=by))  # whoever asks again pays for it
        if not decision.admitted:
            await self._turns.journal.dismiss(turn.key)
            return decision.notice or self._strings.retry_limit
        log.info("trying again", extra={"turn": turn.key.reference, "by": by.id})
        self._turns.accept_again(turn, opened.channel, answered.messages)
        return ""

    async def reserve(self, turn: Turn) -> str:
        """Count a command's question; see `bot.interactions.ports`."""
        decision = await self._turns.admit(turn)
        return "" if decision.admitted else decision.notice or self._strings.retry_limit

    # ----------------------------------------------------------------------------------------------------------- edits

    def edited(self, event: QuestionEdited) -> None:
        """Answer an edited question again, once no further edit follows. Returns at once."""
        question = event.question.question
        if not (self._turns.accepting and self._edit_seconds):
            return
        if event.age > self._edit_seconds and self._turns.queues.find(question) is None:
            _ignored(question, "it is too old")
            return
        if (timer := self._timers.pop(question, None)) is not None:
            timer.cancel()
        self._timers[question] = asyncio.get_running_loop().call_later(DEBOUNCE_SECONDS, self._start, event)

    def _start(self, event: QuestionEdited) -> None:
        question = event.question.question
        self._timers.pop(question, None)
        if question in self._busy:
            self.edited(event)  # later: an earlier edit, or "try again", is opening it
        elif self._turns.accepting:
            self._turns.start(self._answer_edited(event, question), f"edited {question.reference}")

    async def _answer_edited(self, event: QuestionEdited, question: TurnKey) -> None:
        with self._opening(question):
            try:
                await self._answer_again(event, question)
            except Failure as failure:
                log.warning("edit not answered", extra={"turn": question.reference, "failure": repr(failure)})
            except Exception:
                log.exception("edit not answered", extra={"turn": question.reference})

    async def _answer_again(self, event: QuestionEdited, question: TurnKey) -> None:
        """Answer an edited question: as a new one, in place of the waiting one, or in another generation."""
        pending = self._turns.queues.find(question)
        answered = await self._turns.journal.newest_answer(question)
        if pending is None and answered is None:
            await self._ask(question)
        elif not self._turns.queues.is_newest(event.conversation, question):
            _ignored(question, "a later question follows")
        elif pending is None and answered is not None and not answered.ended:
            _ignored(question, "another process answers it")
        elif pending is None or not await self._replace_waiting(pending):
            await self._regenerate(pending, answered or Answered(question))

    async def _ask(self, question: TurnKey) -> None:
        """The edit made a question of a message that was none."""
        opened = await self._open(question, Answered(question))
        if await self._turns.receive(question, opened.event):
            self._turns.accept(opened.turn, opened.channel)

    async def _replace_waiting(self, pending: PendingTurn) -> bool:
        """Give a waiting turn its new words; false if it has begun."""
        if pending.progress.is_taken:
            return False
        key = pending.turn.key
        opened = await self._open(key, Answered(key, pending.replaces))
        is_replaced = self._turns.queues.replace_question(pending, opened.turn, opened.channel)
        if is_replaced:
            await self._turns.journal.update_event(key, opened.event)
        return is_replaced

    async def _regenerate(self, pending: PendingTurn | None, answered: Answered) -> None:
        """Start the next generation; a running one is ended first, once the question is read."""
        opened = await self._open(_next_key(answered), answered)
        turn, journal = opened.turn, self._turns.journal
        if not self._access.permit(turn) or self._strings.is_stop(turn.question) or not self._turns.accepting:
            return
        # Before the running answer is ended: without room for another one, it goes on.
        if not (await self._turns.admit(turn)).admitted:
            return
        if pending is None:
            await self._start_next(opened, answered)
            return
        await self._turns.supersede(pending)
        try:
            # Its last message may be younger than the first look.
            await self._start_next(opened, await journal.newest_answer(turn.key.question) or answered)
        except ServiceError:
            await self._start_next(opened, answered)
        finally:
            if pending.progress.is_superseded:
                await journal.ended(pending.turn.key, Ending.STOPPED)

    async def _start_next(self, opened: OpenedQuestion, answered: Answered) -> None:
        turn = opened.turn
        if await self._turns.receive_again(turn.key, opened.event, answered.messages):
            log.info("answering an edited question", extra={"turn": turn.key.reference})
            self._turns.accept_again(turn, opened.channel, answered.messages)

    # --------------------------------------------------------------------------------------------------------- opening

    async def _open(self, key: TurnKey, answered: Answered) -> OpenedQuestion:
        """Read a question again. Raises the platform's failure."""
        platform = self._platforms.get(key.platform)
        if platform is None:
            raise NotFound(f"{key.platform} does not run here")
        return await platform.open_question(key, answered.messages)

    @contextmanager
    def _opening(self, question: TurnKey) -> Iterator[None]:
        """Mark a question, so that it is opened once at a time."""
        self._busy.add(question)
        try:
            yield
        finally:
            self._busy.discard(question)


def _next_key(answered: Answered) -> TurnKey:
    return replace(answered.key, generation=answered.key.generation + 1)


def _ignored(question: TurnKey, why: str) -> None:
    log.debug("edit not answered", extra={"turn": question.reference, "why": why})
