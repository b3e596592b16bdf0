"""The wire formats as pure functions: any JSON is survived, any prompt becomes a body that can be sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai import OpenAIOptions, chat_completions, responses
from adapters.openai.chat_completions import ChatDecoder
from adapters.openai.payload import EventDecoder, SurrogateJoiner, fenced_file, fix_surrogates, text_of
from bot.conversation import (
    Delta,
    File,
    Finish,
    FinishReason,
    Image,
    Message,
    OmittedAttachment,
    Prompt,
    Reasoning,
    Role,
    Text,
    ToolCall,
    Usage,
)
from bot.errors import Failure
from tests.servers.openai import Answer, chat_events, responses_events

NAMES = st.sampled_from(
    [
        "type",
        "choices",
        "delta",
        "content",
        "index",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "response",
        "status",
        "output",
        "item",
        "id",
        "error",
        "message",
        "tool_calls",
        "function",
        "summary",
        "text",
        "refusal",
        "code",
    ]
)
WORDS = st.sampled_from(
    [
        "response.output_text.delta",
        "response.completed",
        "response.failed",
        "response.output_item.added",
        "error",
        "completed",
        "incomplete",
        "message",
        "output_text",
        "reasoning",
        "function_call",
        "stop",
        "\ud83d",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)
DECODERS = [chat_completions.ChatDecoder, responses.ResponsesDecoder]


@pytest.mark.slow
@pytest.mark.parametrize("decoder", DECODERS)
@given(events=st.lists(JSON, max_size=5))
def test_any_event_is_survived(decoder: type[EventDecoder], events: list[object]) -> None:
    """Whatever JSON a server sends: deltas that can be encoded, or a `Failure`, and nothing else."""
    reader = decoder()
    try:
        deltas = [delta for event in events for delta in reader.feed(event)]
    except Failure:
        return
    for delta in [*deltas, *reader.flush()]:
        if isinstance(delta, Text):
            delta.text.encode()


@pytest.mark.parametrize("whole", [chat_completions.decode_response, responses.decode_response])
@given(body=JSON)
def test_any_whole_answer_is_survived(whole: object, body: object) -> None:
    """The same for an answer that was not streamed."""
    assert callable(whole)
    try:
        whole(body)
    except Failure:
        return


@given(text=st.text(st.characters()), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_surrogates_are_joined_wherever_they_are_cut(text: str, cuts: list[int]) -> None:
    """A text sent in UTF-16 halves, in any pieces, is the text again."""
    halves = text.encode("utf-16-le", "surrogatepass")
    units = [halves[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(halves), 2)]
    edges = [0, *sorted(min(cut, len(units)) for cut in cuts), len(units)]
    joiner = SurrogateJoiner()
    pieces = [joiner.feed("".join(units[a:b])) for a, b in pairwise(edges)]
    assert "".join(pieces) + joiner.flush() == fix_surrogates("".join(units))


def test_a_lone_half_is_replaced() -> None:
    """Half a character that never gets its other half becomes U+FFFD, so that a platform takes it."""
    assert fix_surrogates("a\ud83d") == "a\ufffd"
    joiner = SurrogateJoiner()
    assert joiner.feed("a\ud83d") == "a"
    assert joiner.flush() == "\ufffd"


@given(text=st.text(st.sampled_from("`a\n ")))
def test_a_file_cannot_end_its_own_fence(text: str) -> None:
    """No run of backticks in a file is as long as the fence around it."""
    block = fenced_file(File("notes.md", text)).splitlines()
    fence = block[1]
    assert block[-1] == fence
    assert all(len(run) < len(fence) for run in re.findall(r"`+", text))


PARTS = (
    Text("Look:"),
    File("a.py", "print()"),
    Image("cat.png", "image/png", b"\x00\x01"),
    OmittedAttachment("film.mov", "it is larger than 10 MB"),
)
BEFORE = "Look:\n\nFile a.py:\n```\nprint()\n```"
AFTER = "[film.mov was left out: it is larger than 10 MB]"


def body_of(api: str, *, images: bool, role: Role = Role.USER) -> Mapping[str, object]:
    """The one message of a request with every kind of part."""
    options = OpenAIOptions("m", images=images)
    prompt = Prompt("", (Message(role, PARTS, name="Ada"),))
    if api == "chat":
        messages = chat_completions.request_body(options, prompt, stream=False, usage=True)["messages"]
    else:
        messages = responses.request_body(options, prompt, stream=False, usage=True)["input"]
    assert isinstance(messages, list)
    *before, message = [each for each in messages if each["role"] == role.value]
    assert not before
    assert isinstance(message, dict)
    return message


def test_parts_with_images() -> None:
    """Pictures are given as data URLs, in their place; text around them stays text."""
    url = "data:image/png;base64,AAE="
    assert body_of("chat", images=True)["content"] == [
        {"type": "text", "text": BEFORE},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": AFTER},
    ]
    assert body_of("responses", images=True)["content"] == [
        {"type": "input_text", "text": BEFORE},
        {"type": "input_image", "image_url": url, "detail": "auto"},
        {"type": "input_text", "text": AFTER},
    ]


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(("images", "role"), [(False, Role.USER), (True, Role.ASSISTANT)])
def test_parts_without_images(api: str, images: bool, role: Role) -> None:
    """A model that takes none is told of a picture, as plain text; so is one of an answer of its own."""
    message = body_of(api, images=images, role=role)
    assert message == {"role": role.value, "content": f"{BEFORE}\n\n[image cat.png not shown]\n\n{AFTER}"}


def test_a_message_that_cannot_be_encoded_is_mended() -> None:
    """Half a surrogate pair in somebody's message does not make the request impossible."""
    prompt = Prompt("\ud83d", (Message(Role.USER, (Text("\ud83d"), File("\ud83d", "\ud83d"))),))
    for api in (chat_completions, responses):
        body = api.request_body(OpenAIOptions("m"), prompt, stream=True, usage=True)
        json.dumps(body, ensure_ascii=False).encode()


def test_without_usage_it_is_not_asked_for() -> None:
    """A server that does not know ``stream_options`` is not sent any; without streaming nobody is."""
    prompt = Prompt("", ())
    assert "stream_options" not in chat_completions.request_body(OpenAIOptions("m"), prompt, stream=True, usage=False)
    assert "stream_options" not in chat_completions.request_body(OpenAIOptions("m"), prompt, stream=False, usage=True)


def read(decoder: EventDecoder, events: list[object]) -> list[Delta]:
    """All deltas of some events."""
    return [delta for event in events for delta in decoder.feed(event)] + decoder.flush()


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"content": "a"}, [Text("a")]),
        ({"content": ""}, []),
        ({"content": None}, []),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "thinking", "text": "no"}]},
            [Reasoning("no"), Text("a")],
        ),
        ({"reasoning": "hm"}, [Reasoning("hm")]),
        ({"reasoning": "hm", "reasoning_content": "hm"}, [Reasoning("hm")]),
        ({"thinking": "hm"}, [Reasoning("hm")]),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, [Reasoning("hm")]),
        ({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, [Reasoning("hm")]),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, [Reasoning("hm")]),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "gAAAA"}]}, [Reasoning("")]),
        ({"function_call": {"name": "clock", "arguments": "{}"}}, [ToolCall("", "clock", "{}")]),
    ],
)
def test_deltas_of_compatible_servers(delta: object, expected: list[Delta]) -> None:
    """What servers put in a chat delta, and what of it is text."""
    assert read(chat_completions.ChatDecoder(), [{"choices": [{"delta": delta}]}]) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("", None), (None, None), ("stop", FinishReason.STOP), ("one of ours", FinishReason.OTHER), (7, None)],
)
def test_chat_finish_reasons(reason: object, expected: FinishReason | None) -> None:
    """An unknown reason is an end all the same; an empty one (some send it with every chunk) is none."""
    decoder = chat_completions.ChatDecoder()
    decoder.feed({"choices": [{"delta": {}, "finish_reason": reason}]})
    assert decoder.finish == (Finish(expected) if expected else None)


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_a_gateway_that_gave_up_has_not_finished(reason: str) -> None:
    """Finish reasons that say that the server failed are failures."""
    with pytest.raises(Failure):
        chat_completions.ChatDecoder().feed({"choices": [{"delta": {}, "finish_reason": reason}]})


def test_usage_with_every_chunk_is_kept_once() -> None:
    """Some servers count along: the last count stands."""
    decoder = chat_completions.ChatDecoder()
    for made in (1, 2):
        decoder.feed({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": made}})
    assert decoder.usage == Usage(5, 2)


def test_a_response_without_deltas_is_read_from_its_end() -> None:
    """A server that only says the whole answer at the end is understood; one that streamed is not heard twice."""
    answer = Answer("Hello there")
    events = [json.loads(event.data) for event in responses_events(answer, {})]
    last = events[-1]
    assert read(responses.ResponsesDecoder(), [last]) == [Text("Hello there")]
    assert read(responses.ResponsesDecoder(), events) == [Text("Hello "), Text("there")]


# Without the first characters of tags around reasoning, which are no text.
UNTAGGED = st.text(st.characters(exclude_characters="<[◁"))


@given(text=UNTAGGED, reasoning=st.text(max_size=20))
def test_both_formats_carry_any_text(text: str, reasoning: str) -> None:
    """What the double says is what the decoders read, over either API."""
    answer = Answer(text, reasoning=reasoning)
    for events, decoder in (
        (chat_events(answer, {}), chat_completions.ChatDecoder()),
        (responses_events(answer, {}), responses.ResponsesDecoder()),
    ):
        deltas = read(decoder, [json.loads(event.data) for event in events if event.data != "[DONE]"])
        assert "".join(delta.text for delta in deltas if isinstance(delta, Text)) == text
        assert decoder.finish == Finish(FinishReason.STOP)


@pytest.mark.parametrize("odd", [["text"], {"text": 1}, 3, None])
def test_a_part_whose_type_is_no_word_is_passed_over(odd: object) -> None:
    """What a server sends may be any JSON."""
    assert text_of([{"type": odd, "text": "a"}, {"type": "text", "text": "b"}]) == "b"


def test_a_choice_without_a_number_is_the_first() -> None:
    """Some servers send null where there is one choice."""
    decoder = ChatDecoder()
    event = {"choices": [{"index": None, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    assert decoder.feed(event) == [Text("a")]
    assert decoder.finish == Finish(FinishReason.STOP)
