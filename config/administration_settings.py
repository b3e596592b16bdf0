"""Settings of administration: quotas, feedback, and how long records are kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from config.declarations import SettingsGroup, setting
from config.types import must_be

PERIODS = ("day", "month")
UNITS = ("questions", "tokens", "money")

# Largest amount of a limit, as in `bot.quotas`.
MOST = 1_000_000_000

_EXAMPLE = "{ day = { questions = 50 }, month = { money = 20.0 } }"
_ROLE_EXAMPLE = '[{ role = "1122334455", day = { questions = 200 } }]'

Amounts = dict[str, dict[str, float]]  # by period and unit


def _amounts(value: object, example: str = _EXAMPLE) -> Amounts:
    """Accept a table of periods, each with amounts of units."""
    is_valid = isinstance(value, dict) and set(value) <= set(PERIODS)
    if not isinstance(value, dict) or not is_valid or not all(map(_is_period, value.values())):
        raise must_be(
            f"a table such as {example}, with {' or '.join(PERIODS)}, and {', '.join(UNITS)} from 0 to {MOST:,}"
        )
    return {period: {unit: float(amount) for unit, amount in units.items()} for period, units in value.items()}


def _is_period(value: object) -> bool:
    return isinstance(value, dict) and set(value) <= set(UNITS) and all(map(_is_amount, value.items()))


def _is_amount(item: tuple[str, object]) -> bool:
    unit, amount = item
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= MOST:
        return False
    return unit == "money" or amount == int(amount)


def _roles(value: object) -> dict[str, Amounts]:
    """Accept a list of tables, each with a role's id and its amounts."""
    wanted = must_be(f"a list of tables such as {_ROLE_EXAMPLE}, with each role once")
    if value == {}:  # no roles
        return {}
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise wanted
    found: dict[str, Amounts] = {}
    for table in value:
        role = table.get("role")
        name = str(role).strip() if isinstance(role, str | int) and not isinstance(role, bool) else ""
        if not name or name in found:
            raise wanted
        found[name] = _amounts({key: amounts for key, amounts in table.items() if key != "role"}, _ROLE_EXAMPLE)
    return found


QuotaTable = Annotated[Amounts, BeforeValidator(_amounts)]
RoleTables = Annotated[dict[str, Amounts], BeforeValidator(_roles)]


class QuotaSettings(SettingsGroup):
    """Limits of use, by calendar day and month in conversation.timezone. 0 is no limit."""

    questions: int = setting(
        "TICKERTAPE_QUOTA_QUESTIONS",
        "Questions of one user per day. 0: no limit.",
        default=0,
        note="Try again, an edited question and /ask count as questions; commands do not.",
        ge=0,
        le=MOST,
    )
    tokens: int = setting(
        "TICKERTAPE_QUOTA_TOKENS",
        "Tokens of one user per day, input and output. 0: no limit.",
        default=0,
        note="A question reserves its prompt's estimate and the limit of its answer (max_tokens).",
        ge=0,
        le=MOST,
    )
    user: QuotaTable = setting(
        "",
        "Limits of one user: questions, tokens and money (US dollars) per day and month.",
        default={},
        note=f"For example {_EXAMPLE}.",
        toml_only=True,
    )
    channel: QuotaTable = setting("", "Limits of one channel, all of its users together.", default={}, toml_only=True)
    workspace: QuotaTable = setting(
        "",
        "Limits of one Slack workspace or Discord server, all of its users together.",
        default={},
        note="Discord's direct messages count as one server.",
        toml_only=True,
    )
    roles: RoleTables = setting(
        "",
        "Limits of one user with a role, instead of the user's limits; of several roles, the most generous counts.",
        default={},
        note=f"A list of tables, for example {_ROLE_EXAMPLE}.",
        toml_only=True,
    )


class FeedbackSettings(SettingsGroup):
    """Votes on answers."""

    answer_text: bool = setting(
        "",
        "Whether to store the text of answers for the feedback export.",
        default=False,
        note="Answers may contain personal data; without it, the export names the message only.",
        toml_only=True,
    )


def _days(summary: str, default: int, note: str) -> Any:  # noqa: ANN401 (it stands where a value of any type is declared)
    return setting("", summary, default=default, note=note, toml_only=True, ge=0, le=36_500)


class RetentionSettings(SettingsGroup):
    """Days until stored records are deleted. 0 keeps them. The journal has journal.days."""

    usage_days: int = _days("Days to keep questions and model calls.", 400, "A year to compare with the same month.")
    feedback_days: int = _days(
        "Days to keep votes, their reasons and stored answers.",
        400,
        "An answer stays no longer than its question (usage_days).",
    )
    settings_days: int = _days(
        "Days to keep settings made in chat, resets and first contacts.", 0, "People expect their settings to stay."
    )
    audit_days: int = _days("Days to keep the audit log.", 730, "")
