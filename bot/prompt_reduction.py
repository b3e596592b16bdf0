"""Smaller prompts after a rejection by the model's server: a shorter history, or fewer images.

The question's text is never left out. Each step removes more than the last, so asking ends: at most three calls for
single images, one more without any, and three for a shorter history. Attempts and delays belong to `bot.completion`,
the meaning of a server's errors to its adapter.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from bot.answer_context import NO_CONTEXT, AnswerContext
from bot.completion import Attempt, Completion
from bot.conversation import Delta, Image, Message, OmittedAttachment, Prompt, Text
from bot.errors import Failure, ModelRejected, RejectionReason, ServiceError
from bot.prompt import halved

log = logging.getLogger(__name__)

# Times that one answer's history is shortened: to a half, to a quarter, to nothing.
MAX_HISTORY_CUTS = 3

# Up to this many images are left out one at a time to find the rejected one; more are left out at once.
MAX_SINGLE_IMAGES = 3

# Time without images for a model after it rejected them. The model behind a name may change, but not by the minute.
# Seconds.
IMAGES_REFUSED_SECONDS = 3600.0

# Answers that succeeded only without their images, for unknown reasons, until the model counts as rejecting all images.
# A single one may be the image's fault.
MAX_SUSPICIONS = 2

# Rejected images remembered, since the history contains them again. A few dozen bytes each.
MAX_REMEMBERED = 1_000

# Bytes at each end of an image that identify it.
DIGESTED_BYTES = 65_536

# Reasons in the sentence about an omitted image, for the user and the model.
UNREADABLE = "the model could not read it"
NO_IMAGES = "this model takes no images"
TOO_MANY = "this model takes fewer images"


@dataclass(frozen=True, slots=True)
class ReducedPrompt:
    """New omissions from the prompt of this answer. Yielded before the first delta.

    `left_out` lists single images. `no_images` means that the model gets none at all.
    """

    left_out: tuple[OmittedAttachment, ...] = ()
    no_images: bool = False
    history_cut: bool = False


class PromptReducer:
    """Asks a `Completion`, and again with a smaller prompt if the server rejects it. One per process.

    `takes_images` tells whether a model, by its name in a prompt, is configured for images.
    """

    def __init__(self, completion: Completion, takes_images: Callable[[str], bool] = lambda _model: True) -> None:
        self._completion = completion
        self._once = completion.once()
        self._memory = _RejectionMemory(takes_images)

    async def answer(
        self,
        prompt: Prompt,
        context: AnswerContext = NO_CONTEXT,
        *,
        once: bool = False,
    ) -> AsyncGenerator[Delta | Attempt | ReducedPrompt, None]:
        """As `Completion.answer`, with a `ReducedPrompt` after omissions. Attempts are numbered across all prompts.

        `once` makes a single streamed attempt before the call without streaming.
        """
        reduction = _Reduction(prompt, self._memory, asyncio.get_running_loop().time())
        completion = self._once if once else self._completion
        while True:
            try:
                async with aclosing(completion.answer(reduction.prompt, context)) as deltas:
                    async for delta in deltas:
                        if type(delta) is Text and reduction.has_answered:  # nearly every delta
                            yield delta
                            continue
                        for each in reduction.passed_on(delta):
                            yield each
            except (ModelRejected, ServiceError) as failure:
                if reduction.has_answered or not reduction.reduce(failure):
                    raise reduction.original_failure(failure) from None
                log.info("asking with a smaller prompt", extra={"because": reduction.why, "failure": repr(failure)})
                if isinstance(failure, ServiceError):
                    completion = self._once  # all attempts are used up
            else:
                return


@dataclass(slots=True)
class _RejectionMemory:
    """Past rejections by model name. Times are the loop's."""

    is_configured_for_images: Callable[[str], bool]
    images_rejected_until: dict[str, float] = field(default_factory=dict)
    suspicions: dict[str, int] = field(default_factory=dict)
    images: dict[tuple[str, bytes], float] = field(default_factory=dict)  # rejected images, with their expiry

    def takes_images(self, model: str, now: float) -> bool:
        """Whether the model is configured for images and has not rejected any recently."""
        return self.is_configured_for_images(model) and self.images_rejected_until.get(model, -math.inf) <= now

    def reject_images(self, model: str, now: float) -> None:
        """The model accepts no images."""
        self.images_rejected_until[model] = now + IMAGES_REFUSED_SECONDS
        self.suspicions.pop(model, None)

    def suspect(self, model: str, images: Sequence[Image], now: float) -> None:
        """An answer succeeded only without these images, for an unknown reason."""
        self.suspicions[model] = self.suspicions.get(model, 0) + 1
        if self.suspicions[model] >= MAX_SUSPICIONS:
            self.reject_images(model, now)
        self.remember(model, images, now + IMAGES_REFUSED_SECONDS)

    def remember(self, model: str, images: Sequence[Image], until: float = math.inf) -> None:
        """Do not send these images again."""
        for image in images:
            self.images[model, _digest(image)] = until
        while len(self.images) > MAX_REMEMBERED:
            del self.images[next(iter(self.images))]

    def is_rejected(self, model: str, image: Image, now: float) -> bool:
        """Whether this image was rejected before."""
        return bool(self.images) and self.images.get((model, _digest(image)), -math.inf) > now


@dataclass(slots=True)
class _Omissions:
    """The parts missing in the current prompt."""

    images: list[Image] = field(default_factory=list)  # single images
    why: str = UNREADABLE
    known: list[Image] = field(default_factory=list)  # ... of which the user was notified earlier
    all_images: bool = False
    history_cuts: int = 0

    def notice(self) -> ReducedPrompt | None:
        """The omissions to notify the user of, if any."""
        new = (image for image in self.images if not _is_among(image, self.known))
        reduced = ReducedPrompt(
            tuple(OmittedAttachment(image.name, self.why) for image in new), self.all_images, self.history_cuts > 0
        )
        return reduced if reduced != ReducedPrompt() else None


class _Reduction:
    """The steps for one prompt. Pure except for updates of the `_RejectionMemory`."""

    def __init__(self, prompt: Prompt, memory: _RejectionMemory, now: float) -> None:
        self.prompt = prompt
        self.why = ""
        self.has_answered = False  # the model has sent something
        self._attempts = 0
        self._memory = memory
        self._now = now
        self._model = prompt.model
        self._question_images = _images([prompt.messages[-1]]) if prompt.messages else []
        self._omitted = _Omissions()
        self._single_images: list[Image] | None = None  # still to be left out one at a time
        self._with_images = prompt  # the base for that: with all permitted images
        self._on_success: Callable[[], None] | None = None
        self._unexplained: Failure | None = None  # led to a guess that the images are at fault
        self._omit_known()

    def _omit_known(self) -> None:
        images = _images(self.prompt.messages)
        if not images:
            return
        if not self._memory.takes_images(self._model, self._now):
            self._omitted.all_images = bool(self._question_images)
            self.prompt = without(self.prompt, images, NO_IMAGES)
        else:
            rejected = [image for image in images if self._memory.is_rejected(self._model, image, self._now)]
            self._omitted.known = [image for image in rejected if not _is_among(image, self._question_images)]
            self._omitted.images = rejected
            self.prompt = without(self.prompt, rejected, UNREADABLE)
        self._with_images = self.prompt

    def passed_on(self, delta: Delta | Attempt) -> tuple[Delta | Attempt | ReducedPrompt, ...]:
        """The delta as passed on: attempts renumbered, and the omissions in front of the answer."""
        if isinstance(delta, Attempt):
            self._attempts += 1
            return (replace(delta, number=self._attempts),)
        if self.has_answered:
            return (delta,)
        self.has_answered = True
        reduced = self._accepted()
        return (delta,) if reduced is None else (reduced, delta)

    def reduce(self, failure: Failure) -> bool:
        """Leave out the cause of the failure; false if there is nothing left to leave out."""
        self._on_success = None
        images = _images(self.prompt.messages)
        reason = failure.reason if isinstance(failure, ModelRejected) else None
        self.why = reason.value if reason is not None else "broken"
        if reason is RejectionReason.CONTEXT:
            return self._shorten() or self._omit_all(images)
        if reason is RejectionReason.IMAGES:
            return self._reject_images(images)
        if reason is RejectionReason.IMAGE or (reason is RejectionReason.REQUEST and self._single_images is not None):
            return self._omit_one()
        if reason is RejectionReason.TOO_MANY_IMAGES:
            return self._omit_some(images)
        if reason is RejectionReason.REQUEST or (type(failure) is ServiceError and reason is None):
            return self._suspect_images(images, failure)
        return False

    def _accepted(self) -> ReducedPrompt | None:
        """The server accepted the prompt: remember the cause of earlier rejections, and return the omissions."""
        if self._on_success is not None:
            self._on_success()
            self._on_success = None
        elif _images(self.prompt.messages):
            self._memory.suspicions.pop(self._model, None)
        return self._omitted.notice()

    def original_failure(self, failure: Failure) -> Failure:
        """The failure to report: the one before an unsuccessful guess about images, if there was one."""
        return self._unexplained or failure

    def _shorten(self) -> bool:
        *history, question = self.prompt.messages
        if not history or self._omitted.history_cuts == MAX_HISTORY_CUTS:
            return False
        self._omitted.history_cuts += 1
        shorter = halved(history) if self._omitted.history_cuts < MAX_HISTORY_CUTS else []
        self.prompt = self._with_images = replace(self.prompt, messages=(*shorter, question))
        self._single_images = None
        return True

    def _reject_images(self, images: list[Image]) -> bool:
        if not images:
            return False
        self._memory.reject_images(self._model, self._now)
        self._omitted.all_images = True
        self.prompt = without(self.prompt, images, NO_IMAGES)
        return True

    def _omit_all(self, images: list[Image]) -> bool:
        if not images:
            return False
        self._omitted.images += images
        self.prompt = without(self.prompt, images, UNREADABLE)
        return True

    def _omit_one(self) -> bool:
        """Leave out another image than last time, the newest first; finally all."""
        images = _images(self._with_images.messages)
        if self._single_images is None:
            self._single_images = images[::-1] if 1 < len(images) <= MAX_SINGLE_IMAGES else []
        elif self._omitted.images:
            self._omitted.images.pop()
        if not self._single_images:
            self._on_success = lambda: self._memory.remember(self._model, images)
            return self._omit_all(_images(self.prompt.messages) and images)
        one = self._single_images.pop(0)
        self._omitted.images.append(one)
        self.prompt = without(self._with_images, [one], UNREADABLE)
        self._on_success = lambda: self._memory.remember(self._model, [one])
        return True

    def _omit_some(self, images: list[Image]) -> bool:
        """Leave out the history's images, then all but the newest, then that one."""
        earlier = [image for image in images if not _is_among(image, self._question_images)]
        chosen = earlier or images[:-1] or images
        if not chosen:
            return False
        self._omitted.images += chosen
        self._omitted.known += earlier  # every later answer lacks them as well
        self._omitted.why = TOO_MANY
        self.prompt = self._with_images = without(self.prompt, chosen, TOO_MANY)
        return True

    def _suspect_images(self, images: list[Image], failure: Failure) -> bool:
        if not images or self._unexplained is not None:
            return False
        self._unexplained = failure
        self._omitted.images += images
        self.prompt = without(self.prompt, images, UNREADABLE)
        self._on_success = lambda: self._memory.suspect(self._model, images, self._now)
        return True


def without(prompt: Prompt, images: Sequence[Image], why: str) -> Prompt:
    """The prompt without these image objects, each replaced by a note of its omission."""
    if not images:
        return prompt
    omitted = {id(image) for image in images}
    messages = tuple(_without(message, omitted, why) for message in prompt.messages)
    return replace(prompt, messages=messages)


def _without(message: Message, omitted: set[int], why: str) -> Message:
    parts = (
        OmittedAttachment(part.name, why) if isinstance(part, Image) and id(part) in omitted else part
        for part in message.parts
    )
    return replace(message, parts=tuple(parts))


def _images(messages: Sequence[Message]) -> list[Image]:
    return [part for message in messages for part in message.parts if isinstance(part, Image)]


def _is_among(image: Image, images: Sequence[Image]) -> bool:
    """Whether it is one of these objects, by identity: comparing the bytes would take time."""
    return any(image is each for each in images)


def _digest(image: Image) -> bytes:
    ends = image.data[:DIGESTED_BYTES] + image.data[-DIGESTED_BYTES:]
    return hashlib.blake2b(b"%d:%b" % (len(image.data), ends), digest_size=16).digest()
