"""Limits by name, period and role, and the words about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ledger import CounterKey, Limit, Unit
from bot.quota_notices import describe_refusal
from bot.quotas import Asker, LimitName, PeriodKind, asker_at, limits_of, merged, parse_amount
from bot.strings import Strings

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 28, 12, tzinfo=BERLIN)
ASKER = asker_at("slack", "T1", "C1", "U1", frozenset())


def rules(**amounts: int) -> dict[LimitName, Decimal]:
    """Limits by name, with underscores for dots: ``user_day_questions``; ``role`` stands for the role R1."""
    names = {name: name.replace("_", ".").replace("role2", "role R2").replace("role1", "role R1") for name in amounts}
    parsed = {name: LimitName.parse(text) for name, text in names.items()}
    return {limit: Decimal(amounts[name]) for name, limit in parsed.items() if limit is not None}


def amounts_of(configured: dict[LimitName, Decimal], asker: Asker = ASKER) -> list[tuple[str, str, int]]:
    limits = limits_of(configured, asker, NOON)
    return [(each.counter.scope, each.counter.period, int(each.amount)) for each in limits]


# ----------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "text",
    [
        "user.day.questions",
        "workspace.month.money",
        "channel.day.tokens",
        "role 11.day.questions",
        "role a.b.day.money",
    ],
)
def test_a_name_survives_its_text(text: str) -> None:
    """Stored changes name limits as documents do; the id of a role may contain dots."""
    assert str(LimitName.parse(text)) == text


@pytest.mark.parametrize("text", ["", "user", "user.day", "user.week.questions", "role .day.money", "guild.day.money"])
def test_an_unknown_name_is_none(text: str) -> None:
    """A name of a later version, or a typing error, changes nothing."""
    assert LimitName.parse(text) is None


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_none(text: str) -> None:
    """Names come from people and from stored values of other versions."""
    name = LimitName.parse(text)
    assert name is None or str(name) == text


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("50", 50),
        (" 2.5 ", "2.5"),
        ("0", 0),
        ("-1", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e30", None),
        ("", None),
    ],
)
def test_an_amount_is_a_number_within_bounds(text: str, amount: int | str | None) -> None:
    """Anything else is refused before it is stored."""
    assert parse_amount(text) == (None if amount is None else Decimal(amount))


def test_stored_changes_replace_configured_limits() -> None:
    """A malformed or unknown change is ignored; 0 removes a limit."""
    stored = [
        ("user.day.questions", "9"),
        ("user.day.tokens", "many"),
        ("moon.day.tokens", "1"),
        ("user.day.money", "0"),
    ]
    found = merged(rules(user_day_questions=4, user_day_money=1), stored)
    assert found == rules(user_day_questions=9, user_day_money=0)


# ----------------------------------------------------------------------------------------------------------- limits


def test_each_scope_and_period_has_its_counter() -> None:
    """A user, a channel and a workspace are limited on their own, by day and by month."""
    assert amounts_of(rules(user_day_questions=4, channel_month_tokens=9, workspace_day_money=2)) == [
        ("user", "2026-11-28", 4),
        ("channel", "2026-11", 9),
        ("workspace", "2026-11-28", 2),
    ]
    assert len(ASKER.counters(NOON)) == 6


@pytest.mark.parametrize(
    ("roles", "amount"),
    [("", 4), ("R1", 10), ("R2", 2), ("R1 R2", 10), ("R9", 4)],
)
def test_a_role_replaces_the_users_limit(roles: str, amount: int) -> None:
    """Of several roles, the most generous counts, also a stricter one than the user's; other limits stay."""
    configured = rules(user_day_questions=4, role1_day_questions=10, role2_day_questions=2, channel_day_questions=7)
    asker = replace(ASKER, roles=frozenset(roles.split()))
    assert amounts_of(configured, asker) == [("user", "2026-11-28", amount), ("channel", "2026-11-28", 7)]


def test_a_role_may_have_no_limit() -> None:
    """0 is no limit, and more generous than any."""
    configured = rules(user_day_questions=4, role1_day_questions=0, role2_day_questions=10)
    assert amounts_of(configured, replace(ASKER, roles=frozenset({"R1", "R2"}))) == []


def test_a_person_has_one_counter_on_a_platform() -> None:
    """Asking in another workspace, channel or direct message gives nobody a second allowance."""
    other = asker_at("slack", "T2", "C2", "U1", frozenset())
    assert other.user == ASKER.user
    assert (other.channel, other.workspace) != (ASKER.channel, ASKER.workspace)
    assert asker_at("discord", "T1", "C1", "U1", frozenset()).user != ASKER.user


# ---------------------------------------------------------------------------------------------------------- periods


@pytest.mark.parametrize(
    ("now", "day_end", "month_end"),
    [
        ("2026-11-30T23:59:59+01:00", "2026-12-01T00:00:00+01:00", "2026-12-01T00:00:00+01:00"),
        ("2026-12-31T12:00:00+01:00", "2027-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
        ("2026-03-29T01:30:00+01:00", "2026-03-30T00:00:00+02:00", "2026-04-01T00:00:00+02:00"),
        ("2026-10-25T02:30:00+01:00", "2026-10-26T00:00:00+01:00", "2026-11-01T00:00:00+01:00"),
        ("2028-02-28T00:00:00+01:00", "2028-02-29T00:00:00+01:00", "2028-03-01T00:00:00+01:00"),
    ],
)
def test_periods_end_at_midnight(now: str, day_end: str, month_end: str) -> None:
    """Also in the night with a changed clock, at the end of a year, and in a leap year."""
    at = datetime.fromisoformat(now).astimezone(BERLIN)
    assert [PeriodKind.DAY.end(at).isoformat(), PeriodKind.MONTH.end(at).isoformat()] == [day_end, month_end]


def test_the_month_ends_in_the_operators_time_zone() -> None:
    """At the same moment it is November in Berlin and already December in Tokyo."""
    moment = datetime(2026, 11, 30, 22, 30, tzinfo=ZoneInfo("UTC"))
    names = [PeriodKind.MONTH.name_at(moment.astimezone(ZoneInfo(zone))) for zone in ("Europe/Berlin", "Asia/Tokyo")]
    assert names == ["2026-11", "2026-12"]


@given(st.integers(1_577_836_800, 2_208_988_800), st.sampled_from(["Europe/Berlin", "America/Sao_Paulo"]))
def test_a_period_starts_before_now_and_ends_after_it(seconds: int, zone: str) -> None:
    """Its last moment has its name, and the end has the next one's."""
    now = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    for kind in PeriodKind:
        start, end = kind.start(now), kind.end(now)
        assert start.timestamp() <= now.timestamp() < end.timestamp()
        assert kind.name_at(start) == kind.name_at(now) != kind.name_at(end)
        assert kind.name_at(end - timedelta(seconds=1)) == kind.name_at(now)


# ------------------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("unit", "amount", "words"),
    [
        (Unit.QUESTIONS, "4", "4 questions a day"),
        (Unit.QUESTIONS, "1", "1 question a day"),
        (Unit.QUESTIONS, "100.0", "100 questions a day"),
        (Unit.TOKENS, "20000", "20,000 tokens a day"),
        (Unit.MONEY, "2.5", "$2.50 a day"),
    ],
)
def test_the_notice_names_the_limit_and_its_end(unit: Unit, amount: str, words: str) -> None:
    """A person reads the reached limit, and the time of the next question."""
    limit = Limit(CounterKey("user", "slack/U1", "2026-11-28"), unit, Decimal(amount))
    notice = describe_refusal(limit, NOON, Strings())
    assert notice == f"You have reached your limit of {words}. You can ask again from 2026-11-29 00:00 CET."


def test_a_monthly_limit_of_a_channel() -> None:
    """The notice says whose limit it is."""
    limit = Limit(CounterKey("channel", "slack/T1/C1", "2026-11"), Unit.QUESTIONS, Decimal(100))
    notice = describe_refusal(limit, NOON, Strings())
    assert "This channel has reached its limit of 100 questions a month" in notice
    assert "2026-12-01 00:00" in notice
