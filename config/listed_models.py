"""The operator's list of models, ``[[models]]``, and the rules over all of its entries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator

from config.declarations import SettingsGroup, setting
from config.errors import NameOf
from config.listed_tables import RESERVED, problems
from config.model_settings import Api, CompletionSettings, Label, ModelSettings, is_openai
from config.prices import EXAMPLE, PriceTable
from config.types import Count, Secret, Table, WebAddress, must_be

# Ids of buttons have at most 100 characters on Discord, the name and our own words together.
LONGEST_NAME = 50

_NAME = re.compile(rf"[A-Za-z0-9][\w.:/@+-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)
# Capitals only: a key pasted by mistake does not pass for a name, and so is never printed.
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


def _model_name(value: str) -> str:
    if not _NAME.fullmatch(value) or value.casefold() in RESERVED:
        reserved = " or ".join(sorted(RESERVED))
        raise must_be(
            f"one word of at most {LONGEST_NAME} letters, digits and . : / @ + - _, and none of {reserved}: "
            "people choose the model by it"
        )
    return value


def _variable_name(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise must_be("the name of an environment variable in capitals, such as GROQ_API_KEY, and not the key itself")
    return value


class ListedModelSettings(SettingsGroup):
    """One more model for people to choose, beside the main one: ``[[models]]``."""

    name: Annotated[str, AfterValidator(_model_name)] = setting("", "Name for choosing it in chat.", default=...)
    label: Label = setting("", "Name shown to people. Default: the name.", default="")
    model: str = setting("", "Name used by its server. Default: the name.", default="")
    server: WebAddress = setting("", "Address of its server; ends in /v1. Default: the main model's.", default="")
    api_key_env: Annotated[str, AfterValidator(_variable_name)] | None = setting(
        "",
        "Environment variable with the server's API key. Default: the main model's key if the server is the same, "
        "else no key.",
        default=None,
    )
    api_key: Secret | None = setting(
        "", "The key itself, instead of api_key_env; the environment is the safer place.", default=None
    )
    api: Api | None = setting(
        "", "chat or responses. Default: as the main model if the server is the same, else chat.", default=None
    )
    parameters: Table = setting(
        "", "Extra request parameters, a table; those of the main model do not apply.", default={}
    )
    images: bool = setting("", "Whether the model accepts images. Default: true.", default=True)
    context: Count | None = setting(
        "", "Longest prompt and answer together, in tokens. Default: unknown.", default=None
    )
    price: PriceTable | None = setting(
        "",
        f"US dollars per million tokens: 0 for a model of your own, or {EXAMPLE}. Default: the built-in price table.",
        default=None,
    )
    requests_per_minute: int = setting(
        "", "Requests to its server per minute. Default: 0, no limit.", default=0, ge=0, le=1_000_000
    )

    @property
    def shown(self) -> str:
        """The label, or the name without one."""
        return self.label or self.name

    def at_main_server(self, main: ModelSettings) -> bool:
        """Whether its server is the main model's."""
        return not self.server or self.server == main.base_url

    def address(self, main: ModelSettings) -> str:
        """The address of its server; empty for OpenAI's."""
        return self.server or main.base_url

    def key(self, main: ModelSettings) -> Secret | None:
        """The key for its server. The main model's key never goes to another server."""
        return self.api_key or (main.api_key if self.at_main_server(main) else None)


class ModelsView(Protocol):
    """The part of `config.settings.Settings` that the rules read."""

    model: ModelSettings
    models: tuple[ListedModelSettings, ...]
    completion: CompletionSettings


ModelRule = Callable[[ModelsView, NameOf], Iterator[str]]


def chosen_in_chat(settings: ModelsView, name: NameOf) -> Iterator[str]:
    """People choose a model by its name or label."""
    main = settings.model
    taken = {text.casefold(): "the main model (OPENAI_MODEL)" for text in (main.name, main.label) if text}
    yield from problems("models", settings.models, name, taken)


def keys_given(settings: ModelsView, name: NameOf) -> Iterator[str]:
    """A named variable must hold a key, and OpenAI's server wants one."""
    for number, model in enumerate(settings.models):
        where = name(("models", str(number), "api_key_env"))
        if model.api_key_env and model.api_key is None:
            yield f"{model.api_key_env} is missing ({where} names it): the key of {model.server or 'the model server'}"
        elif is_openai(model.address(settings.model)) and model.key(settings.model) is None:
            yield f"{where} is missing: OpenAI's server wants a key; name the variable that holds it, or set server"


def fallbacks_listed(settings: ModelsView, name: NameOf) -> Iterator[str]:
    """Fallback models are models of the list, each once."""
    names = {model.name for model in settings.models} | ({settings.model.name} - {""})
    where, chosen = name(("completion", "fallback_models")), settings.completion.fallback_models
    for each in dict.fromkeys(chosen):
        if each not in names:
            listed = ", ".join(sorted(names)) or "none"
            yield f"{where} names {each[:LONGEST_NAME]!r}, and no model has that name (there are: {listed})"
        elif chosen.count(each) > 1:
            yield f"{where} names {each!r} more than once"


MODEL_RULES: Sequence[ModelRule] = (chosen_in_chat, keys_given, fallbacks_listed)
