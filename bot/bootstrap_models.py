"""The composition root's part for models: their servers, the list, the fallback policy and the prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from adapters import embedded, openai
from adapters.prices import PricedModel, Prices
from adapters.shared.diagnostics import CheckResult
from bot.backoff import Backoff
from bot.completion import CompletionPolicy
from bot.model_fallback import FallbackPolicy
from bot.model_router import ModelRouter
from bot.models import ModelCatalog, ModelInfo
from bot.ports import Model
from bot.pricing import ModelPrice, PriceTier, Pricing, TokenPrices
from config.listed_models import ListedModelSettings
from config.model_settings import is_openai
from config.prices import FREE, Price, Rates
from config.settings import Settings

# First-chunk timeout of a turn's first attempt if the server may load its model for it. Loading a large model from a
# slow disk took 130 s. Seconds.
MODEL_LOADING_SECONDS = 180.0

DEMO_MODEL = "SmolLM2-135M, a tiny demonstration model"

# -------------------------------------------------------------------------------------------------------------- models


def make_catalog(settings: Settings) -> ModelCatalog:
    """The list of models, the main one first."""
    chosen = settings.model
    if settings.embedded_runs:
        main = ModelInfo(embedded.MODEL, DEMO_MODEL, embedded.MODEL, images=False)
    else:
        main = ModelInfo(chosen.name, chosen.label or chosen.name, chosen.name, chosen.images, chosen.context or 0)
    listed = (
        ModelInfo(model.name, model.shown, model.model or model.name, model.images, model.context or 0)
        for model in settings.models
    )
    return ModelCatalog((main, *listed))


def model_label(settings: Settings) -> str:
    """The main model's name as shown to people."""
    return make_catalog(settings).default.label


def open_model(settings: Settings, stack: AsyncExitStack, server: embedded.EmbeddedServer | None) -> Model:
    """Connect to the embedded `server`'s model or the operator's main one, and to the listed ones."""
    main = make_model_options(settings)
    if server is not None:
        main = openai.OpenAIOptions(
            model=server.model, base_url=server.base_url, images=False, parameters=embedded.PARAMETERS
        )
    listed = [make_listed_options(settings, model) for model in settings.models]
    connections: dict[tuple[str, str], openai.ServerConnection] = {}
    for options in with_shared_limits([main, *listed]):
        if options.server not in connections:
            connections[options.server] = openai.ServerConnection(options)
            stack.push_async_callback(connections[options.server].close)
    models = [openai.OpenAIModel(options, connections[options.server]) for options in (main, *listed)]
    names = [info.name for info in make_catalog(settings)]
    return ModelRouter(models[0], dict(zip(names, models, strict=True)))


def with_shared_limits(all_options: Sequence[openai.OpenAIOptions]) -> list[openai.OpenAIOptions]:
    """The options with one limit of requests per server: the lowest one set for any of its models."""
    lowest: dict[tuple[str, str], int] = {}
    for options in all_options:
        if limit := options.requests_per_minute:
            lowest[options.server] = min(limit, lowest.get(options.server, limit))
    return [replace(options, requests_per_minute=lowest.get(options.server, 0)) for options in all_options]


def make_model_options(settings: Settings) -> openai.OpenAIOptions:
    """The options of the main model."""
    chosen = settings.model
    return openai.OpenAIOptions(
        model=chosen.name,
        api_key=chosen.api_key.get_secret_value() if chosen.api_key else "",
        base_url=chosen.base_url or openai.OPENAI_BASE_URL,
        api="responses" if chosen.api == "responses" else "chat",
        parameters=MappingProxyType(dict(chosen.parameters)),
        images=chosen.images,
        requests_per_minute=chosen.requests_per_minute,
    )


def make_listed_options(settings: Settings, model: ListedModelSettings) -> openai.OpenAIOptions:
    """The options of a listed model."""
    main = settings.model
    key, api = model.key(main), model.api or (main.api if model.at_main_server(main) else "chat")
    return openai.OpenAIOptions(
        model=model.model or model.name,
        api_key=key.get_secret_value() if key else "",
        base_url=model.address(main) or openai.OPENAI_BASE_URL,
        api="responses" if api == "responses" else "chat",
        parameters=MappingProxyType(dict(model.parameters)),
        images=model.images,
        requests_per_minute=model.requests_per_minute,
    )


async def check_models(settings: Settings) -> list[CheckResult]:
    """Ask each model one tiny question."""
    results = [_check_embedded()] if settings.embedded_runs else await openai.check(make_model_options(settings))
    for model in settings.models:
        results += await openai.check(make_listed_options(settings, model), name=model.name)
    return results


def _check_embedded() -> CheckResult:
    try:
        embedded.require_installed()
    except embedded.EmbeddedUnavailable as failure:
        return CheckResult("model", ok=False, message=str(failure), fix="or set OPENAI_API_KEY and OPENAI_MODEL")
    return CheckResult("model", ok=True, message=DEMO_MODEL)


# ------------------------------------------------------------------------------------------------------------ policies


def make_completion_policy(settings: Settings) -> CompletionPolicy:
    """How the main model is asked and retried."""
    return _completion_policy(settings, loads=settings.model.loads)


def make_listed_policies(settings: Settings) -> Mapping[str, CompletionPolicy]:
    """How each listed model is asked: its own server may load a model first."""
    return {
        model.name: _completion_policy(settings, loads=not is_openai(model.address(settings.model)))
        for model in settings.models
    }


def _completion_policy(settings: Settings, *, loads: bool) -> CompletionPolicy:
    chosen = settings.completion
    may_load = loads and chosen.first_chunk_timeout is None
    return CompletionPolicy(
        attempts=chosen.attempts,
        first_chunk_seconds=chosen.first_chunk_timeout or CompletionPolicy().first_chunk_seconds,
        model_loading_seconds=MODEL_LOADING_SECONDS if may_load else 0.0,
        connect_wait_seconds=chosen.connect_wait_seconds,
        outage_seconds=chosen.outage_seconds,
        idle_seconds=chosen.stream_idle_timeout,
        no_text_seconds=chosen.no_text_timeout,
        answer_seconds=chosen.answer_timeout,
        fallback_seconds=chosen.fallback_timeout,
        backoff=Backoff(chosen.backoff_seconds, chosen.backoff_limit_seconds, jitter=1.0),
        retry_after_limit_seconds=chosen.retry_after_limit_seconds,
    )


def make_fallback_policy(settings: Settings) -> FallbackPolicy:
    """The models to ask if the chosen one fails."""
    chosen = settings.completion
    return FallbackPolicy(chosen.fallback_models, chosen.fallback_models_timeout)


# -------------------------------------------------------------------------------------------------------------- prices


def make_pricing(settings: Settings, wall_clock: Callable[[], datetime]) -> Pricing:
    """The cost of calls of every model. The demonstration model is free."""
    all_options = [make_model_options(settings), *(make_listed_options(settings, each) for each in settings.models)]
    prices = [settings.model.price, *(model.price for model in settings.models)]
    priced = [
        PricedModel(options.model, options.base_url, make_price(price) if price else None)
        for options, price in zip(all_options, prices, strict=True)
    ]
    if settings.embedded_runs:
        priced[0] = PricedModel(embedded.MODEL, "", make_price(FREE))
    names = [info.name for info in make_catalog(settings)]
    return Prices(priced[0], dict(zip(names, priced, strict=True)), wall_clock)


def make_price(price: Price) -> ModelPrice:
    """A price of the settings as one of the core."""
    tiers = tuple(PriceTier(tier.above, _token_prices(tier.rates)) for tier in price.tiers)
    return ModelPrice(_token_prices(price.rates), tiers)


def _token_prices(rates: Rates) -> TokenPrices:
    return TokenPrices(rates.input, rates.output, rates.cached_input)
