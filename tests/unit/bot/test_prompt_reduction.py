"""A prompt that a server refuses is asked again with less, a bounded number of times, and the reader is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backoff import Backoff
from bot.completion import Attempt, Completion, CompletionPolicy
from bot.conversation import Delta, Finish, FinishReason, Image, Message, OmittedAttachment, Prompt, Role, Text
from bot.errors import ConnectFailed, Failure, ModelRejected, RateLimited, RejectionReason, ServiceError
from bot.ports import NextWriteAt, at_once
from bot.prompt_reduction import IMAGES_REFUSED_SECONDS, NO_IMAGES, TOO_MANY, UNREADABLE, PromptReducer, ReducedPrompt
from bot.telemetry import NoRecorder
from tests.support.clock import VirtualLoop

CAT, DOG, BIRD, FISH, COW = (
    Image(f"{name}.png", "image/png", name.encode()) for name in ("cat", "dog", "bird", "fish", "cow")
)
Judge = Callable[[Prompt], Failure | None]


def declined(reason: RejectionReason) -> ModelRejected:
    return ModelRejected("no", reason=reason)


def images_of(prompt: Prompt) -> list[Image]:
    return [part for message in prompt.messages for part in message.parts if isinstance(part, Image)]


def user(text: str, *images: Image) -> Message:
    return Message(Role.USER, (Text(text), *images))


def prompt_of(*messages: Message, model: str = "") -> Prompt:
    return Prompt("Be brief.", messages, model)


class Picky:
    """A model that refuses what its judge refuses, and answers everything else."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.asked: list[Prompt] = []

    async def answer(
        self, prompt: Prompt, *, stream: bool, next_write_at: NextWriteAt = at_once
    ) -> AsyncGenerator[Delta, None]:
        self.asked.append(prompt)
        if (failure := self.judge(prompt)) is not None:
            raise failure
        yield Text("yes")
        yield Finish(FinishReason.STOP)


def fitting(model: Picky) -> PromptReducer:
    policy = CompletionPolicy(attempts=3, backoff=Backoff(0.1, 8.0, jitter=1.0))
    return PromptReducer(Completion(model, policy, NoRecorder(), random.Random(1)))


async def ask(fit: PromptReducer, prompt: Prompt) -> list[Delta | Attempt | ReducedPrompt]:
    async with aclosing(fit.answer(prompt)) as deltas:
        return [delta async for delta in deltas]


def left_out(came: Sequence[object]) -> ReducedPrompt:
    found = [each for each in came if isinstance(each, ReducedPrompt)]
    assert len(found) <= 1
    return found[0] if found else ReducedPrompt()


def refuses(reason: RejectionReason, when: Callable[[Prompt], bool]) -> Judge:
    return lambda prompt: declined(reason) if when(prompt) else None


async def test_what_is_taken_costs_one_call() -> None:
    """Where nothing is refused, nothing is changed, said or asked twice."""
    model = Picky(lambda prompt: None)
    came = await ask(fitting(model), prompt_of(user("old", CAT), user("look", DOG)))
    assert [type(each) for each in came] == [Attempt, Text, Finish]
    assert len(model.asked) == 1


# ----------------------------------------------------------------------------------------------------------- no images


async def test_images_are_left_out_for_a_model_that_takes_none() -> None:
    """One more call; the words stay, the model is told that there was a picture, and so is the reader, once."""
    model = Picky(refuses(RejectionReason.IMAGES, lambda prompt: bool(images_of(prompt))))
    fit = fitting(model)
    came = await ask(fit, prompt_of(user("old", CAT), user("look", DOG)))
    assert [each.number for each in came if isinstance(each, Attempt)] == [1, 2]
    assert left_out(came) == ReducedPrompt(no_images=True)
    assert model.asked[1].messages[-1].parts == (Text("look"), OmittedAttachment("dog.png", NO_IMAGES))
    came = await ask(fit, prompt_of(user("old", CAT), user("look", DOG), user("and?")))
    assert left_out(came) == ReducedPrompt()
    assert len(model.asked) == 3


async def test_a_new_image_within_the_hour_is_not_sent_either_and_said_so() -> None:
    """A reader who shows another picture knows that it was not seen; it costs no call."""
    model = Picky(refuses(RejectionReason.IMAGES, lambda prompt: bool(images_of(prompt))))
    fit = fitting(model)
    for _ in range(2):
        assert left_out(await ask(fit, prompt_of(user("look", DOG)))).no_images
    assert len(model.asked) == 3


async def test_an_hour_later_images_are_tried_again_for_that_model_only() -> None:
    """What a name stands for may change; and other models are not judged by it."""
    model = Picky(refuses(RejectionReason.IMAGES, lambda prompt: bool(images_of(prompt)) and prompt.model == "blind"))
    fit = fitting(model)
    await ask(fit, prompt_of(user("look", DOG), model="blind"))
    assert left_out(await ask(fit, prompt_of(user("look", DOG), model="other"))) == ReducedPrompt()
    assert len(model.asked) == 3
    await asyncio.sleep(IMAGES_REFUSED_SECONDS - 1)
    await ask(fit, prompt_of(user("look", DOG), model="blind"))
    assert len(model.asked) == 4
    await asyncio.sleep(2)
    await ask(fit, prompt_of(user("look", DOG), model="blind"))
    assert len(model.asked) == 6


async def test_a_refusal_of_images_where_there_are_none_is_the_failure() -> None:
    """Nothing is left out where there is nothing to leave out."""
    model = Picky(lambda prompt: declined(RejectionReason.IMAGES))
    with pytest.raises(ModelRejected):
        await ask(fitting(model), prompt_of(user("look")))
    assert len(model.asked) == 1


# ------------------------------------------------------------------------------------------------------------ one image


@pytest.mark.parametrize("bad", [CAT, DOG, BIRD])
async def test_the_one_that_cannot_be_read_is_found(bad: Image) -> None:
    """Of a few images each is left out in turn; the others are seen, and the bad one never comes again."""
    model = Picky(refuses(RejectionReason.IMAGE, lambda prompt: bad in images_of(prompt)))
    fit = fitting(model)
    question = user("look", CAT, DOG, BIRD)
    assert left_out(await ask(fit, prompt_of(question))) == ReducedPrompt((OmittedAttachment(bad.name, UNREADABLE),))
    assert len(model.asked) <= 4
    assert len(images_of(model.asked[-1])) == 2
    before = len(model.asked)
    assert left_out(await ask(fit, prompt_of(question, user("and?")))) == ReducedPrompt()
    assert len(model.asked) == before + 1
    assert bad not in images_of(model.asked[-1])


async def test_one_bad_image_is_no_reason_to_send_no_others() -> None:
    """The next question's image is sent."""
    model = Picky(refuses(RejectionReason.IMAGE, lambda prompt: CAT in images_of(prompt)))
    fit = fitting(model)
    await ask(fit, prompt_of(user("look", CAT)))
    assert left_out(await ask(fit, prompt_of(user("look", CAT), user("and this?", DOG)))) == ReducedPrompt()
    assert images_of(model.asked[-1]) == [DOG]
    assert len(model.asked) == 3


async def test_of_many_images_all_are_left_out_at_once() -> None:
    """Finding one among many is not worth a call for each."""
    model = Picky(refuses(RejectionReason.IMAGE, lambda prompt: CAT in images_of(prompt)))
    came = await ask(fitting(model), prompt_of(user("look", CAT, DOG, BIRD, FISH, COW)))
    assert len(left_out(came).left_out) == 5
    assert len(model.asked) == 2


async def test_two_bad_images_cost_a_bounded_number_of_calls() -> None:
    """Where no single one is to blame, all are left out."""
    model = Picky(refuses(RejectionReason.IMAGE, lambda prompt: {CAT, DOG} & set(images_of(prompt)) != set()))
    came = await ask(fitting(model), prompt_of(user("look", CAT, DOG, BIRD)))
    assert {part.name for part in left_out(came).left_out} == {"cat.png", "dog.png", "bird.png"}
    assert len(model.asked) == 5


async def test_too_many_images_keeps_the_newest() -> None:
    """Earlier pictures go first, without a word, since they would be missing each time; then all but the last one."""
    model = Picky(refuses(RejectionReason.TOO_MANY_IMAGES, lambda prompt: len(images_of(prompt)) > 1))
    fit = fitting(model)
    came = await ask(fit, prompt_of(user("old", CAT), user("look", DOG)))
    assert left_out(came) == ReducedPrompt()
    assert images_of(model.asked[-1]) == [DOG]
    came = await ask(fit, prompt_of(user("old", CAT), user("look", DOG, BIRD)))
    assert left_out(came) == ReducedPrompt((OmittedAttachment("dog.png", TOO_MANY),))
    assert images_of(model.asked[-1]) == [BIRD]


# ----------------------------------------------------------------------------------------------------------- in doubt


async def test_an_unknown_refusal_is_tried_without_images() -> None:
    """Nobody said what was wrong: without the images it may be right. The image does not come again."""
    model = Picky(refuses(RejectionReason.REQUEST, lambda prompt: bool(images_of(prompt))))
    fit = fitting(model)
    assert left_out(await ask(fit, prompt_of(user("look", CAT)))).left_out == (
        OmittedAttachment("cat.png", UNREADABLE),
    )
    assert left_out(await ask(fit, prompt_of(user("look", CAT), user("and?")))) == ReducedPrompt()
    assert len(model.asked) == 3


async def test_a_second_doubt_makes_it_certain() -> None:
    """Two images refused without a word are the model's, not the images' fault; one taken between says otherwise."""
    model = Picky(
        refuses(RejectionReason.REQUEST, lambda prompt: CAT in images_of(prompt) or BIRD in images_of(prompt))
    )
    fit = fitting(model)
    await ask(fit, prompt_of(user("look", CAT)))
    await ask(fit, prompt_of(user("look", DOG)))
    await ask(fit, prompt_of(user("look", BIRD)))
    assert images_of(model.asked[2]) == [DOG]
    await ask(fit, prompt_of(user("look", DOG)))
    assert images_of(model.asked[-1]) == [DOG]
    model.judge = refuses(RejectionReason.REQUEST, lambda prompt: bool(images_of(prompt)))
    await ask(fit, prompt_of(user("look", FISH)))
    before = len(model.asked)
    await ask(fit, prompt_of(user("look", COW)))
    assert len(model.asked) == before + 2
    assert left_out(await ask(fit, prompt_of(user("look", DOG)))).no_images
    assert len(model.asked) == before + 3


async def test_where_images_are_not_to_blame_the_first_failure_is_told() -> None:
    """A refusal that has nothing to do with them is the answer, after one more call."""
    first = declined(RejectionReason.REQUEST)
    model = Picky(lambda prompt: first if images_of(prompt) else declined(RejectionReason.MODEL))
    with pytest.raises(ModelRejected) as raised:
        await ask(fitting(model), prompt_of(user("look", CAT)))
    assert raised.value is first
    assert len(model.asked) == 2


async def test_a_broken_server_is_tried_without_images_in_the_end() -> None:
    """A 500 that nobody can read costs the attempts that it always does, then one without images."""
    model = Picky(lambda prompt: ServiceError("HTTP 500") if images_of(prompt) else None)
    came = await ask(fitting(model), prompt_of(user("look", CAT)))
    assert left_out(came).left_out == (OmittedAttachment("cat.png", UNREADABLE),)
    assert len(model.asked) == 5
    assert [each.number for each in came if isinstance(each, Attempt)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "failure", [RateLimited("429"), ConnectFailed("nobody"), declined(RejectionReason.QUOTA)], ids=repr
)
async def test_other_failures_leave_nothing_out(failure: Failure) -> None:
    """A limit, a server that is away, no credit: images have nothing to do with it."""
    model = Picky(lambda prompt: failure)
    with pytest.raises(type(failure)):
        await ask(fitting(model), prompt_of(user("look", CAT)))
    assert all(images_of(prompt) for prompt in model.asked)


# ------------------------------------------------------------------------------------------------------------ too long


def length(prompt: Prompt) -> int:
    return sum(len(message.text) for message in prompt.messages)


@pytest.mark.parametrize(("limit", "calls"), [(2000, 1), (900, 2), (450, 3), (20, 4)])
async def test_a_history_is_shortened_until_it_fits(limit: int, calls: int) -> None:
    """A half, a quarter, the question alone: each is one more call, the question stays whole, and the cut is told."""
    model = Picky(refuses(RejectionReason.CONTEXT, lambda prompt: length(prompt) > limit))
    history = [user(f"{number:02d}" * 20) for number in range(40)]
    came = await ask(fitting(model), prompt_of(*history, user("why?")))
    assert len(model.asked) == calls
    assert left_out(came) == ReducedPrompt(history_cut=calls > 1)
    assert all(prompt.messages[-1].text == "why?" for prompt in model.asked)
    for longer, shorter in pairwise(model.asked):
        assert longer.messages[len(longer.messages) - len(shorter.messages) :] == shorter.messages


@pytest.mark.parametrize("history", [0, 1, 40])
async def test_a_question_too_long_is_said_so(history: int) -> None:
    """What never fits ends after three more calls at the most, and without a history at once."""
    model = Picky(lambda prompt: declined(RejectionReason.CONTEXT))
    with pytest.raises(ModelRejected) as raised:
        await ask(fitting(model), prompt_of(*[user("x" * 40)] * history, user("why?")))
    assert raised.value.reason is RejectionReason.CONTEXT
    assert len(model.asked) == 1 + min(history * 3, 3)


async def test_an_image_too_large_for_the_request_is_left_out_last() -> None:
    """A proxy that takes a megabyte refuses by size: the words may still be answered."""
    model = Picky(refuses(RejectionReason.CONTEXT, lambda prompt: bool(images_of(prompt))))
    came = await ask(fitting(model), prompt_of(user("old"), user("look", CAT)))
    assert left_out(came) == ReducedPrompt((OmittedAttachment("cat.png", UNREADABLE),), history_cut=True)


async def test_both_at_once() -> None:
    """A model that takes no images and little text is asked with little text and no images."""

    def judge(prompt: Prompt) -> Failure | None:
        if images_of(prompt):
            return declined(RejectionReason.IMAGES)
        return declined(RejectionReason.CONTEXT) if length(prompt) > 100 else None

    model = Picky(judge)
    came = await ask(fitting(model), prompt_of(*[user("x" * 40)] * 4, user("look", CAT)))
    assert left_out(came) == ReducedPrompt(no_images=True, history_cut=True)
    assert len(model.asked) == 3


# ------------------------------------------------------------------------------------------------------------ whatever


FAILURES = st.sampled_from(
    [
        *map(declined, RejectionReason),
        ServiceError("500"),
        RateLimited("429"),
        ConnectFailed("no"),
        ServiceError("the answer is empty"),
    ]
)


@given(
    failures=st.lists(FAILURES, max_size=12),
    messages=st.lists(st.lists(st.sampled_from([CAT, DOG, BIRD, FISH, COW]), max_size=3), min_size=1, max_size=5),
)
def test_asking_ends_whatever_the_server_says(failures: list[Failure], messages: list[list[Image]]) -> None:
    """However refusals follow each other: an answer or a failure, few calls, and never a word of the question less."""

    async def play() -> None:
        left = list(failures)
        model = Picky(lambda prompt: left.pop(0) if left else None)
        prompt = prompt_of(*(user(str(number), *images) for number, images in enumerate(messages)))
        try:
            came = await ask(fitting(model), prompt)
        except Failure:
            came = []
        if came:
            assert isinstance(came[-1], Finish)
        assert len(model.asked) <= 4 * 12
        assert all(asked.messages[-1].text == prompt.messages[-1].text for asked in model.asked)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())
