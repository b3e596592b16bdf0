"""A prompt made smaller where the model's server refuses it: with a shorter history, or without images.

What belongs here: what is left out after which refusal and how often that is tried, as pure steps; what a model was
found not to take; and the loop that asks again. What does not: attempts and delays (`bot.completion`), which only a
server that is broken or busy costs, and what a server's words mean (its adapter).

The question's words are never left out. Every step leaves out more than the last, and there are few of them, so asking
ends: each image that may be the one refused costs a call, up to three; all images one more; a shorter history three.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from bot.completion import Attempt, Completion
from bot.conversation import Delta, Image, Message, OmittedAttachment, Prompt
from bot.errors import Failure, ModelRejected, RejectionReason, ServiceError
from bot.prompt import halved

log = logging.getLogger(__name__)

# How often a history is shortened for one answer: to a half, to a quarter, to nothing.
MOST_CUTS = 3

# Images that are left out one at a time, to find the one refused. Of more, all are left out at once.
MOST_SINGLE = 3

# How long a model that refused images is not sent any. Models behind one name change, but not by the minute. Seconds.
IMAGES_REFUSED_SECONDS = 3600.0

# Answers that came only without their images, for reasons unknown, before the model is taken to refuse all of them.
# One may be the fault of the image.
MOST_DOUBTS = 2

# Refused images that are remembered, so that a history does not bring them again: a few dozen bytes each.
MOST_REMEMBERED = 1_000

# Of an image, so much of each end tells it from others. Bytes.
DIGESTED = 65_536

# What completes the sentence that an image was left out, for the reader and the model.
UNREADABLE = "the model could not read it"
NO_IMAGES = "this model takes no images"
TOO_MANY = "this model takes fewer images"


@dataclass(frozen=True, slots=True)
class ReducedPrompt:
    """What was left out of the prompt that is being answered, and not told before. Yielded before the first delta.

    `left_out` are single images; `no_images` says that this model is given none at all.
    """

    left_out: tuple[OmittedAttachment, ...] = ()
    no_images: bool = False
    history_cut: bool = False


class PromptReducer:
    """Asks a `Completion`, and asks again with less where the server cannot take the prompt. One for the process."""

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._known = _Known()

    async def answer(
        self, prompt: Prompt, cut_off: Callable[[], bool] = lambda: False
    ) -> AsyncGenerator[Delta | Attempt | ReducedPrompt, None]:
        """As `Completion.answer`, and a `ReducedPrompt` where something was left out. Attempts are counted on."""
        steps = _Steps(prompt, self._known, asyncio.get_running_loop().time())
        completion = self._completion
        while True:
            try:
                async with aclosing(completion.answer(steps.prompt, cut_off)) as deltas:
                    async for delta in deltas:
                        for each in steps.passed(delta):
                            yield each
            except (ModelRejected, ServiceError) as failure:
                if steps.answered or not steps.narrow(failure):
                    raise steps.told(failure) from None
                log.info("asking with less", extra={"because": steps.why, "failure": repr(failure)})
                if isinstance(failure, ServiceError):
                    completion = self._completion.once()  # it has been asked as often as patience allows
            else:
                return


@dataclass(slots=True)
class _Known:
    """What models were found not to take, by their names; times are the loop's."""

    refused_until: dict[str, float] = field(default_factory=dict)
    doubts: dict[str, int] = field(default_factory=dict)
    unread: dict[tuple[str, bytes], float] = field(default_factory=dict)  # images, and until when

    def takes_images(self, model: str, now: float) -> bool:
        """Whether the model has not refused images lately."""
        return self.refused_until.get(model, -math.inf) <= now

    def refuse_images(self, model: str, now: float) -> None:
        """The model takes none."""
        self.refused_until[model] = now + IMAGES_REFUSED_SECONDS
        self.doubts.pop(model, None)

    def doubt(self, model: str, images: Sequence[Image], now: float) -> None:
        """An answer came only without these images, and nobody said why."""
        self.doubts[model] = self.doubts.get(model, 0) + 1
        if self.doubts[model] >= MOST_DOUBTS:
            self.refuse_images(model, now)
        self.remember(model, images, now + IMAGES_REFUSED_SECONDS)

    def remember(self, model: str, images: Sequence[Image], until: float = math.inf) -> None:
        """These images are not sent again."""
        for image in images:
            self.unread[model, _digest(image)] = until
        while len(self.unread) > MOST_REMEMBERED:
            del self.unread[next(iter(self.unread))]

    def is_unread(self, model: str, image: Image, now: float) -> bool:
        """Whether the image was refused before."""
        return bool(self.unread) and self.unread.get((model, _digest(image)), -math.inf) > now


class _Steps:
    """What is left out of one prompt, step by step. Pure but for what it remembers in `_Known`."""

    def __init__(self, prompt: Prompt, known: _Known, now: float) -> None:
        self.prompt = prompt
        self.why = ""
        self.answered = False  # the model has sent something
        self._attempts = 0
        self._known = known
        self._now = now
        self._model = prompt.model
        self._question = _images([prompt.messages[-1]]) if prompt.messages else []
        self._cuts = 0
        self._no_images = False
        self._left: list[Image] = []  # the single images that are left out now, and why
        self._why_left = UNREADABLE
        self._repeated: list[Image] = []  # ... of which others have been told
        self._singles: list[Image] | None = None  # still to be left out one at a time
        self._whole = prompt  # with all images that may be sent, for that
        self._when_accepted: Callable[[], None] | None = None
        self._failure: Failure | None = None  # that images were left out for, without knowing that they are to blame
        self._leave_out_known()

    def _leave_out_known(self) -> None:
        images = _images(self.prompt.messages)
        if not images:
            return
        if not self._known.takes_images(self._model, self._now):
            self._no_images = bool(self._question)
            self.prompt = without(self.prompt, images, NO_IMAGES)
        else:
            unread = [image for image in images if self._known.is_unread(self._model, image, self._now)]
            self._repeated = [image for image in unread if not _is_among(image, self._question)]
            self._left = unread
            self.prompt = without(self.prompt, unread, UNREADABLE)
        self._whole = self.prompt

    def passed(self, delta: Delta | Attempt) -> tuple[Delta | Attempt | ReducedPrompt, ...]:
        """What is passed on for something that came: attempts counted on, and before an answer what it lacks."""
        if isinstance(delta, Attempt):
            self._attempts += 1
            return (Attempt(self._attempts, streamed=delta.streamed),)
        if self.answered:
            return (delta,)
        self.answered = True
        fitted = self._accepted()
        return (delta,) if fitted is None else (fitted, delta)

    def narrow(self, failure: Failure) -> bool:
        """Leave out what the failure is about; false where nothing is left to leave out."""
        self._when_accepted = None
        images = _images(self.prompt.messages)
        reason = failure.reason if isinstance(failure, ModelRejected) else None
        self.why = reason.value if reason is not None else "broken"
        if reason is RejectionReason.CONTEXT:
            return self._shorten() or self._without_all(images)
        if reason is RejectionReason.IMAGES:
            return self._refused(images)
        if reason is RejectionReason.IMAGE or (reason is RejectionReason.REQUEST and self._singles is not None):
            return self._without_one()
        if reason is RejectionReason.TOO_MANY_IMAGES:
            return self._fewer(images)
        if reason is RejectionReason.REQUEST or (type(failure) is ServiceError and reason is None):
            return self._in_doubt(images, failure)
        return False

    def _accepted(self) -> ReducedPrompt | None:
        """The server takes the prompt: remember what it did not take, and say what was left out, if anything was."""
        if self._when_accepted is not None:
            self._when_accepted()
            self._when_accepted = None
        elif _images(self.prompt.messages):
            self._known.doubts.pop(self._model, None)
        told = (image for image in self._left if not _is_among(image, self._repeated))
        left_out = tuple(OmittedAttachment(image.name, self._why_left) for image in told)
        fitted = ReducedPrompt(left_out, self._no_images, self._cuts > 0)
        return fitted if fitted != ReducedPrompt() else None

    def told(self, failure: Failure) -> Failure:
        """The failure that is told: where leaving images out on a guess did not help, the one before that."""
        return self._failure or failure

    def _shorten(self) -> bool:
        *history, question = self.prompt.messages
        if not history or self._cuts == MOST_CUTS:
            return False
        self._cuts += 1
        shorter = halved(history) if self._cuts < MOST_CUTS else []
        self.prompt = self._whole = replace(self.prompt, messages=(*shorter, question))
        self._singles = None
        return True

    def _refused(self, images: list[Image]) -> bool:
        if not images:
            return False
        self._known.refuse_images(self._model, self._now)
        self._no_images = True
        self.prompt = without(self.prompt, images, NO_IMAGES)
        return True

    def _without_all(self, images: list[Image]) -> bool:
        if not images:
            return False
        self._left += images
        self.prompt = without(self.prompt, images, UNREADABLE)
        return True

    def _without_one(self) -> bool:
        """Leave out another image than last time, the newest first; after those, all."""
        images = _images(self._whole.messages)
        if self._singles is None:
            self._singles = images[::-1] if 1 < len(images) <= MOST_SINGLE else []
        elif self._left:
            self._left.pop()
        if not self._singles:
            self._when_accepted = lambda: self._known.remember(self._model, images)
            return self._without_all(_images(self.prompt.messages) and images)
        one = self._singles.pop(0)
        self._left.append(one)
        self.prompt = without(self._whole, [one], UNREADABLE)
        self._when_accepted = lambda: self._known.remember(self._model, [one])
        return True

    def _fewer(self, images: list[Image]) -> bool:
        """Leave out those of the history; then all but the newest; then that."""
        earlier = [image for image in images if not _is_among(image, self._question)]
        fewer = earlier or images[:-1] or images
        if not fewer:
            return False
        self._left += fewer
        self._repeated += earlier  # they are left out of every answer from now on
        self._why_left = TOO_MANY
        self.prompt = self._whole = without(self.prompt, fewer, TOO_MANY)
        return True

    def _in_doubt(self, images: list[Image], failure: Failure) -> bool:
        if not images or self._failure is not None:
            return False
        self._failure = failure
        self._left += images
        self.prompt = without(self.prompt, images, UNREADABLE)
        self._when_accepted = lambda: self._known.doubt(self._model, images, self._now)
        return True


def without(prompt: Prompt, images: Sequence[Image], why: str) -> Prompt:
    """The prompt with these very images left out, each with a word that it was there."""
    if not images:
        return prompt
    gone = {id(image) for image in images}
    messages = tuple(_without(message, gone, why) for message in prompt.messages)
    return replace(prompt, messages=messages)


def _without(message: Message, gone: set[int], why: str) -> Message:
    parts = (
        OmittedAttachment(part.name, why) if isinstance(part, Image) and id(part) in gone else part
        for part in message.parts
    )
    return replace(message, parts=tuple(parts))


def _images(messages: Sequence[Message]) -> list[Image]:
    return [part for message in messages for part in message.parts if isinstance(part, Image)]


def _is_among(image: Image, images: Sequence[Image]) -> bool:
    """Whether it is one of these very objects: comparing their bytes would take time."""
    return any(image is each for each in images)


def _digest(image: Image) -> bytes:
    ends = image.data[:DIGESTED] + image.data[-DIGESTED:]
    return hashlib.blake2b(b"%d:%b" % (len(image.data), ends), digest_size=16).digest()
