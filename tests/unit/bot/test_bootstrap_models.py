"""The list of models, their policies and prices, from the settings."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bot import bootstrap_models
from bot.bootstrap_models import MODEL_LOADING_SECONDS
from bot.conversation import Usage
from bot.models import ModelInfo
from bot.pricing import CostSource
from tests.support.core import TODAY
from tests.support.settings import MODEL, load

LOCAL = '[[models]]\nname = "local"\nlabel = "Ours"\nserver = "http://localhost:1/v1"\nmodel = "qwen3"\ncontext = 9\n'


def test_the_main_model_is_the_first_of_the_list(tmp_path: Path) -> None:
    """Its label and context come from [model]; a listed model has its own."""
    catalog = bootstrap_models.make_catalog(load(MODEL, tmp_path, f'[model]\nlabel = "Best"\ncontext = 7\n{LOCAL}'))
    assert list(catalog) == [
        ModelInfo("m", "Best", "m", context=7),
        ModelInfo("local", "Ours", "qwen3", context=9),
    ]


def test_the_demonstration_model_is_free_and_takes_no_images(tmp_path: Path) -> None:
    """Without a server the list holds the demonstration model."""
    settings = load({}, tmp_path)
    (demo,) = bootstrap_models.make_catalog(settings)
    cost = bootstrap_models.make_pricing(settings, lambda: TODAY).cost(demo.name, Usage(1_000, 1_000))
    assert (demo.images, cost.amount, cost.source) == (False, Decimal(0), CostSource.OPERATOR)


@pytest.mark.parametrize(
    ("server", "seconds"),
    [("http://localhost:1/v1", MODEL_LOADING_SECONDS), ("https://eu.api.openai.com/v1", 0.0), ("", 0.0)],
)
def test_only_a_server_that_loads_its_model_gets_time_for_that(server: str, seconds: float, tmp_path: Path) -> None:
    """The first attempt at another server than OpenAI's may be silent for longer, model by model."""
    toml = f'[[models]]\nname = "x"\napi_key = "k"\nserver = "{server}"\n'
    policies = bootstrap_models.make_listed_policies(load(MODEL, tmp_path, toml))
    assert policies["x"].model_loading_seconds == seconds
