"""What error' errors mean: as an HTTP error, in a stream that began well, and in any shape at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.openai import OpenAIModel, OpenAIOptions
from adapters.openai.error_body import MAX_TEXT_CHARACTERS, is_error, parse_error
from adapters.openai.errors import ServerError, SystemRoleRefused
from bot.conversation import Text
from bot.errors import Failure, ModelRejected, RejectionReason
from tests.contracts.model import Outcome, ask
from tests.servers.openai import OpenAIDouble, Status
from tests.servers.vendor_errors import RETRY, SYSTEM, VendorError, vendor_errors


def meaning(failure: Failure | None) -> str:
    """A failure in the table's words."""
    if isinstance(failure, SystemRoleRefused):
        return SYSTEM
    return failure.reason.value if isinstance(failure, ModelRejected) else RETRY


@pytest.mark.parametrize("error", vendor_errors(), ids=str)
def test_the_table(error: VendorError) -> None:
    """Each vendor's error means what it says, whatever its status and shape."""
    status = None if error.status == 200 else error.status
    assert meaning(ServerError.parse(error.body, status=status).failure()) == error.means


def test_the_table_is_long_enough() -> None:
    """Every meaning has bodies of several vendors."""
    assert len(vendor_errors()) >= 60
    for means in [SYSTEM, RETRY, *(why.value for why in RejectionReason if why is not RejectionReason.REQUEST)]:
        assert len({each.vendor for each in vendor_errors(means)}) >= 2, means


# Words as they might stand in an error, beside those of the table.
NEIGHBOURS = [
    (400, "Unsupported content type: image_url", RejectionReason.IMAGES),
    (400, "The requested model does not support images as input", RejectionReason.IMAGES),
    (400, "Vision is not supported for this model", RejectionReason.IMAGES),
    (422, "Model x does not accept image inputs", RejectionReason.IMAGES),
    (400, "Content type 'image_url' is not supported", RejectionReason.IMAGES),
    (400, "Only text content is supported", RejectionReason.IMAGES),
    (500, "The server was not compiled for multimodal or the model projector can't be loaded.", RejectionReason.IMAGES),
    (404, "No endpoints found that support input modalities: image", RejectionReason.IMAGES),
    (400, "Invalid image data", RejectionReason.IMAGE),
    (400, "image/heic is not a supported image format", RejectionReason.IMAGE),
    (400, "Image too large: maximum 33177600 pixels", RejectionReason.IMAGE),
    (400, "Failed to decode image", RejectionReason.IMAGE),
    (400, "Image size exceeds the maximum allowed size of 20 MB", RejectionReason.IMAGE),
    (400, "Image could not be decoded", RejectionReason.IMAGE),
    (400, "Input tokens exceed the configured limit of 272000 tokens.", RejectionReason.CONTEXT),
    (422, "prompt tokens (9000) exceed model limit", RejectionReason.CONTEXT),
    (400, "The engine prompt length 9000 exceeds the max_model_len 8192", RejectionReason.CONTEXT),
    (400, "input too long", RejectionReason.CONTEXT),
    (400, "Model gpt-9 is not supported", RejectionReason.MODEL),
    (410, "Model has reached end of life", RejectionReason.MODEL),
    (400, "API key expired. Please renew the API key.", RejectionReason.CREDENTIALS),
    (403, "Forbidden", RejectionReason.CREDENTIALS),
    (403, "Your account balance is insufficient", RejectionReason.QUOTA),
    (404, "", RejectionReason.SETUP),
    (400, "Unrecognized request argument supplied: foo", RejectionReason.SETUP),
    (
        400,
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
        RejectionReason.REQUEST,
    ),
    (400, "max_tokens is too large: 9000. This model supports at most 4096 completion tokens", RejectionReason.SETUP),
    (429, "Quota exceeded: requests per minute", None),
    (429, "This would exceed your rate limit of 30,000 input tokens per minute. Please reduce the prompt length", None),
    (503, "The model is currently not available, try later", None),
    (503, "The model is overloaded. Please try again later.", None),
    (500, "model runner has unexpectedly stopped", None),
    (500, "CUDA out of memory", None),
]


@pytest.mark.parametrize(("status", "words", "expected"), NEIGHBOURS)
def test_words_near_those_of_the_table(status: int, words: str, expected: RejectionReason | None) -> None:
    """Meaning is read by what words have in common, not by one vendor's sentence."""
    failure = ServerError.parse({"error": {"message": words}}, status=status).failure()
    assert meaning(failure) == (expected.value if expected else RETRY)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.sampled_from(["error", "400", "{}"])
)
KEYS = st.one_of(
    st.text(max_size=8), st.sampled_from(["error", "message", "code", "type", "detail", "metadata", "raw"])
)
JSONS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
REAL = st.sampled_from([each.body for each in vendor_errors()])


@given(body=JSONS | REAL, status=st.none() | st.integers(100, 599))
@example(body={"CODE": "0\n0"}, status=None)
def test_any_shape_is_survived(body: object, status: int | None) -> None:
    """Any JSON gives a failure with one line of bounded length."""
    line = str(ServerError.parse(body, status=status).failure())
    assert "\n" not in line
    assert len(line) < 100 * 60
    assert len(parse_error(body).text) <= MAX_TEXT_CHARACTERS
    is_error(body)


@given(body=REAL, times=st.integers(1, 3))
def test_a_body_within_a_body_means_the_same(body: object, times: int) -> None:
    """Gateways pass on what a vendor said as a string in a body of their own."""
    inner = ServerError.parse(body, status=400).failure()
    for _ in range(times):
        body = {"error": {"message": json.dumps(body), "code": 400}}
    assert meaning(ServerError.parse(body, status=400).failure()) == meaning(inner)


def test_a_body_too_deep_is_survived() -> None:
    """A thousand levels are not followed."""
    deep: object = "x"
    for _ in range(500):
        deep = [{"error": deep}]
    assert meaning(ServerError.parse(deep, status=400).failure()) == RejectionReason.REQUEST.value


@pytest.mark.sockets(seconds=30)
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_error_means_the_same_over_http(api: str) -> None:
    """What the table says is what the caller gets, with streaming and without, and not the key."""
    async with OpenAIDouble() as double:
        model = OpenAIModel(OpenAIOptions("m", "sk-secret-123456", double.url, api=api))  # type: ignore[arg-type]
        for error in vendor_errors():
            for stream in (True, False):
                double.queue(error.script)
                outcome = await ask(model, stream=stream)
                assert meaning(outcome.failure) == error.means or error.means == SYSTEM, str(error)
                double.clear()
        await model.close()


def of_stream(event: str) -> Status:
    """A stream that began well, and whose next event is this."""
    first = json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    return Status(200, raw=f"data: {first}\n\n{event}\n\n", content_type="text/event-stream")


async def streamed(event: str) -> Outcome:
    async with OpenAIDouble(of_stream(event)) as double:
        model = OpenAIModel(OpenAIOptions("m", "x", double.url))
        try:
            return await ask(model, stream=True)
        finally:
            await model.close()


@pytest.mark.sockets(seconds=30)
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ('data: {"error": {"message": "Model Not Exist"}}', RejectionReason.MODEL),
        ('data: {"error": "Model does not support images. Please use a model that does."}', RejectionReason.IMAGES),
        (
            'data: [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID"}}]',
            RejectionReason.CREDENTIALS,
        ),
        ('data: "prompt is too long: 213462 tokens > 200000 maximum"', RejectionReason.CONTEXT),
        ('event: error\ndata: {"message": "Insufficient Balance"}', RejectionReason.QUOTA),
        ("event: error\ndata: Insufficient Balance", RejectionReason.QUOTA),
        ('event:error\ndata: "Insufficient Balance"', RejectionReason.QUOTA),
        ('error: {"code": 400, "message": "the request exceeds the available context size"}', RejectionReason.CONTEXT),
        ("error:Insufficient Balance", RejectionReason.QUOTA),
        ('error: {"code": 500, "message": "oops", "type": "server_error"}\n\ndata: [DONE]', None),
        ('{"error": {"message": "Model Not Exist"}}', RejectionReason.MODEL),
        ('{"error": {"message": "Model Not Exist"}}\n\ndata: [DONE]', RejectionReason.MODEL),
        ("data: model 'x' not found", RejectionReason.MODEL),
        ('data: {"object": "error", "message": "The model `x` does not exist.", "code": 404}', RejectionReason.MODEL),
        ('data: {"detail": "Not Found", "status": 404}', RejectionReason.SETUP),
        ('data: {"code": 400, "message": "prompt is too long"}', RejectionReason.CONTEXT),
        ('data: {"error": {"message": "The server had an error."}}', None),
        ("event: error\ndata: oops", None),
        ('data: "oops"', None),
        ('event: message\ndata: {"message": "Insufficient Balance"}', None),
    ],
)
async def test_an_error_in_a_stream_is_read_by_the_same_rules(event: str, expected: RejectionReason | None) -> None:
    """An object, a list, a string, words, an event or a field called error, in the place of a piece of an answer."""
    outcome = await streamed(event)
    assert meaning(outcome.failure) == (expected.value if expected else RETRY)


@pytest.mark.sockets(seconds=30)
@pytest.mark.parametrize("event", ['data: "ping"', "data: [1, 2]", 'event: ping\ndata: {"type": "ping"}', "data: {}"])
async def test_what_is_no_error(event: str) -> None:
    """Signs of life of other shapes are passed over."""
    more = 'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}'
    outcome = await streamed(f"{event}\n\n{more}")
    assert outcome.failure is None
    assert outcome.of(Text) == [Text("Hi")]


@pytest.mark.sockets(seconds=30)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"error": "Unexpected endpoint or method. (POST /chat/completions)"}', RejectionReason.SETUP),
        ('[{"error": {"code": 400, "message": "API key not valid."}}]', RejectionReason.CREDENTIALS),
        ('"Insufficient Balance"', RejectionReason.QUOTA),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_with_status_200(body: str, expected: RejectionReason, stream: bool) -> None:
    """A server that says that all is well, and sends an error, is not believed."""
    async with OpenAIDouble(Status(200, raw=body)) as double:
        model = OpenAIModel(OpenAIOptions("m", "x", double.url))
        outcome = await ask(model, stream=stream)
        await model.close()
    assert meaning(outcome.failure) == expected.value
