"""Quotas in the settings: the table, roles, the variables, and mistakes in one line."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from bot.bootstrap_records import answer_tokens, make_quota_rules
from config.settings import Settings
from tests.support.settings import lines, load


def rules(settings: Settings) -> dict[str, Decimal]:
    return {str(name): amount for name, amount in make_quota_rules(settings).items()}


def test_without_settings_nothing_is_limited(tmp_path: Path) -> None:
    """A bot for a few friends needs no quotas."""
    assert rules(load({}, tmp_path)) == {}


def test_the_variables_limit_each_user_per_day(tmp_path: Path) -> None:
    """They replace the same limits of the table; 0 leaves those alone."""
    toml = "[quotas.user.day]\nquestions = 50\ntokens = 9\n"
    settings = load({"TICKERTAPE_QUOTA_QUESTIONS": "4", "TICKERTAPE_QUOTA_TOKENS": "0"}, tmp_path, toml)
    assert rules(settings) == {"user.day.questions": Decimal(4), "user.day.tokens": Decimal(9)}


def test_the_table_has_every_scope_period_and_unit(tmp_path: Path) -> None:
    """Users, channels, workspaces and roles; money may have cents, and a role's id may be a number."""
    toml = """
    [quotas.channel.day]
    tokens = 1000
    [quotas.workspace.month]
    money = 12.5
    [[quotas.roles]]
    role = 1122334455
    day = { questions = 0 }
    """
    assert rules(load({}, tmp_path, toml)) == {
        "channel.day.tokens": Decimal(1000),
        "workspace.month.money": Decimal("12.5"),
        "role 1122334455.day.questions": Decimal(0),
    }


@pytest.mark.parametrize(
    ("toml", "name"),
    [
        ("[quotas.user.week]\nquestions = 3", "quotas.user"),
        ("[quotas.user.day]\nquestions = -1", "quotas.user"),
        ("[quotas.user.day]\nquestions = 1.5", "quotas.user"),
        ("[quotas.channel]\nquestions = 3", "quotas.channel"),
        ("[[quotas.roles]]\nday = { questions = 1 }", "quotas.roles"),
        ('[[quotas.roles]]\nrole = 12\n[[quotas.roles]]\nrole = "12"', "quotas.roles"),
        ("[quotas.roles]\nR1 = { day = { questions = 1 } }", "quotas.roles"),
        ("[retention]\naudit_days = -1", "retention.audit_days"),
    ],
)
def test_a_mistake_is_one_line_with_its_name(toml: str, name: str, tmp_path: Path) -> None:
    """The line says how to write it."""
    (line,) = lines({}, tmp_path, toml)
    assert line.startswith(f"{name} in ")
    assert "must be" in line


@pytest.mark.parametrize(
    ("environ", "tokens"),
    [
        ({"TICKERTAPE_MODEL_PARAMETERS": '{"max_tokens": 300}'}, 300),
        ({"TICKERTAPE_MODEL_PARAMETERS": '{"max_completion_tokens": 200, "max_tokens": 300}'}, 200),
        ({"TICKERTAPE_MODEL_PARAMETERS": '{"max_output_tokens": 100}'}, 100),
        ({"TICKERTAPE_MODEL_PARAMETERS": '{"max_tokens": "many"}'}, None),
        ({}, None),
    ],
)
def test_the_limit_of_an_answer(environ: Mapping[str, str], tokens: int | None, tmp_path: Path) -> None:
    """It is found under the names of both APIs, for the reservation."""
    assert answer_tokens(load(environ, tmp_path), "") == tokens
