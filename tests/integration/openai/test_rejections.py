"""What a reader and an operator see where a model's server refuses a question, from error' own words."""

from __future__ import annotations

import logging

import pytest

from adapters.openai import OpenAIOptions, check
from bot.conversation import Image
from bot.errors import RejectionReason
from bot.strings import Strings
from tests.servers.openai import Answer, OpenAIDouble, Status, Taste
from tests.servers.requests import seen
from tests.servers.vendor_errors import VendorError, vendor_error, vendor_errors
from tests.support.real_time import ANSWER, conversation, ours, user

pytestmark = pytest.mark.sockets(seconds=20)

WORDS = Strings()
CAT = Image("cat.png", "image/png", b"\x89PNG cat")
DOG = Image("dog.png", "image/png", b"\x89PNG dog")


@pytest.mark.parametrize("error", vendor_errors(RejectionReason.IMAGES.value), ids=str)
async def test_a_server_that_takes_no_images(error: VendorError) -> None:
    """Each vendor's refusal: an answer without them, told once; and the conversation goes on at one call a question."""
    async with conversation(Taste(images=error.script)) as talk:
        first = await talk.ask(text="what is this?", files=(CAT,))
        assert ANSWER in first
        assert WORDS.no_images in first
        assert len(talk.double.requests) == 2
        later = await talk.ask(user("what is this?", CAT), ours(ANSWER), text="sure?")
        assert ANSWER in later
        assert WORDS.no_images not in later
        assert len(talk.double.requests) == 3
        assert seen(talk.double.requests[-1].body)[1] == []


@pytest.mark.parametrize("error", vendor_errors(RejectionReason.IMAGE.value), ids=str)
async def test_an_image_that_cannot_be_read(error: VendorError) -> None:
    """Each vendor's refusal: the one image is left out and named, it does not come back, and the next one is sent."""
    async with conversation(Taste(unread={CAT.data: error.script})) as talk:
        first = await talk.ask(text="what is this?", files=(CAT,))
        assert ANSWER in first
        assert "cat.png was left out" in first
        assert len(talk.double.requests) == 2
        later = await talk.ask(user("what is this?", CAT), ours(ANSWER), text="and this?", files=(DOG,))
        assert "left out" not in later
        assert len(talk.double.requests) == 3
        assert len(seen(talk.double.requests[-1].body)[1]) == 1


@pytest.mark.parametrize("status", [400, 415, 422, 500])
@pytest.mark.parametrize("body", ["", "no", '{"error": {"message": "Bad Request"}}', "[]"])
async def test_a_refusal_without_a_reason(status: int, body: str) -> None:
    """Nobody says that it is for the image: without it the question is answered, and the image does not come back."""
    async with conversation(Taste(images=Status(status, raw=body))) as talk:
        assert ANSWER in await talk.ask(text="what is this?", files=(CAT,))
        asked = len(talk.double.requests)
        assert asked <= 5
        assert ANSWER in await talk.ask(user("what is this?", CAT), ours(ANSWER), text="sure?")
        assert len(talk.double.requests) == asked + 1


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("error", vendor_errors(RejectionReason.CONTEXT.value), ids=str)
async def test_a_conversation_longer_than_the_model_takes(error: VendorError, api: str) -> None:
    """Each vendor's refusal: the history is shortened and that is said, or, for the question alone, that it is long."""
    async with conversation(Taste(characters=500, too_long=error.script), api=api) as talk:
        said = [each for number in range(10) for each in (user(f"{number}" * 40), ours("a" * 40))]
        shown = await talk.ask(*said)
        assert ANSWER in shown
        assert WORDS.history_cut in shown
        assert len(talk.double.requests) == 2
        assert WORDS.too_long in await talk.ask(*said, text="x" * 600)
        assert len(talk.double.requests) == 6


OPERATORS = [
    (RejectionReason.MODEL, WORDS.no_model, "OPENAI_MODEL"),
    (RejectionReason.CREDENTIALS, WORDS.no_credentials, "OPENAI_API_KEY"),
    (RejectionReason.QUOTA, WORDS.no_quota, "credit"),
    (RejectionReason.SETUP, WORDS.no_model, "OPENAI_BASE_URL"),
]


@pytest.mark.parametrize(
    ("error", "sentence", "fix"),
    [(each, sentence, fix) for why, sentence, fix in OPERATORS for each in vendor_errors(why.value)],
    ids=str,
)
async def test_what_only_the_operator_can_mend(
    error: VendorError, sentence: str, fix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One call; the reader is told whom to tell and not that the question was wrong; log and check have the reason."""
    async with conversation(Taste(), error.script) as talk:
        shown = await talk.ask(user("before", CAT))
        assert sentence.partition("(")[0].strip() in shown
        assert len(talk.double.requests) == 1
    (line,) = [record for record in caplog.records if record.message == "no complete answer"]
    assert line.levelno == logging.ERROR
    assert "(" in vars(line)["failure"]
    async with OpenAIDouble(default=error.script) as double:
        (result,) = await check(OpenAIOptions("test-model", "sk-secret-0123456789", double.url))
    assert not result.ok
    assert fix in result.fix


async def test_a_rate_limit_is_waited_for() -> None:
    """The words of a limit that passes speak of tokens and quotas, and shorten nothing."""
    error = vendor_error("OpenAI, a limit", "retry")
    async with conversation(Taste(), error.script) as talk:
        shown = await talk.ask(user("before"))
        first, second = (request.body for request in talk.double.requests)
    assert ANSWER in shown
    assert WORDS.history_cut not in shown
    assert first == second


async def test_refusals_one_behind_the_other() -> None:
    """A server strict in everything: no system role, no images, little room. The answer comes all the same."""
    taste = Taste(
        alternates=True,
        system=False,
        images=vendor_error("llama.cpp", RejectionReason.IMAGES.value).script,
        characters=300,
    )
    async with conversation(taste) as talk:
        said = [each for number in range(10) for each in (user(f"{number}" * 40, CAT), user("b"), ours("a" * 40))]
        shown = await talk.ask(*said, files=(DOG,))
        assert ANSWER in shown
        assert WORDS.no_images in shown
        assert WORDS.history_cut in shown
        assert len(talk.double.requests) <= 6


async def test_an_answer_with_images_is_one_call() -> None:
    """A healthy server is asked once, with all images, and nothing is said."""
    async with conversation(Taste(alternates=True), Answer(ANSWER)) as talk:
        assert (await talk.ask(user("old", CAT), files=(DOG,))).strip() == ANSWER
        assert len(talk.double.requests) == 1
        assert len(seen(talk.double.requests[0].body)[1]) == 2
