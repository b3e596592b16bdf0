"""Another model answers if the chosen one fails before any text, and only then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backoff import Backoff
from bot.completion import Attempt, Completion, CompletionPolicy
from bot.conversation import (
    Delta,
    Finish,
    FinishReason,
    Image,
    Message,
    Prompt,
    Reasoning,
    Refusal,
    Retraction,
    Role,
    Text,
    Usage,
)
from bot.errors import ConnectFailed, Failure, ModelRejected, RateLimited, RejectionReason, ServiceError
from bot.model_fallback import HELPS, AnsweredBy, FallbackPolicy, ModelFallback
from bot.model_router import ModelRouter
from bot.models import ModelCatalog, ModelInfo
from bot.prompt_reduction import PromptReducer, ReducedPrompt
from bot.telemetry import NoRecorder
from tests.support.clock import VirtualLoop
from tests.support.fakes import ScriptedModel, Step

STOP = Finish(FinishReason.STOP)
BROKEN: list[Step] = [ServiceError("broken")]
GOOD: list[Step] = [Text("yes"), Usage(1, 2), STOP]
CATALOG = ModelCatalog(
    (
        ModelInfo("a", "Model A", "server-a", context=8_000),
        ModelInfo("b", "Model B", "server-b", context=4_000),
        ModelInfo("c", "Model C", "server-c", images=False, context=100_000),
    )
)
PICTURE = Image("cat.png", "image/png", b"cat")

Yielded = Delta | Attempt | ReducedPrompt | AnsweredBy


class Three:
    """The models a, b and c behind their router, and all that one question brings."""

    def __init__(self, scripts: Mapping[str, Sequence[Step]], policy: FallbackPolicy | None = None) -> None:
        self.models = {name: ScriptedModel(scripts.get(name, GOOD)) for name in "abc"}
        completion = Completion(
            ModelRouter(self.models["a"], self.models),
            CompletionPolicy(attempts=2, backoff=Backoff(0.1, 8.0, jitter=1.0)),
            NoRecorder(),
            random.Random(1),
        )
        reducer = PromptReducer(completion, CATALOG.takes_images)
        self.fallback = ModelFallback(reducer, CATALOG, policy or FallbackPolicy(("b", "c")))
        self.came: list[Yielded] = []
        self.failure: Failure | None = None

    async def ask(self, model: str = "", *parts: Image) -> Three:
        prompt = Prompt("", (Message(Role.USER, (Text("why?"), *parts)),), model)
        try:
            async with aclosing(self.fallback.answer(prompt)) as deltas:
                async for delta in deltas:
                    self.came.append(delta)
        except Failure as failure:
            self.failure = failure
        assert not any(each.open for each in self.models.values())
        return self

    def calls(self) -> dict[str, list[bool]]:
        """Whether each call of each asked model was a stream."""
        return {name: [stream for stream, _ in model.calls] for name, model in self.models.items() if model.calls}

    def text(self) -> str:
        return "".join(each.text for each in self.came if isinstance(each, Text))


async def test_a_healthy_model_answers_alone() -> None:
    """One call, and no note."""
    three = await Three({}).ask()
    assert three.calls() == {"a": [True]}
    assert three.came == [Attempt(1, streamed=True, model="a"), *GOOD]


async def test_the_next_model_answers_after_all_attempts_and_the_call_without_streaming() -> None:
    """The chosen model has all its attempts; the note precedes the first text, and every call names its model."""
    three = await Three({"a": BROKEN}).ask()
    assert three.calls() == {"a": [True, True, False], "b": [True]}
    assert three.came == [
        Attempt(1, streamed=True, model="a"),
        Attempt(2, streamed=True, model="a"),
        Attempt(3, streamed=False, model="a"),
        Attempt(4, streamed=True, model="b"),
        AnsweredBy("b", "a"),
        *GOOD,
    ]


async def test_the_list_is_asked_in_its_order() -> None:
    """Each further model gets one streamed attempt and one call without; the note names the last one and the chosen."""
    three = await Three({"a": BROKEN, "b": BROKEN}).ask()
    assert three.calls() == {"a": [True, True, False], "b": [True, False], "c": [True]}
    assert [each for each in three.came if isinstance(each, AnsweredBy)] == [AnsweredBy("c", "a")]


@pytest.mark.parametrize(("chosen", "order"), [("", "abc"), ("a", "abc"), ("b", "bca"), ("c", "cba")])
async def test_the_chosen_model_is_asked_once(chosen: str, order: str) -> None:
    """A model that is chosen and in the list is not asked again as a fallback."""
    policy = FallbackPolicy(("b", "c", "a"))
    three = await Three(dict.fromkeys("abc", BROKEN), policy).ask(chosen)
    models = [each.model for each in three.came if isinstance(each, Attempt)]
    assert list(dict.fromkeys(models)) == list(order)


async def test_a_servers_own_name_has_fallbacks_too() -> None:
    """A channel's table may name a model outside the list; its failure is no different."""
    three = await Three({"a": BROKEN}).ask("raw-name")
    assert [prompt.model for _, prompt in three.models["a"].calls] == ["raw-name"] * 3
    assert AnsweredBy("b", "raw-name") in three.came


@pytest.mark.parametrize(
    "shown",
    [
        [Text("half"), ServiceError("cut")],
        [Refusal("no"), ServiceError("cut")],
        [Text("thought"), Retraction(), ServiceError("cut")],
    ],
)
async def test_no_other_model_is_asked_after_text(shown: list[Step]) -> None:
    """Another model's answer would contradict the shown one."""
    three = await Three({"a": shown}).ask()
    assert set(three.calls()) == {"a"}
    assert three.failure is not None


@pytest.mark.parametrize("nothing", [Reasoning("hm"), Text(" \n"), Usage(1, 0)])
async def test_what_is_no_text_keeps_no_model(nothing: Delta) -> None:
    """Reasoning, white space and token counts are no answer."""
    three = await Three({"a": [nothing, ServiceError("cut")]}).ask()
    assert three.text().strip() == "yes"
    assert AnsweredBy("b", "a") in three.came


async def test_a_fallback_models_own_failure_after_its_text_is_raised() -> None:
    """Once a fallback model has sent text it is the answer's model, and its failure ends the answer."""
    three = await Three({"a": BROKEN, "b": [Text("half"), RateLimited("later")]}).ask()
    assert set(three.calls()) == {"a", "b"}
    assert isinstance(three.failure, RateLimited)
    assert three.came.index(AnsweredBy("b", "a")) < three.came.index(Text("half"))


async def test_the_chosen_models_failure_is_reported_if_none_answers() -> None:
    """The reader chose that model; a wrong key of another is the operator's matter, in the log."""
    other: list[Step] = [ModelRejected("no", reason=RejectionReason.CREDENTIALS)]
    three = await Three({"a": [RateLimited("later")], "b": other, "c": other}).ask()
    assert set(three.calls()) == {"a", "b", "c"}
    assert isinstance(three.failure, RateLimited)
    assert not [each for each in three.came if isinstance(each, AnsweredBy)]


@pytest.mark.parametrize(
    ("reason", "asked"),
    [
        (RejectionReason.QUOTA, "ab"),
        (RejectionReason.CREDENTIALS, "ab"),
        (RejectionReason.MODEL, "ab"),
        (RejectionReason.SETUP, "ab"),
        (RejectionReason.CONTEXT, "ac"),  # b takes less
        (RejectionReason.IMAGES, "a"),
        (RejectionReason.IMAGE, "a"),
        (RejectionReason.TOO_MANY_IMAGES, "a"),
        (RejectionReason.REQUEST, "a"),
    ],
)
async def test_a_rejection_goes_to_a_model_that_may_take_it(reason: RejectionReason, asked: str) -> None:
    """An account, a key or a name is each model's own; a long text fits a larger context; the rest is the text's."""
    three = await Three({"a": [ModelRejected("no", reason=reason)]}).ask()
    assert "".join(three.calls()) == asked
    assert (three.failure is None) is (len(asked) > 1)
    assert set(HELPS) == set(RejectionReason)


@pytest.mark.parametrize(("own", "other", "helps"), [(0, 9, False), (9, 0, False), (9, 9, False), (8, 9, True)])
def test_an_unknown_context_is_not_taken_for_a_larger_one(own: int, other: int, helps: bool) -> None:
    """Only two known contexts can be compared."""
    failed, candidate = (ModelInfo("x", "x", "x", context=size) for size in (own, other))
    assert HELPS[RejectionReason.CONTEXT](failed, candidate) is helps


async def test_notices_of_a_failed_model_are_not_shown() -> None:
    """Images left out for a model without an answer are no concern of the reader."""
    policy = FallbackPolicy(("b",))
    blind = await Three({"c": [Reasoning("hm"), ServiceError("cut")]}, policy).ask("c", PICTURE)
    assert AnsweredBy("b", "c") in blind.came
    assert not [each for each in blind.came if isinstance(each, ReducedPrompt)]
    assert PICTURE in blind.models["b"].calls[0][1].messages[0].parts


async def test_a_model_configured_without_images_gets_none_and_the_reader_is_told() -> None:
    """No refused call is spent on a known capability, for a chosen model and for a fallback model."""
    for three in (await Three({}).ask("c", PICTURE), await Three({"a": BROKEN, "b": BROKEN}).ask("", PICTURE)):
        assert ReducedPrompt(no_images=True) in three.came
        assert PICTURE not in three.models["c"].calls[0][1].messages[0].parts


def test_the_patience_is_bounded() -> None:
    """Silent models: the second begins after the first one's whole patience, and none begins after the limit."""
    silent: list[Step] = [10_000.0]
    policy = FallbackPolicy(("b", "c"), seconds=480.0)

    async def wait() -> tuple[Three, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        three = await Three(dict.fromkeys("abc", silent), policy).ask()
        return three, loop.time() - began

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        three, seconds = runner.run(wait())
    one = CompletionPolicy()
    first = 2 * one.first_chunk_seconds + one.fallback_seconds
    further = one.first_chunk_seconds + one.fallback_seconds
    assert three.calls() == {"a": [True, True, False], "b": [True, False], "c": [True, False]}
    assert seconds == pytest.approx(first + 2 * further, abs=20)
    assert seconds <= policy.seconds + further + 20


async def test_no_model_begins_after_the_limit() -> None:
    """With no time for another model, the first failure is reported."""
    three = await Three({"a": BROKEN}, FallbackPolicy(("b",), seconds=0.0)).ask()
    assert set(three.calls()) == {"a"}
    assert isinstance(three.failure, ServiceError)


STEPS = st.lists(
    st.sampled_from(
        [
            Text("x"),
            Text(" "),
            Reasoning("r"),
            Usage(1, 1),
            STOP,
            ServiceError("s"),
            RateLimited("l"),
            ConnectFailed("c"),
            ModelRejected("q", reason=RejectionReason.QUOTA),
            ModelRejected("r", reason=RejectionReason.REQUEST),
        ]
    ),
    max_size=4,
)


@given(scripts=st.fixed_dictionaries(dict.fromkeys("abc", STEPS)))
def test_one_model_answers_or_the_first_failure_is_raised(scripts: dict[str, list[Step]]) -> None:
    """Whatever models do: text comes from one model only, a note stands before it, and attempts count up."""

    async def play() -> Three:
        return await Three(scripts).ask()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        three = runner.run(play())
    model, speakers, notes = "", set(), []
    for each in three.came:
        if isinstance(each, Attempt):
            model = each.model
        elif isinstance(each, AnsweredBy):
            notes.append(each)
        elif isinstance(each, Text) and each.text.strip():
            speakers.add(model)
            assert [note.model for note in notes] == [model][: model != "a"]
    numbers = [each.number for each in three.came if isinstance(each, Attempt)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(speakers) <= 1
    assert (three.failure is None) is isinstance(three.came[-1], Finish)
