"""Streams of servers that are no OpenAI: any order, framing and chunking of what they send, read to its honest end."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.openai import chat_completions, responses
from adapters.openai.finish_reasons import FinishReasons
from bot.completion import Attempt, Completion, CompletionPolicy
from bot.conversation import (
    Activity,
    Delta,
    Finish,
    FinishReason,
    Prompt,
    Retraction,
    Text,
    Usage,
)
from bot.errors import Failure, ServiceError
from bot.telemetry import NoRecorder
from tests.servers.openai_scripts import (
    SIGNS_OF_LIFE,
    Answer,
    Manner,
    chat_whole,
    responses_whole,
)
from tests.support.clock import VirtualLoop
from tests.support.streams import ScriptedModel, Step, steps_of

PROMPT = Prompt("", ())
STOP = Finish(FinishReason.STOP)
POLICY = CompletionPolicy()


@dataclass
class Told:
    """What came of one answer, through the core."""

    deltas: list[Delta | Attempt]
    seconds: float
    calls: int
    shown_at: dict[str, float]  # when an end was announced or came, by the class of its delta

    @property
    def text(self) -> str:
        text = ""
        for delta in self.deltas:
            if isinstance(delta, Text):
                text += delta.text
            elif isinstance(delta, Retraction | Attempt):
                text = ""
        return text

    @property
    def finish(self) -> Finish | None:
        last = self.deltas[-1] if self.deltas else None
        return last if isinstance(last, Finish) else None


async def told(model: ScriptedModel, policy: CompletionPolicy = POLICY) -> Told:
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = Told([], 0.0, 0, {})
    try:
        async with aclosing(Completion(model, policy, NoRecorder(), random.Random(1)).answer(PROMPT)) as deltas:
            async for delta in deltas:
                outcome.deltas.append(delta)
                outcome.shown_at.setdefault(type(delta).__name__, loop.time() - began)
    except Failure:
        pass
    outcome.seconds, outcome.calls = loop.time() - began, model.calls
    return outcome


def run(model: ScriptedModel) -> Told:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(told(model))


def event(data: object) -> bytes:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def chunk(text: str | None = None, finish: str | None = None, *, usage: dict[str, int] | None = None) -> bytes:
    more = {} if usage is None else {"usage": usage}
    delta = {} if text is None else {"content": text}
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


DONE = event("[DONE]")
USAGE = {"prompt_tokens": 1, "completion_tokens": 2}
HM = event({"choices": [{"delta": {"reasoning_content": "hm"}}]})
PIECES = [f"piece{number} " for number in range(6)]
TEXT = "".join(PIECES)


def apart(seconds: float, *steps: bytes) -> list[Step]:
    """Steps so far from each other."""
    return [part for step in steps for part in (seconds, step)]


# --------------------------------------------------------------------------------------------------- ends of a stream

GOOD: dict[str, list[Step]] = {
    "a finish reason with each chunk": apart(0.6, *(chunk(piece, "stop") for piece in PIECES)),
    "a finish reason and usage with each chunk": apart(0.6, *(chunk(piece, "stop", usage=USAGE) for piece in PIECES)),
    "a finish reason with each chunk, far apart": apart(15.0, *(chunk(piece, "stop") for piece in PIECES)),
    "text behind the finish reason": [
        *map(chunk, PIECES[:-1]), chunk(None, "stop"), 0.4, chunk(PIECES[-1]), 0.1, DONE,
    ],
    "text behind the finish reason and the usage": [
        *map(chunk, PIECES[:-1]), chunk(None, "stop"), chunk(usage=USAGE), 0.4, chunk(PIECES[-1]), DONE,
    ],
    "text long behind the finish reason": [
        *map(chunk, PIECES[:-1]), chunk(None, "stop"), 12.0, chunk(PIECES[-1]), 12.0, chunk(None, "stop"), DONE,
    ],
    "no finish reason": [*map(chunk, PIECES), DONE],
    "[DONE] without a line's end": [*map(chunk, PIECES), b"data: [DONE]"],
    "[DONE] with white space": [*map(chunk, PIECES), b"data:  [DONE] \r\n\r\n"],
    "camel case": [
        *map(chunk, PIECES), event({"choices": [{"index": 0, "delta": {}, "finishReason": "STOP"}]}),
    ],
    "no blank line behind the last event": [*map(chunk, PIECES), chunk(None, "stop").rstrip()],
    "no blank line behind the last event, which has text": [
        *map(chunk, PIECES[:-1]), chunk(PIECES[-1], "stop").removesuffix(b"\n"),
    ],
    "no blank lines": [b"".join(chunk(piece).replace(b"\n\n", b"\n") for piece in PIECES), b"data: [DONE]\n"],
    "the usage before the finish reason": [*map(chunk, PIECES), chunk(usage=USAGE), chunk(None, "stop"), DONE],
    "an end twice": [*map(chunk, PIECES), chunk(None, "stop"), chunk(None, "stop"), DONE, DONE],
    "text behind [DONE]": [*map(chunk, PIECES), DONE, chunk("not for you", "stop")],
    "empty data": [b"data:\n\n", *map(chunk, PIECES), b"data: \n\n", b"data: ping\n\n", chunk(None, "stop")],
    "a reset behind the finish reason": [*map(chunk, PIECES), chunk(None, "stop"), ServiceError("reset")],
    "an error behind the finish reason": [*map(chunk, PIECES), chunk(None, "stop"), event({"error": "no"})],
    "a reset that cuts the last blank line": [*map(chunk, PIECES), chunk(None, "stop").rstrip(), ServiceError("reset")],
    "a whole answer as an event": [
        event({"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}), DONE,
    ],
    "null as a word": [*(chunk(piece, "null") for piece in PIECES), chunk(None, "stop"), DONE],
    "not finished as a word": [*(chunk(piece, "NOT_FINISHED") for piece in PIECES), chunk(None, "eos_token")],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
async def test_a_healthy_stream_costs_one_call(name: str) -> None:
    """Its text is complete and comes once, it ends normally, and without a wait once it is over."""
    steps = GOOD[name]
    seconds = sum(step for step in steps if isinstance(step, float))
    outcome = await told(ScriptedModel([steps]))
    assert outcome.text == TEXT
    assert outcome.finish == STOP
    assert outcome.calls == 1
    assert outcome.seconds <= seconds + 0.2


@pytest.mark.parametrize(
    "name", [name for name in GOOD if not any(word in name for word in ("reset", "error", "line"))]
)
@pytest.mark.parametrize(
    "alive", [b": keep-alive\n\n", chunk(), chunk(usage=USAGE), chunk(None, "stop"), b""], ids=repr
)
async def test_a_stream_that_never_ends(name: str, alive: bytes) -> None:
    """Behind a finish reason only text, thinking or another end counts; the idle time-out is a normal end then."""
    steps = [*GOOD[name], *apart(5.0, *[alive] * 100)]
    seconds = sum(step for step in GOOD[name] if isinstance(step, float))
    outcome = await told(ScriptedModel([steps], stays_open=True))
    assert outcome.text == TEXT
    assert outcome.finish == STOP
    assert outcome.calls == 1
    if b"[DONE]" in b"".join(step for step in GOOD[name] if isinstance(step, bytes)):
        assert outcome.seconds <= seconds + 0.2
    else:
        assert outcome.seconds == pytest.approx(seconds + POLICY.idle_seconds, abs=5.1)
        assert outcome.shown_at["Announced"] <= seconds


async def test_the_last_finish_reason_stands() -> None:
    """One that comes later takes the place of an earlier one, whether for the better or for the worse."""
    for words, reason in ((("stop", "length"), FinishReason.LENGTH), (("length", "stop"), FinishReason.STOP)):
        outcome = await told(ScriptedModel([[chunk("a"), *(chunk(None, word) for word in words), DONE]]))
        assert outcome.finish == Finish(reason)
    failing = await told(ScriptedModel([[chunk("a"), chunk(None, "stop"), chunk(None, "error")], [chunk("b"), DONE]]))
    assert (failing.text, failing.calls) == ("b", 2)


async def test_what_is_held_back_is_not_lost_to_a_stream_that_never_ends() -> None:
    """Half a mark at the end of the text belongs to it, if nothing follows."""
    outcome = await told(ScriptedModel([[chunk("a\n</thi", "stop")]], stays_open=True))
    assert outcome.text == "a\n</thi"
    cut = await told(ScriptedModel([[chunk("a\n</thi", "stop"), 0.5, chunk("nk>\nNoon.", "stop"), DONE]]))
    assert cut.text == "Noon."


async def test_an_end_that_was_not_meant_does_not_hide_a_cut() -> None:
    """A server that goes on behind its finish reasons has ended only where its stream does: a break is a failure."""
    cut: list[Step] = [*(chunk(piece, "stop") for piece in PIECES[:3]), ServiceError("reset")]
    outcome = await told(ScriptedModel([cut, GOOD["no finish reason"]]))
    assert outcome.text == TEXT
    assert outcome.calls == 2


@pytest.mark.parametrize("error", [b'error: {"code": 500, "message": "oops"}\n\n', b'{"error": {"message": "oops"}}\n'])
async def test_an_error_without_a_field_of_data_is_no_end(error: bytes) -> None:
    """[DONE] follows the errors of older llama.cpp; what was said before them is a part of an answer."""
    outcome = await told(ScriptedModel([[chunk("a"), error, DONE], GOOD["no finish reason"]]))
    assert (outcome.text, outcome.calls) == (TEXT, 2)


@pytest.mark.parametrize(
    "steps", [[], [chunk("a")], [chunk("a"), b'data: {"choices": [{"del'], [DONE], [chunk(None, "stop")]]
)
async def test_what_is_no_end_is_asked_for_again(steps: list[Step]) -> None:
    """A stream that stops without a reason, or without a word, is none."""
    outcome = await told(ScriptedModel([steps, GOOD["no finish reason"]]))
    assert (outcome.text, outcome.calls) == (TEXT, 2)


# ------------------------------------------------------------------------------------------------ thinking, and no more


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([HM, DONE], FinishReason.THOUGHT_ONLY),
        ([HM, chunk(None, "stop")], FinishReason.THOUGHT_ONLY),
        ([chunk("<think>hm</think>\n"), chunk(None, "stop")], FinishReason.THOUGHT_ONLY),
        ([chunk("<think>hm"), DONE], FinishReason.THOUGHT_ONLY),
        ([chunk("hm\n</think>\n"), DONE], FinishReason.THOUGHT_ONLY),
        ([chunk("<|channel|>analysis<|message|>hm<|end|>"), DONE], FinishReason.THOUGHT_ONLY),
        ([event({"choices": [{"delta": {"tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}]}), DONE],
         FinishReason.TOOLS_ONLY),
        ([event({"choices": [{"delta": {"reasoning": "hm", "tool_calls": [{"id": "1"}]}}]}), chunk(None, "stop")],
         FinishReason.TOOLS_ONLY),
        ([chunk(None, "function_call")], FinishReason.TOOLS_ONLY),
        ([HM, chunk(None, "length")], FinishReason.LENGTH),
    ],
)  # fmt: skip
async def test_an_answer_without_words_is_told_after_one_call(steps: list[Step], reason: FinishReason) -> None:
    """Asking again would bring the same: nothing but thinking, or a call of a tool that nobody offered."""
    for stays_open in (False, True):
        outcome = await told(ScriptedModel([steps], stays_open=stays_open))
        assert outcome.finish == Finish(reason)
        assert outcome.calls == 1


async def test_thinking_alone_does_not_take_the_place_of_words() -> None:
    """Where an earlier attempt has said something, one without a word is a failed attempt."""
    thought = [HM, DONE]
    outcome = await told(ScriptedModel([[chunk("a"), ServiceError("reset")], thought, GOOD["no finish reason"]]))
    assert (outcome.text, outcome.calls) == (TEXT, 3)


# ------------------------------------------------------------------------------------------------------- signs of life


@pytest.mark.parametrize("kind", SIGNS_OF_LIFE)
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_signs_of_life_are_waited_for(api: str, kind: str) -> None:
    """One chunk of thinking, 26 s of them, then text: one call; and as well where they come before anything else."""
    for reasoning in ("hm", ""):
        answer = Answer(TEXT, reasoning=reasoning, manner=Manner(quiet=78.0, alive_by=kind, alive_seconds=13.0))
        outcome = await told(ScriptedModel([steps_of(answer, api)], api=api))
        assert outcome.text == TEXT
        assert outcome.calls == 1


async def test_signs_of_life_are_not_waited_for_without_end() -> None:
    """After five minutes of them streaming is over for the turn, and the call without it follows."""
    alive = apart(10.0, *[b": keep-alive\n\n"] * 1000)
    whole: list[Step] = [json.dumps(chat_whole(Answer(TEXT), {})).encode()]
    for first in ([], [chunk("a")], [event({"choices": [{"delta": {"reasoning": "hm"}}]})]):
        outcome = await told(ScriptedModel([[*first, *alive], whole]))
        assert outcome.text == TEXT
        assert outcome.calls == 2
        assert outcome.seconds == pytest.approx(POLICY.no_text_seconds, abs=10.1)


async def test_they_are_told_of_seldom() -> None:
    """A flood of them costs the core nothing."""
    steps: list[Step] = [*apart(0.01, *[chunk("")] * 1000), chunk("a"), DONE]
    model = ScriptedModel([steps])
    found = [delta async for delta in model.answer(PROMPT, stream=True)]
    assert sum(isinstance(delta, Activity) for delta in found) <= 41


# ---------------------------------------------------------------------------------------------------- a stream or none


@pytest.mark.parametrize("api", ["chat", "responses"])
@given(
    cuts=st.lists(st.integers(0, 400), max_size=8),
    indent=st.sampled_from([None, 2]),
    head=st.sampled_from([b"", b"\xef\xbb\xbf", b" \n", b": processing\n\n: processing\r\n\r\n", b"\xef\xbb\xbf:\r"]),
)
def test_one_body_of_json_is_an_answer(api: str, cuts: list[int], indent: int | None, head: bytes) -> None:
    """Whatever it is labelled, and in whatever pieces it comes."""
    whole = (responses_whole if api == "responses" else chat_whole)(Answer(TEXT), {})
    outcome = run(ScriptedModel([list(pieces(head + json.dumps(whole, indent=indent).encode(), cuts))], api=api))
    assert outcome.text == TEXT
    assert outcome.finish == STOP
    assert outcome.calls == 1


def test_a_whole_answer_without_a_reason_is_one() -> None:
    """Its body is complete; a response that says that it is under way is not."""
    assert chat_completions.decode_response({"choices": [{"message": {"content": "a"}}]}) == [Text("a"), STOP]
    assert chat_completions.decode_response({"choices": [{"message": {"content": None}}]}) == []
    assert responses.decode_response({"status": "in_progress", "output": []}) == []


# ------------------------------------------------------------------------------------------------------ any such server


def pieces(text: bytes, cuts: Sequence[int]) -> Sequence[bytes]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def cut_again(steps: Sequence[Step], draw: st.DrawFn) -> list[Step]:
    """The same bytes at the same times, joined and cut anywhere."""
    joined: list[Step] = []
    for step in steps:
        last = joined[-1] if joined else None
        if isinstance(step, bytes) and isinstance(last, bytes) and draw(st.booleans()):
            joined[-1] = last + step
        else:
            joined.append(step)
    found: list[Step] = []
    for step in joined:
        if isinstance(step, bytes):
            found += pieces(step, draw(st.lists(st.integers(0, len(step)), max_size=3)))
        else:
            found.append(step)
    return found


MANNERS = st.builds(
    Manner,
    finish_each=st.booleans(),
    usage_each=st.booleans(),
    finish_field=st.sampled_from(["finish_reason", "finishReason"]),
    reasons=st.lists(st.sampled_from(["stop", "end_turn", "eos"]), max_size=2).map(tuple),
    late=st.lists(
        st.tuples(st.sampled_from([0.0, 0.4, 12.0]), st.sampled_from(["late ", "\n- later"])), max_size=2
    ).map(tuple),
    quiet=st.sampled_from([0.0, 0.0, 60.0]),
    alive_by=st.sampled_from(SIGNS_OF_LIFE),
    alive_seconds=st.sampled_from([1.0, 15.0]),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    space=st.booleans(),
    byte_order_mark=st.booleans(),
    blank_lines=st.booleans(),
    last_blank=st.booleans(),
)  # fmt: skip

THOUGHTS = st.sampled_from(
    [
        ("", ""),
        ("<think>They ask.</think>", ""),
        ("<thought>They ask.</thought>\n", ""),
        ("[THINK]They ask.[/THINK]", ""),
        ("<|channel|>analysis<|message|>They ask.<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"),
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, str, list[Step], bool]:
    """An API, the text of an answer, what a healthy server sends for it, and whether it never closes."""
    api = draw(st.sampled_from(["chat", "chat", "responses"]))
    manner = draw(MANNERS)
    text = "".join(
        draw(st.lists(st.sampled_from(["It ", "is ", "noon.", "\n\n", "`<b>` ", "\u00e9\U0001f600 "]), min_size=1))
    )
    said = f"noon {text}"
    late = "".join(text for _, text in manner.late) if api == "chat" else ""
    before, behind = draw(THOUGHTS)
    if manner.indented or late:
        behind = ""
    done = draw(st.booleans())
    answer = Answer(
        before + said + behind,
        reasoning=draw(st.sampled_from(["", "hm "])),
        finish=draw(st.sampled_from(["stop", "eos", None] if done else ["stop", "end_turn"])),
        usage=draw(st.booleans()),
        done=done,
        manner=manner,
    )
    if api == "responses":
        answer = Answer(answer.text, reasoning=answer.reasoning, usage=answer.usage, manner=manner)
    return api, said + late, cut_again(steps_of(answer, api), draw), manner.last_blank and draw(st.booleans())


@pytest.mark.slow
@settings(max_examples=100)
@given(streams())
def test_any_healthy_server_is_understood(stream: tuple[str, str, list[Step], bool]) -> None:
    """However it orders, frames, doubles or leaves out what it sends: its text once and complete, one call, an end."""
    api, text, steps, stays_open = stream
    outcome = run(ScriptedModel([steps], stays_open=stays_open, api=api))
    assert outcome.text == text
    assert outcome.finish == STOP
    assert outcome.calls == 1


@pytest.mark.slow
@settings(max_examples=80)
@given(streams(), st.data())
def test_a_server_that_breaks_is_never_taken_for_one_that_ended(
    stream: tuple[str, str, list[Step], bool], data: st.DataObject
) -> None:
    """Cut anywhere before its first end, an answer is asked for again; then it is the whole answer, once."""
    api, text, steps, _ = stream
    cut = data.draw(st.integers(0, len(steps)))
    sent = b"".join(step for step in steps[:cut] if isinstance(step, bytes))
    outcome = run(ScriptedModel([[*steps[:cut], ServiceError("reset")], steps], api=api))
    ended = any(word in sent for word in (b"[DONE]", b'"stop"', b'"eos"', b'"end_turn"', b'"response.completed"'))
    if outcome.calls > 1 or not ended:
        assert outcome.text == text
    assert text.startswith(outcome.text)
    assert outcome.finish is not None


# ------------------------------------------------------------------------------------------------------ finish reasons


WORDS = {
    FinishReason.STOP: "stop STOP end_turn stop_sequence eos eos_token COMPLETE word FINISH_REASON_STOP eosFound",
    FinishReason.LENGTH: "length max_tokens MAX_TOKENS model_length model_context_window_exceeded limit ERROR_LIMIT"
    " maxPredictedTokensReached max-tokens FinishReason.MAX_TOKENS pause_turn context_length_exceeded",
    FinishReason.FILTERED: "content_filter SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII refusal ERROR_TOXIC"
    " sensitive content-filter guardrail_intervened LANGUAGE content_filter:PROHIBITED_CONTENT",
    FinishReason.TOOLS: "tool_calls function_call tool_use TOOL_CALL tool-calls",
    FinishReason.OTHER: "a_word_that_nobody_knows",
}  # fmt: skip
FAILED = (
    "error ERROR abort aborted insufficient_system_resource network_error load unload MALFORMED_FUNCTION_CALL OTHER"
)
FAILED += " TIMEOUT cancelled function_call_filter:MALFORMED_FUNCTION_CALL modelUnloaded"
NONE = "null NULL none not_finished FINISH_REASON_UNSPECIFIED"


@pytest.mark.parametrize(
    ("reason", "word"), [(reason, word) for reason, words in WORDS.items() for word in words.split()]
)
async def test_what_a_finish_reason_means(reason: FinishReason, word: str) -> None:
    """Whatever a vendor calls it, streamed or whole: one call and its own end; where it was cut, without text too."""
    outcome = await told(ScriptedModel([[chunk("a"), chunk(None, word), DONE]]))
    assert (outcome.finish, outcome.calls) == (Finish(reason), 1)
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": word}]}
    assert chat_completions.decode_response(body)[-1] == Finish(reason)
    if reason in {FinishReason.LENGTH, FinishReason.FILTERED}:
        empty = await told(ScriptedModel([[chunk(None, word), DONE]]))
        assert (empty.finish, empty.calls) == (Finish(reason), 1)


@pytest.mark.parametrize("word", FAILED.split())
async def test_a_failure_is_asked_for_again(word: str) -> None:
    """A word for having given up is no end, in either form."""
    outcome = await told(ScriptedModel([[chunk("a"), chunk("b", word), DONE], GOOD["no finish reason"]]))
    assert (outcome.text, outcome.calls) == (TEXT, 2)
    with pytest.raises(Failure):
        chat_completions.decode_response({"choices": [{"message": {"content": "a"}, "finish_reason": word}]})


@pytest.mark.parametrize("word", NONE.split())
async def test_words_that_say_nothing(word: str) -> None:
    """With them a stream has not ended, and at its end they are no reason."""
    assert (await told(ScriptedModel([[chunk("a", word), chunk("b"), DONE]]))).text == "ab"
    assert (await told(ScriptedModel([[chunk("a", word)], GOOD["no finish reason"]]))).calls == 2


@pytest.mark.parametrize(
    ("word", "native", "reason"),
    [
        ("stop", "end_turn", FinishReason.STOP),
        ("stop", "MAX_TOKENS", FinishReason.LENGTH),
        ("stop", "SAFETY", FinishReason.FILTERED),
        ("length", "stop", FinishReason.LENGTH),
        ("", "max_tokens", FinishReason.LENGTH),
        ("stop", "never heard of", FinishReason.STOP),
        ("tool_calls", "stop", FinishReason.TOOLS),
    ],
)
def test_a_gateways_own_source(word: str, native: str, reason: FinishReason) -> None:
    """What it said counts where the gateway took it for a normal end."""
    assert FinishReasons().finish(word, native) == Finish(reason)


def test_an_unknown_word_is_logged_once() -> None:
    """Each, for each server; and a server that makes up new ones does not fill the log."""
    lines: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lines.append  # type: ignore[method-assign,assignment]  # a handler that only remembers
    logging.getLogger("adapters.openai.finish_reasons").addHandler(handler)
    try:
        reasons = FinishReasons()
        for _ in range(3):
            reasons.finish("a_new_word")
        assert len(lines) == 1
        for number in range(1000):
            reasons.finish(f"word{number}")
        assert len(lines) < 100
    finally:
        logging.getLogger("adapters.openai.finish_reasons").removeHandler(handler)


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"reason": "max_output_tokens"}, FinishReason.LENGTH),
        ({"reason": "content_filter"}, FinishReason.FILTERED),
        ({"reason": "never heard of"}, FinishReason.LENGTH),
        ({"reason": "stop"}, FinishReason.LENGTH),
        ({}, FinishReason.LENGTH),
        (None, FinishReason.LENGTH),
    ],
)
@pytest.mark.parametrize("status", ["incomplete", "in_progress", None])
def test_an_incomplete_response_was_cut(details: object, reason: FinishReason, status: str | None) -> None:
    """Whatever it says of why, or does not; and where the status was forgotten, the event's name tells."""
    response = {"status": status, "incomplete_details": details, "output": []}
    decoder = responses.ResponsesDecoder()
    decoder.feed({"type": "response.incomplete", "response": response})
    assert decoder.finish == Finish(reason)
    assert decoder.done
    if status == "incomplete":
        assert responses.decode_response(response) == [Finish(reason)]


def test_usage_is_told_once_where_it_does_not_change() -> None:
    """However often a server sends it."""
    steps: list[Step] = [chunk("a", usage=USAGE), chunk(None, "stop", usage=USAGE), chunk(usage=USAGE), DONE]
    outcome = run(ScriptedModel([steps]))
    assert [delta for delta in outcome.deltas if isinstance(delta, Usage)] == [Usage(1, 2)]
