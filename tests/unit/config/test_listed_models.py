"""`[[models]]`: more models, each with its server, key and price."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from config import docs
from config.listed_models import ListedModelSettings
from config.listed_tables import MOST_ENTRIES
from config.prices import FREE, Price, Rates, SizeTier
from tests.support.settings import MODEL, lines, load

LOCAL = '[[models]]\nname = "local"\nserver = "http://localhost:1/v1"\n'
GROQ = '[[models]]\nname = "fast"\nserver = "https://api.groq.com/openai/v1"\napi_key_env = "GROQ_API_KEY"\n'


def test_each_model_has_its_own_server_and_key(tmp_path: Path) -> None:
    """A model without a server is at the main one with its key; another server gets its own key, or none."""
    main, fast, local = load(
        MODEL | {"GROQ_API_KEY": "gsk-0123456789"}, tmp_path, f'[[models]]\nname = "big"\n{GROQ}{LOCAL}'
    ).models
    settings = load(MODEL, tmp_path / "none")
    keys = [model.key(settings.model) for model in (main, fast, local)]
    assert [key and key.get_secret_value() for key in keys] == [MODEL["OPENAI_API_KEY"], "gsk-0123456789", None]
    assert [model.address(settings.model) for model in (main, fast, local)] == [
        "",
        "https://api.groq.com/openai/v1",
        "http://localhost:1/v1",
    ]


def test_the_main_key_goes_to_no_other_server(tmp_path: Path) -> None:
    """A server by the main model's own address gets its key, a server beside it does not."""
    environ = MODEL | {"OPENAI_BASE_URL": "http://main/v1"}
    toml = (
        '[[models]]\nname = "a"\nserver = "http://main/v1/"\n[[models]]\nname = "b"\nserver = "http://main.evil/v1"\n'
    )
    settings = load(environ, tmp_path, toml)
    assert [model.key(settings.model) is None for model in settings.models] == [False, True]


def test_every_key_is_a_secret(tmp_path: Path) -> None:
    """The log masks keys of listed models, and no summary shows them."""
    toml = f'{GROQ}[[models]]\nname = "x"\nserver = "http://h/v1"\napi_key = "from-the-file"\n'
    settings = load(MODEL | {"GROQ_API_KEY": "gsk-0123456789"}, tmp_path, toml)
    assert {"gsk-0123456789", "from-the-file"} <= settings.secrets()
    shown = repr(settings) + "\n".join(docs.describe(settings))
    assert "gsk-0123456789" not in shown
    assert "from-the-file" not in shown


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("0", FREE),
        ("0.0", FREE),
        ("{ input = 1.1, output = 10 }", Price(Rates(Decimal("1.1"), Decimal(10)))),
        (
            (
                "{ input = 1, cached_input = 0.1, output = 2, tiers = [{ above = 9, input = 3, output = 4 },"
                " { above = 5, input = 2, output = 3, cached_input = 0.2 }] }"
            ),
            Price(
                Rates(Decimal(1), Decimal(2), Decimal("0.1")),
                (
                    SizeTier(5, Rates(Decimal(2), Decimal(3), Decimal("0.2"))),
                    SizeTier(9, Rates(Decimal(3), Decimal(4))),
                ),
            ),
        ),
    ],
)
def test_a_price_is_read_as_written(written: str, price: Price, tmp_path: Path) -> None:
    """Prices are decimal numbers as in the file, for a listed model and for the main one."""
    settings = load(MODEL, tmp_path, f"[model]\nprice = {written}\n{LOCAL}price = {written}\n")
    assert (settings.model.price, settings.models[0].price) == (price, price)


WRONG = [
    ('label = "x"', "name of number 2 of [[models]] in {file} must be given"),
    ('name = "a b"', 'name of the model "a b" in {file} must be one word'),
    ('name = "Default"', 'name of the model "Default" in {file} must be one word'),
    ('name = "LOCAL"', 'name of the model "LOCAL" in {file} is taken already, by the model "local"'),
    ('name = "m"', 'name of the model "m" in {file} is taken already, by the main model'),
    ('name = "x"\nlabel = "Local"', 'label of the model "x" in {file} is taken already, by the model "local"'),
    ('name = "x"\nprize = 1', 'prize of the model "x" in {file} is not a setting; did you mean price?'),
    ('name = "x"\nserver = "localhost:8000"', 'server of the model "x" in {file} must be an address such as'),
    ('name = "x"\nserver = "http://u:pw@h/v1"', 'server of the model "x" in {file} must be an address without a user'),
    ('name = "x"\napi = "soap"', 'api of the model "x" in {file} must be chat or responses, not soap'),
    ('name = "x"\nimages = "maybe"', 'images of the model "x" in {file} must be true or false, not maybe'),
    ('name = "x"\ncontext = 0', 'context of the model "x" in {file} must be at least 1, not 0'),
    ('name = "x"\napi_key_env = "KEY_X"', 'KEY_X is missing (api_key_env of the model "x" in {file} names it)'),
    ('name = "x"\napi_key_env = "sk-secret"', 'api_key_env of the model "x" in {file} must be the name of an env'),
    ('name = "x"\nserver = "https://api.openai.com/v1"', 'api_key_env of the model "x" in {file} is missing'),
    ('name = "x"\napi_key = "k"\napi_key_env = "K"', 'the model "x" in {file} has both api_key and api_key_env'),
    ('name = "x"\nlabel = "two\\nlines"', 'label of the model "x" in {file} must be one line'),
    ('name = "x"\nprice = -1', 'price of the model "x" in {file} must be 0 or {{ input'),
    ('name = "x"\nprice = { input = 1 }', 'price of the model "x" in {file} must be 0 or {{ input'),
    ('name = "x"\nprice = { input = 1, output = nan }', 'price of the model "x" in {file} must be 0 or {{ input'),
    ('name = "x"\nprice = { input = 1, output = true }', 'price of the model "x" in {file} must be 0 or {{ input'),
    ('name = "x"\nprice = { inptu = 1, output = 1 }', 'price of the model "x" in {file} must be 0 or {{ input'),
    ('name = "x"\nprice = { input = 1, output = 1, tiers = 3 }', 'price of the model "x" in {file} must be 0 or {{'),
    (
        'name = "x"\nprice = { input = 1, output = 1, tiers = [{ input = 1, output = 1 }] }',
        'price of the model "x" in {file} must be 0 or {{ input',
    ),
    (
        'name = "x"\n[completion]\nfallback_models = ["y"]',
        "completion.fallback_models in {file} names 'y', and no model",
    ),
    ('name = "x"\n[completion]\nfallback_models = ["x", "x"]', "completion.fallback_models in {file} names 'x' more"),
]


@pytest.mark.parametrize(("entry", "beginning"), WRONG)
def test_a_wrong_value_is_one_line(entry: str, beginning: str, tmp_path: Path) -> None:
    """Each missing or wrong value names the model, the key and the file, and never a key's text."""
    (line, *_) = lines(MODEL, tmp_path, f"{LOCAL}[[models]]\n{entry}\n")
    file = tmp_path / "config" / "tickertape.toml"
    assert line.startswith(beginning.format(file=file))
    assert "sk-secret" not in line


def test_each_wrong_entry_has_a_line_of_its_own(tmp_path: Path) -> None:
    """Three mistakes are three lines."""
    toml = '[[models]]\n[[models]]\nname = "x"\nimages = 7\n[[models]]\nname = "y"\nsize = 1\n'
    assert len(lines(MODEL, tmp_path, toml)) == 3


@pytest.mark.parametrize("toml", ["models = 3\n", '[models]\nname = "x"\n'])
def test_the_list_is_a_list_of_tables(toml: str, tmp_path: Path) -> None:
    """A single table, easily written by mistake, is named as such."""
    (line,) = lines(MODEL, tmp_path, toml)
    assert line.endswith("must be a list of tables: [[models]]")


def test_a_menu_shows_every_model(tmp_path: Path) -> None:
    """The list is as long as Discord's menus at the most."""
    toml = "".join(f'[[models]]\nname = "m{number}"\n' for number in range(MOST_ENTRIES + 1))
    (line,) = lines(MODEL, tmp_path, toml)
    assert f"at most {MOST_ENTRIES} entries" in line


def test_a_key_may_come_from_a_variable_with_our_prefix(tmp_path: Path) -> None:
    """A variable named by a model is a known one; a malformed key names the variable."""
    toml = f'{LOCAL}api_key_env = "TICKERTAPE_LOCAL_KEY"\n'
    assert lines(MODEL | {"TICKERTAPE_LOCAL_KEY": "a b"}, tmp_path, toml)[0].startswith("TICKERTAPE_LOCAL_KEY must be")


def test_the_page_lists_every_key() -> None:
    """docs/settings.md describes each key of a listed model."""
    page = docs.settings_page()
    for key in ListedModelSettings.model_fields:
        assert f"| `{key}` |" in page
