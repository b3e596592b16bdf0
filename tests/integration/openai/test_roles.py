"""Conversations with servers that are strict about roles: whoever speaks, and whatever failed before."""

from __future__ import annotations

import pytest

from adapters.openai import OpenAIModel, OpenAIOptions
from bot.conversation import Image, Message, Prompt
from bot.role_alternation import BEGINS_WITH_ANSWER
from tests.contracts.model import QUESTION, ask
from tests.servers.openai import Answer, OpenAIDouble, Status, Taste
from tests.servers.requests import out_of_order, seen
from tests.servers.vendor_errors import SYSTEM, vendor_errors
from tests.support.real_time import ANSWER, conversation, ours, user

pytestmark = pytest.mark.sockets(seconds=20)

EXCHANGES = [each for number in range(13) for each in (user(f"q{number}"), ours(f"a{number}"))]


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("said", "direct"),
    [
        ([user("a question that got no answer")], True),
        ([user("q"), ours("half an ans"), user("stop"), user("and?")], True),
        ([user("I think"), user("I do not", name="Dana"), ours("Well."), user("hm", name="Lee")], False),
        ([user("q"), ours("a"), user(""), user(" \n")], True),
        ([ours("an answer whose question is not read")], True),
        ([ours("a"), ours("b")], False),
        (EXCHANGES[1:], True),
        (EXCHANGES, True),
    ],
    ids=["failed", "stopped", "several people", "a sticker", "a reply", "two of ours", "thirteen, cut", "thirteen"],
)
async def test_a_strict_server_answers(said: list[Message], direct: bool, api: str) -> None:
    """Whatever was said before, a server that wants roles in order gets them in one call, and answers."""
    async with conversation(Taste(alternates=True), api=api) as talk:
        assert ANSWER in await talk.ask(*said, direct=direct)
        assert len(talk.double.requests) == 1


async def test_an_answer_that_comes_first_is_kept() -> None:
    """Of 26 messages 25 are read: the first is an answer, which the model is still given, after a word that says so."""
    async with conversation(Taste(alternates=True)) as talk:
        await talk.ask(*EXCHANGES)
        texts, _ = seen(talk.double.requests[0].body)
    assert texts[1:3] == [BEGINS_WITH_ANSWER, "a0"]


async def test_a_picture_of_a_neighbour_stays() -> None:
    """Two people's messages become one, with both pictures in their places."""
    pictures = [Image(name, "image/png", name.encode()) for name in ("a.png", "b.png")]
    async with conversation(Taste(alternates=True)) as talk:
        await talk.ask(user("this?", pictures[0]), text="or that?", files=(pictures[1],), direct=False)
        content = talk.double.requests[0].body["messages"][1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url"]
    assert [part["text"] for part in content if "text" in part] == ["Kim: this?", "Dana: or that?"]


# ---------------------------------------------------------------------------------------------------- the system's role


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_without_a_system_role(api: str, stream: bool) -> None:
    """Its prompt goes into the first message; that costs one call once, and the model's other names nothing."""
    async with OpenAIDouble(default=Answer(ANSWER)) as double:
        double.taste = Taste(system=False, models=frozenset({"test-model"}))
        model = OpenAIModel(OpenAIOptions("test-model", "x", double.url, api=api))  # type: ignore[arg-type]
        for _ in range(2):
            assert (await ask(model, stream=stream)).text == ANSWER
        assert (
            await ask(model, stream=stream, prompt=Prompt("Be brief.", QUESTION.messages, "another"))
        ).text == ANSWER
        await model.close()
        bodies = [request.body for request in double.requests]
    texts = ["Be brief.", "What is the time?"]
    assert [seen(body)[0] for body in bodies] == [texts, ["\n\n".join(texts)], ["\n\n".join(texts)], texts]
    assert not any(map(out_of_order, bodies))


@pytest.mark.parametrize("vendors", vendor_errors(SYSTEM), ids=str)
async def test_each_way_to_refuse_the_role_is_understood(vendors: object) -> None:
    """Whatever a vendor calls it, the reader gets an answer, and no attempt is spent."""
    async with OpenAIDouble(vendors.script, default=Answer(ANSWER)) as double:  # type: ignore[attr-defined]
        model = OpenAIModel(OpenAIOptions("test-model", "x", double.url))
        outcome = await ask(model, stream=True)
        await model.close()
    assert outcome.text == ANSWER
    assert len(double.requests) == 2


async def test_the_role_may_be_refused_in_a_stream() -> None:
    """LM Studio says it in a stream that began well."""
    event = 'event: error\ndata: {"error": {"message": "Error rendering prompt: System role not supported"}}\n\n'
    refusal = Status(200, raw=event, content_type="text/event-stream")
    async with OpenAIDouble(refusal, default=Answer(ANSWER)) as double:
        model = OpenAIModel(OpenAIOptions("test-model", "x", double.url))
        assert (await ask(model, stream=True)).text == ANSWER
        await model.close()
    assert len(double.requests) == 2


async def test_a_refused_role_without_a_system_prompt_is_the_failure() -> None:
    """Where there is nothing to move, the server is not asked again."""
    async with OpenAIDouble(vendor_errors(SYSTEM)[0].script) as double:
        model = OpenAIModel(OpenAIOptions("test-model", "x", double.url))
        outcome = await ask(model, stream=True, prompt=Prompt("", QUESTION.messages))
        await model.close()
    assert outcome.failure is not None
    assert len(double.requests) == 1


async def test_a_server_strict_in_everything() -> None:
    """Order and role at once, in a thread of several people: two calls for the first answer, one for the next."""
    async with conversation(Taste(alternates=True, system=False)) as talk:
        for _ in range(2):
            assert ANSWER in await talk.ask(user("a"), user("b", name="Dana"), ours("c"), direct=False)
        assert len(talk.double.requests) == 3
