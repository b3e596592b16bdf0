"""Several model servers at once, from the settings to the requests: names, keys, parameters, fallbacks, checks."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.openai import OpenAIOptions
from bot import bootstrap_models
from bot.completion import Completion
from bot.conversation import Image, Message, Prompt, Role, Text, Usage
from bot.model_fallback import AnsweredBy, ModelFallback
from bot.prompt_reduction import PromptReducer
from bot.telemetry import NoRecorder
from config.settings import Settings
from tests.servers.openai import Answer, Drop, OpenAIDouble, Status, Taste
from tests.support.core import TODAY
from tests.support.settings import load

pytestmark = pytest.mark.sockets(seconds=20)

QUESTION = Message(Role.USER, (Text("why?"), Image("cat.png", "image/png", b"cat")))

TOML = """
[completion]
attempts = 1
connect_wait_seconds = 0.05
backoff_seconds = 0.01
fallback_models = ["fast", "sibling"]

[[models]]
name = "fast"
label = "Fast and cheap"
model = "llama-3.1-8b-instant"
server = "{second}"
api_key_env = "SECOND_KEY"
parameters = {{ temperature = 0.3 }}
images = false
price = {{ input = 1.0, output = 2.0 }}

[[models]]
name = "sibling"
api = "responses"
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """Two servers, the settings for both, and the chain that asks them."""

    main: OpenAIDouble
    second: OpenAIDouble
    settings: Settings
    chain: ModelFallback

    async def ask(self, model: str = "") -> list[object]:
        async with aclosing(self.chain.answer(Prompt("Be brief.", (QUESTION,), model))) as deltas:
            return [delta async for delta in deltas]


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    async with OpenAIDouble(default=Answer("Hello")) as main, OpenAIDouble(default=Answer("Hello")) as second:
        main.key, second.key = "main-key-0123456789", "second-key-0123456789"
        environ = {"OPENAI_API_KEY": main.key, "OPENAI_BASE_URL": main.url, "OPENAI_MODEL": "gpt-5"}
        settings = load(environ | {"SECOND_KEY": second.key}, folder, TOML.format(second=second.url))
        async with AsyncExitStack() as stack:
            model = bootstrap_models.open_model(settings, stack, None)
            policy, others = (
                bootstrap_models.make_completion_policy(settings),
                bootstrap_models.make_listed_policies(settings),
            )
            catalog = bootstrap_models.make_catalog(settings)
            completion = Completion(model, policy, NoRecorder(), random.Random(1), others)
            reducer = PromptReducer(completion, catalog.takes_images)
            yield Bench(
                main, second, settings, ModelFallback(reducer, catalog, bootstrap_models.make_fallback_policy(settings))
            )
        assert main.open_connections == second.open_connections == 0


async def test_each_model_is_asked_at_its_server_with_its_key(tmp_path: Path) -> None:
    """Name, key, parameters, images and API are each model's own; a name outside the list goes to the main server."""
    async with bench(tmp_path) as servers:
        for name in ("", "fast", "sibling", "raw-name"):
            assert Text("Hello") in await servers.ask(name)
        assert [request.body["model"] for request in servers.main.requests] == ["gpt-5", "sibling", "raw-name"]
        assert [request.path for request in servers.main.requests][1] == "/v1/responses"
        (fast,) = servers.second.requests
        assert (fast.body["model"], fast.body["temperature"]) == ("llama-3.1-8b-instant", 0.3)
        assert fast.headers["authorization"] == "Bearer second-key-0123456789"
        assert "image_url" not in repr(fast.body)
        assert "image_url" in repr(servers.main.requests[0].body)
        assert "temperature" not in servers.main.requests[0].body


async def test_models_of_one_server_share_its_connection(tmp_path: Path) -> None:
    """A kept-alive connection serves both models."""
    async with bench(tmp_path) as servers:
        await servers.ask("")
        await servers.ask("sibling")
        assert len({request.peer for request in servers.main.requests}) == 1


@pytest.mark.parametrize(
    "script",
    [
        Status(500),
        Status(429),
        Status(401, "invalid_api_key", "Incorrect API key provided"),
        Status(404, "model_not_found", "The model does not exist"),
        Status(429, "insufficient_quota", "You exceeded your current quota"),
        Drop(),
        Drop(reset=True),
        Answer(""),
    ],
    ids=repr,
)
async def test_the_next_server_answers(script: Status | Drop | Answer, tmp_path: Path) -> None:
    """Whatever keeps the main model from a first word, the next model of the list answers."""
    async with bench(tmp_path) as servers:
        servers.main.default = script
        came = await servers.ask()
        assert Text("Hello") in came
        assert AnsweredBy("fast", "gpt-5") in came
        assert len(servers.second.requests) == 1


async def test_the_next_server_answers_for_an_absent_one(tmp_path: Path) -> None:
    """A server without a listener costs no attempt but only a short time."""
    async with bench(tmp_path) as servers, servers.main.refused():
        assert AnsweredBy("fast", "gpt-5") in await servers.ask()


async def test_a_refused_feature_is_remembered_for_its_model_only(tmp_path: Path) -> None:
    """A model without a system role or stream options costs its sibling at the same server nothing."""
    async with bench(tmp_path) as servers:
        servers.main.taste = Taste(system=False, models=frozenset({"gpt-5"}))
        for _ in range(2):
            assert Text("Hello") in await servers.ask("")
            assert Text("Hello") in await servers.ask("sibling")
        models = [request.body["model"] for request in servers.main.requests]
        assert models == ["gpt-5", "gpt-5", "sibling", "gpt-5", "sibling"]
        assert all("instructions" in each.body for each in servers.main.requests if each.body["model"] == "sibling")


async def test_the_cost_of_each_servers_answer(tmp_path: Path) -> None:
    """The operator's price, the server's own cost and the price table, each for the model that answered."""
    async with bench(tmp_path) as servers:
        prices = bootstrap_models.make_pricing(servers.settings, lambda: TODAY)
        servers.main.default = servers.second.default = Answer("Hello", tokens=(1_000, 100), details=(800, 0))
        costs = {}
        for name in ("", "fast"):
            (usage,) = [each for each in await servers.ask(name) if isinstance(each, Usage)]
            costs[name] = prices.cost(name, usage)
        servers.main.default = Answer("Hello", tokens=(1_000, 100), cost=0.25)
        (usage,) = [each for each in await servers.ask("") if isinstance(each, Usage)]
        # gpt-5: (200 x 1.25 + 800 x 0.125 + 100 x 10) / 1M; fast: (1000 x 1 + 100 x 2) / 1M
        assert [cost.amount for cost in costs.values()] == [Decimal("0.00135"), Decimal("0.0012")]
        assert prices.cost("", usage).amount == Decimal("0.25")


async def test_check_asks_every_model(tmp_path: Path) -> None:
    """Each model is tried at its own server, and each problem names the model and the key to change."""
    async with bench(tmp_path) as servers:
        assert [(result.subject, result.ok) for result in await bootstrap_models.check_models(servers.settings)] == [
            ("model", True),
            ("model fast", True),
            ("model sibling", True),
        ]
        servers.second.key = "another"
        main, fast, sibling = await bootstrap_models.check_models(servers.settings)
        assert (main.ok, fast.ok, sibling.ok) == (True, False, True)
        assert "its api_key_env" in fast.fix
        assert "OPENAI_API_KEY" not in fast.fix
        assert "second-key" not in repr(fast)


def test_one_limit_of_requests_applies_to_a_server() -> None:
    """Models at one server share its lowest limit; another key or address has its own."""
    options = [
        OpenAIOptions("a", "k", "http://one/v1", requests_per_minute=30),
        OpenAIOptions("b", "k", "http://one/v1"),
        OpenAIOptions("c", "k", "http://one/v1", requests_per_minute=10),
        OpenAIOptions("d", "other", "http://one/v1"),
        OpenAIOptions("e", "k", "http://two/v1", requests_per_minute=7),
    ]
    limits = [each.requests_per_minute for each in bootstrap_models.with_shared_limits(options)]
    assert limits == [10, 10, 10, 0, 7]
