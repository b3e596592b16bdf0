"""Refused starts of native streams: a table of what is not tried again, for whom and how long."""

from __future__ import annotations

import asyncio

import pytest

from adapters.slack.messages.stream_refusals import LONG, SHORT, StreamRefusals
from adapters.slack.state import FeatureFlags

# A place by its direct message, its thread and its person: the next question, another person's, and a channel.
ANN, AGAIN, BOB, EVE = (
    ("DANN", "1.1", "UANN"),
    ("DANN", "2.2", "UANN"),
    ("DBOB", "3.3", "UBOB"),
    ("DEVE", "4.4", "UEVE"),
)
ANN_IN_CHANNEL, ROOM = ("CROOM", "5.5", "UANN"), ("CROOM", "6.6", "UBOB")
PLACES = {"again": AGAIN, "bob": BOB, "eve": EVE, "ann in a channel": ANN_IN_CHANNEL, "bob in a channel": ROOM}
NOWHERE, EVERYWHERE = frozenset[str](), frozenset(PLACES)
DIRECT = frozenset({"again", "bob", "eve"})


def place(flags: FeatureFlags, where: tuple[str, str, str]) -> StreamRefusals:
    channel, thread, user = where
    return StreamRefusals(flags, (channel, thread), user)


def refused(flags: FeatureFlags) -> frozenset[str]:
    """Where no start is tried."""
    return frozenset(name for name, where in PLACES.items() if place(flags, where).is_refused)


@pytest.mark.parametrize(
    ("code", "after_one", "after_two", "seconds"),
    [
        ("unknown_method", EVERYWHERE, EVERYWHERE, LONG),
        ("missing_scope", EVERYWHERE, EVERYWHERE, LONG),
        ("not_allowed_token_type", EVERYWHERE, EVERYWHERE, LONG),
        ("feature_not_enabled", EVERYWHERE, EVERYWHERE, LONG),
        ("paid_teams_only", EVERYWHERE, EVERYWHERE, LONG),
        ("plan_upgrade_required", EVERYWHERE, EVERYWHERE, LONG),
        ("team_access_not_granted", EVERYWHERE, EVERYWHERE, LONG),
        ("messages_tab_disabled", DIRECT, DIRECT, LONG),
        ("channel_type_not_supported", frozenset({"again"}), DIRECT, LONG),
        ("user_not_found", frozenset({"again", "ann in a channel"}), EVERYWHERE, LONG),
        ("missing_recipient_team_id", frozenset({"again", "ann in a channel"}), EVERYWHERE, LONG),
        ("an_error_of_next_year", frozenset({"again"}), DIRECT, SHORT),
        ("restricted_action", frozenset({"again"}), DIRECT, SHORT),
        ("invalid_thread_ts", NOWHERE, DIRECT, SHORT),
        ("invalid_arguments", NOWHERE, EVERYWHERE, SHORT),
        ("is_archived", NOWHERE, NOWHERE, LONG),
        ("channel_not_found", NOWHERE, NOWHERE, LONG),
        ("", NOWHERE, NOWHERE, LONG),
    ],
)
async def test_a_refusal_is_remembered_as_far_and_as_long_as_it_holds(
    code: str, after_one: frozenset[str], after_two: frozenset[str], seconds: float
) -> None:
    """A plan or a scope holds for all; a second refusal in another direct message confirms a suspicion."""
    flags = FeatureFlags()
    place(flags, ANN).record(code, is_outsider=False, is_own_team=True)
    assert refused(flags) == after_one
    place(flags, BOB).record(code, is_outsider=False, is_own_team=True)
    assert refused(flags) == after_two
    await asyncio.sleep(seconds - 1.0)
    assert refused(flags) == after_two
    await asyncio.sleep(2.0)
    assert refused(flags) == NOWHERE


async def test_a_start_that_works_clears_a_suspicion() -> None:
    """Two odd direct messages among many do not turn streams off in the others."""
    flags = FeatureFlags()
    place(flags, ANN).record("channel_type_not_supported", is_outsider=False, is_own_team=True)
    place(flags, EVE).confirm()
    place(flags, BOB).record("channel_type_not_supported", is_outsider=False, is_own_team=True)
    assert refused(flags) == frozenset({"again", "bob"})


async def test_a_thread_refused_twice_in_a_row_is_one_place() -> None:
    """In a workspace of one person too, a surface without threads is not asked for each answer."""
    flags = FeatureFlags()
    for where in (ANN, ANN, AGAIN):
        assert not place(flags, AGAIN).is_refused
        place(flags, where).record("invalid_thread_ts", is_outsider=False, is_own_team=True)
    assert refused(flags) == frozenset({"again"})


@pytest.mark.parametrize("code", ["channel_type_not_supported", "user_not_found", "an_error_of_next_year"])
async def test_guests_and_strangers_tell_nothing_about_members(code: str) -> None:
    """However many of them are refused, members' answers stream."""
    flags = FeatureFlags()
    for where in (ANN, BOB):
        place(flags, where).record(code, is_outsider=True, is_own_team=True)
    assert {"again", "bob"} <= refused(flags)
    assert not place(flags, EVE).is_refused


async def test_an_organisation_without_access_is_no_workspace_without_streams() -> None:
    """The recipient's own organisation may be uncovered by our token."""
    flags = FeatureFlags()
    place(flags, ANN).record("team_access_not_granted", is_outsider=True, is_own_team=False)
    assert refused(flags) == frozenset({"again", "ann in a channel"})
