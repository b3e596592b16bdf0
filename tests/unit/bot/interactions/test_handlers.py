"""The commands' private responses, from every kind of place and for anyone."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.access import AccessRules, AllowDeny
from bot.conversation import Author
from bot.interactions.commands import COMMANDS, Kind
from bot.interactions.values import Form, FormSubmitted, Notice, Place
from bot.models import ModelCatalog, ModelInfo
from bot.preferences import PERSONA_LENGTH, Controls, FreeText, Persona, PreferenceName
from bot.prompt import PromptOverride
from bot.records import Period, Retention, Subject, SubjectKind, UsageFigures, UsageLimit, person
from config.listed_tables import MOST_ENTRIES
from tests.support.fakes import DANA
from tests.support.handlers import ADMIN, CATALOG, CHANNEL, PERSONAS, WORDS, House

STRANGER = Author("U9", "Sam")

THREAD = replace(CHANNEL, conversation="slack/T1/C1/5", command_prefix="!")
DIRECT = Place("slack", "T1", "D1", "slack/T1/D1", ("D1",), direct=True, position="1700000000.000100")
FORUM = Place("discord", "G1", "P1", "discord/P1", ("P1", "F1", "K1"), position="99")
DISCORD_DIRECT = Place("discord", "", "D2", "discord/D2", ("D2",), direct=True, position="99")
PAGE = Place("playground", "", "general", channel_ids=("general",), position="ab-7", has_menus=False)
HOME = Place("slack", "T1", "")
PLACES = {
    "channel": CHANNEL,
    "thread": THREAD,
    "direct": DIRECT,
    "forum post": FORUM,
    "discord direct": DISCORD_DIRECT,
    "playground": PAGE,
    "home": HOME,
}

SHARED = Subject(SubjectKind.CHANNEL, "slack", "T1", "C1")
ME = person("slack", "U1")


# ------------------------------------------------------------------------------------------------------ every command

CALLS = [each.name for each in COMMANDS if each.kind is Kind.CALL]


@pytest.mark.parametrize(("command", "place"), list(itertools.product(CALLS, PLACES)))
@pytest.mark.parametrize("by", [DANA, ADMIN], ids=["anyone", "admin"])
async def test_every_command_answers_in_every_place(command: str, place: str, by: Author) -> None:
    """Each has words for the person, and buttons that lead somewhere."""
    house = House()
    response = await house.run(command, by=by, place=PLACES[place])
    assert isinstance(response, Notice)
    assert response.text
    assert response.text != WORDS.not_now
    for action in response.actions:
        assert len(action.id) <= 90
        followed = await house.send(action.id, by, PLACES[place])
        assert isinstance(followed, Form) or followed.text != WORDS.not_now


@pytest.mark.parametrize("command", [*CALLS, "unknown", "ask", "answer"])
async def test_a_person_without_access_learns_that_alone(command: str) -> None:
    """No command, form, page or greeting works for them, and nothing is read or stored."""
    house = House(access=AccessRules(users=AllowDeny(deny=frozenset({"U9"}))))
    assert await house.said(command, by=STRANGER) == WORDS.no_access
    assert await house.told("privacy:export", by=STRANGER) == WORDS.no_access
    assert (await house.handlers.home(STRANGER, HOME)).sections == (WORDS.no_access,)
    assert await house.handlers.welcome(STRANGER, CHANNEL) == ""
    assert house.store.reads == 0


async def test_commands_work_in_direct_messages_where_questions_do_not() -> None:
    """Settings and data stay reachable; a channel closed to questions is closed to commands."""
    house = House(access=AccessRules(direct_messages=False, channels=AllowDeny(deny=frozenset({"C1"}))))
    assert await house.said("help", place=DIRECT) != WORDS.no_access
    assert await house.said("help", place=CHANNEL) == WORDS.no_access
    restricted = House(access=AccessRules(channels=AllowDeny(allow=frozenset({"C7"}))))
    assert (await restricted.handlers.home(DANA, HOME)).sections != (WORDS.no_access,)


@pytest.mark.parametrize("command", CALLS)
async def test_a_broken_store_is_one_plain_line(command: str, caplog: pytest.LogCaptureFixture) -> None:
    """The person is asked to try again, and sees no exception; help, stop and privacy need no store."""
    house = House()
    house.store.broken = house.usage.broken = house.personal.broken = True
    with caplog.at_level(logging.WARNING):
        text = await house.said(command, place=THREAD)
    needless = {"help", "stop", "privacy"}
    assert (text == WORDS.not_now) is (command not in needless)
    assert bool(caplog.records) is (command not in needless)
    assert await house.handlers.welcome(DANA, CHANNEL) == ""
    assert WORDS.not_now in (await house.handlers.home(DANA, HOME)).sections
    assert await house.told("privacy:export") == await house.told("privacy:forget") == WORDS.not_now


@pytest.mark.parametrize(
    ("word", "closest"), [("modle", "model"), ("/hlep", "help"), ("rest", "reset"), ("SETTING", "settings")]
)
async def test_an_unknown_command_gets_the_closest_one(word: str, closest: str) -> None:
    """Spelled as the person would type it here."""
    assert f"`/tickertape {closest}`" in await House().said(word)
    assert f"`!{closest}`" in await House().said(word, place=THREAD)


async def test_a_word_like_no_command_leads_to_the_help() -> None:
    """Foreign words are shown as they are, and mention nobody."""
    text = await House().said("<!channel> @everyone zzzzqqq")
    assert "`/tickertape help`" in text
    assert "<!channel>" not in text


async def test_the_help_names_every_command() -> None:
    """With its arguments, as typed here; a message's menu is named where messages have one."""
    text = await House().said("help")
    for each in COMMANDS:
        assert each.description in text
    assert "`/tickertape ask QUESTION`" in text
    assert "`/tickertape model [NAME]`" in text
    assert "Answer this" not in await House().said("help", place=PAGE)


# ------------------------------------------------------------------------------------------------- model and persona


async def test_the_models_are_listed_with_the_effective_one() -> None:
    """Its source is said in words, labels show as they are, and a button opens a menu."""
    house = House()
    response = await house.run("model")
    assert isinstance(response, Notice)
    assert response.text.startswith("**Model**: GPT-5 (the default)")
    assert "Fast_and \\*cheap\\*: `fast`" in response.text
    assert "`/tickertape model …`" in response.text
    (button,) = response.actions
    form = await house.send(button.id)
    assert isinstance(form, Form)
    (menu,) = form.fields
    assert [choice.value for choice in menu.choices] == [":default", "gpt-5", "gpt-5-mini", "fast"]
    assert menu.choices[0].label == "Default: GPT-5"
    assert menu.value == ":default"


@pytest.mark.parametrize("typed", ["gpt-5-mini", "GPT-5 Mini", "mini", "gpt5mini"])
async def test_a_model_is_chosen_by_name_or_label(typed: str) -> None:
    """The choice is stored with the person who made it, and confirmed."""
    house = House()
    assert await house.said("model", typed) == "Saved. Model: GPT-5 mini"
    assert house.store.values[ME] == {"model": "gpt-5-mini"}
    assert house.store.audit == [(ME, ME, "model", "gpt-5-mini")]
    assert (await house.said("model")).startswith("**Model**: GPT-5 mini (your choice)")


@pytest.mark.parametrize("typed", ["default", ":default"])
async def test_the_default_is_a_choice_too(typed: str) -> None:
    """It removes one's own, by its word, or by the value of a menu."""
    house = House()
    await house.said("model", "fast")
    assert await house.said("model", typed) == "Saved. Model: GPT-5"
    assert house.store.values[ME] == {}


async def test_a_part_of_the_default_models_name_means_that_model() -> None:
    """The default is a choice of its own."""
    house = House(catalog=ModelCatalog(list(CATALOG)[1:]))
    await house.said("model", "mini")
    assert house.store.values[ME] == {"model": "gpt-5-mini"}


async def test_an_unknown_model_gets_the_closest_one() -> None:
    """Nothing is stored."""
    house = House()
    assert await house.said("model", "gtp-5-mini") == "There is no model gtp-5-mini. Did you mean GPT-5 mini?"
    assert house.store.values == {}


async def test_the_channels_model_hides_ones_own() -> None:
    """The person learns that their choice is kept and applies elsewhere."""
    house = House()
    await house.store.write(SHARED, {"model": "fast"}, by=person("slack", "U2"))
    text = await house.said("model", "mini")
    assert text.splitlines() == [
        "Saved. Model: GPT-5 mini",
        "Your own choice, GPT-5 mini, applies outside of this channel.",
    ]
    assert "(set for this channel)" in await house.said("model")
    assert "(your choice)" in await house.said("model", place=DIRECT)


async def test_the_operators_channel_table_is_the_default_there() -> None:
    """Its model has a name only at the server."""
    house = House(by_channel={"C1": PromptOverride(model="vendor/raw")})
    assert (await house.said("model")).startswith("**Model**: vendor/raw (set for this channel)")


async def test_a_single_model_is_no_choice() -> None:
    """It is named, without a button; the settings' form leaves it out."""
    house = House(catalog=ModelCatalog([ModelInfo("one", "One", "one")]))
    response = await house.run("model")
    assert isinstance(response, Notice)
    assert not response.actions
    assert "`/tickertape model" not in response.text
    assert house.handlers.models == ()
    form = await house.send("settings:edit:user:")
    assert isinstance(form, Form)
    assert "model" not in [each.name for each in form.fields]


async def test_a_closed_setting_is_not_changed() -> None:
    """By a command, by a form, or by a form opened before the operator closed it."""
    house = House(controls=Controls(users=frozenset({PreferenceName.REASONING}), personas=PERSONAS))
    assert await house.said("model", "fast") == await house.said("persona", "pirate") == WORDS.setting_closed
    assert await house.told("settings:save:user", model="fast", reasoning="shown") == WORDS.setting_closed
    assert house.store.values == {}
    response = await house.run("model")
    assert isinstance(response, Notice)
    assert not response.actions


@pytest.mark.parametrize(
    ("free_text", "by", "typed", "stored"),
    [
        (FreeText.NOBODY, ADMIN, "Speak like a knight", None),
        (FreeText.ADMINS, DANA, "Speak like a knight", None),
        (FreeText.ADMINS, ADMIN, "Speak like a knight", "admin:Speak like a knight"),
        (FreeText.EVERYONE, DANA, " Speak like\n a knight ", "text:Speak like\n a knight"),
        (FreeText.EVERYONE, DANA, "a \ud800 b\0 c", "text:a ? b c"),  # no valid Unicode
        (FreeText.EVERYONE, DANA, "PIRATE", "pirate"),
        (FreeText.EVERYONE, DANA, "patient teacher", "teacher"),
        (FreeText.EVERYONE, DANA, "patient taecher", None),  # a typo
        (FreeText.EVERYONE, DANA, "knight", None),  # one word describes nothing
        (FreeText.EVERYONE, DANA, "word " * PERSONA_LENGTH, None),
    ],
)
async def test_a_persona_is_a_name_or_own_words(
    free_text: FreeText, by: Author, typed: str, stored: str | None
) -> None:
    """Own words only where they are allowed; a misspelt name is no description."""
    house = House(controls=Controls(personas=PERSONAS, free_text=free_text))
    text = await house.said("persona", typed, by)
    values = house.store.values.get(person("slack", by.id), {})
    assert values.get("persona") == stored
    assert text.startswith("Saved.") is (stored is not None)


async def test_personas_may_be_missing() -> None:
    """The command says so, and how to describe one if that is allowed."""
    text = await House(controls=Controls(free_text=FreeText.EVERYONE)).said("persona")
    assert WORDS.no_personas in text
    assert "`/tickertape persona …`" in text


# ------------------------------------------------------------------------------------------------ settings and forms


async def test_settings_show_each_value_with_its_source() -> None:
    """In plain words, with a button for one's own, and for admins the channel's."""
    house = House()
    await house.store.write(ME, {"reasoning": "shown", "persona": "text:Be *kind*."}, by=ME)
    response = await house.run("settings")
    assert isinstance(response, Notice)
    assert "**Model**: GPT-5 (the default)" in response.text
    assert "**Reasoning preview**: shown (your choice)" in response.text
    assert "Be \\*kind\\*." in response.text
    assert [action.label for action in response.actions] == [WORDS.change_own]
    for place, count in ((CHANNEL, 2), (DIRECT, 1), (HOME, 1)):
        response = await house.run("settings", by=ADMIN, place=place)
        assert isinstance(response, Notice)
        assert len(response.actions) == count


async def test_a_form_changes_everything_at_once() -> None:
    """The present values are selected, and each change has its audit entry."""
    house = House()
    await house.store.write(ME, {"model": "fast", "persona": "text:Be kind."}, by=ME)
    form = await house.send("settings:edit:user:")
    assert isinstance(form, Form)
    assert {each.name: each.value for each in form.fields} == {
        "model": "fast",
        "persona": ":own",
        "persona_text": "Be kind.",
        "reasoning": ":default",
    }
    house.store.audit.clear()
    values: dict[str, Any] = {
        "model": ":default",
        "persona": "pirate",
        "persona_text": "Be kind.",
        "reasoning": "shown",
    }
    text = await house.told(form.id, **values)
    assert text.splitlines() == ["Saved. Model: GPT-5", "Saved. Persona: Pirate", "Saved. Reasoning preview: shown"]
    assert house.store.values[ME] == {"persona": "pirate", "reasoning": "shown"}
    assert [(name, value) for _, _, name, value in house.store.audit] == [
        ("model", None),
        ("persona", "pirate"),
        ("reasoning", "shown"),
    ]
    assert await house.told(form.id, **values | {"persona_text": ""}) == WORDS.nothing_changed


@pytest.mark.parametrize(
    ("stored", "selected", "text", "kept"),
    [
        ("", ":default", "Be kind.", "text:Be kind."),  # new words, whatever the menu says
        ("pirate", "pirate", "Be kind.", "text:Be kind."),
        ("text:Be kind.", ":own", "Be brief.", "text:Be brief."),
        ("text:Be kind.", ":own", " ", None),  # emptied
        ("text:Be kind.", "pirate", "Be kind.", "pirate"),  # another menu entry, the old words still there
        ("text:Be kind.", ":default", "Be kind.", None),
        ("pirate", ":own", "", None),
        ("pirate", "teacher", "", "teacher"),
        ("pirate", None, None, "pirate"),  # a form without the field
        ("text:Be kind.", ":own", None, "text:Be kind."),
    ],
)
async def test_menu_and_words_of_a_persona_agree(
    stored: str, selected: str | None, text: str | None, kept: str | None
) -> None:
    """The form has a menu and a field; the changed one counts."""
    house = House()
    if stored:
        await house.store.write(ME, {"persona": stored}, by=ME)
    given_values: dict[str, Any] = {"persona": selected, "persona_text": text}
    await house.send("settings:save:user", **{name: value for name, value in given_values.items() if value is not None})
    assert house.store.values.get(ME, {}).get("persona") == kept


async def test_an_admin_changes_the_channel_for_everyone() -> None:
    """Others may not, even with the form's id; in direct messages there is no channel."""
    house = House()
    assert await house.told("settings:save:channel", model="fast") == WORDS.admins_only
    assert await house.told("settings:edit:channel:", by=DANA) == WORDS.admins_only
    form = await house.send("settings:edit:channel:", by=ADMIN)
    assert isinstance(form, Form)
    assert form.title == WORDS.channel_form
    text = await house.told(form.id, by=ADMIN, model="fast", persona=":default", reasoning=":default")
    assert text == "Saved for everyone in this channel. Model: Fast_and \\*cheap\\*"
    assert house.store.values[SHARED] == {"model": "fast"}
    assert house.store.audit == [(person("slack", "U2"), SHARED, "model", "fast")]
    assert await house.told(form.id, by=ADMIN, place=DIRECT, model="gpt-5") == WORDS.nothing_changed


async def test_the_operators_admins_are_admins() -> None:
    """By the access list, by id or by role, besides the platform's own."""
    house = House(access=AccessRules(admins=frozenset({"U1", "R1"})))
    assert "for everyone" in await house.told("settings:save:channel", model="fast")
    friend = Author("U5", "Kim", roles=frozenset({"R1"}))
    assert "for everyone" in await house.told("settings:save:channel", by=friend, model="gpt-5")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"model": "retired"}, "The model retired is no longer offered, so nothing was changed."),
        ({"model": "retired", "reasoning": "shown"}, "The model retired is no longer offered, so nothing was changed."),
        ({"persona": "retired"}, "The persona retired is no longer offered, so nothing was changed."),
        ({"persona": "text:smuggled in"}, WORDS.own_words_closed),
        ({"persona": "admin:smuggled in"}, WORDS.own_words_closed),
        ({"persona_text": "Be kind."}, WORDS.own_words_closed),
        ({"reasoning": "sideways"}, WORDS.nothing_changed),
        ({}, WORDS.nothing_changed),
    ],
)
async def test_a_form_with_a_removed_choice_changes_nothing(values: dict[str, Any], line: str) -> None:
    """One private line says why; the other values of the form are not stored either."""
    house = House(controls=Controls(personas=PERSONAS))
    assert await house.told("settings:save:user", **values) == line
    assert house.store.values == {}


async def test_a_form_left_open_is_applied_over_later_changes() -> None:
    """The last write wins, and both writes are in the audit log."""
    house = House()
    form = await house.send("settings:edit:user:model")
    assert isinstance(form, Form)
    await house.said("model", "mini")
    assert await house.told(form.id, model="fast") == "Saved. Model: Fast_and \\*cheap\\*"
    assert house.store.values[ME] == {"model": "fast"}
    assert [value for _, _, _, value in house.store.audit] == ["gpt-5-mini", "fast"]


async def test_a_removed_choice_is_named_once_more() -> None:
    """The settings show the default, and that the earlier choice is gone."""
    house = House()
    await house.store.write(ME, {"model": "retired"}, by=ME)
    text = await house.said("settings")
    assert "**Model**: GPT-5 (the default)" in text
    assert "Your earlier choice retired is no longer offered." in text


@pytest.mark.parametrize("id_", ["", "settings:", "settings:save:", "settings:edit:nobody:", "privacy:", "x" * 500])
async def test_a_button_of_another_version_is_one_plain_line(id_: str) -> None:
    """It does nothing."""
    assert await House().told(id_) == WORDS.not_now


# --------------------------------------------------------------------------------------------------- reset and stop


@pytest.mark.parametrize("place", [THREAD, DIRECT, FORUM, DISCORD_DIRECT])
async def test_a_reset_marks_the_position_in_its_conversation(place: Place) -> None:
    """Messages up to there belong to an earlier conversation."""
    house = House()
    assert await house.said("reset", place=place) == WORDS.reset_done
    assert house.store.positions == {(place.platform, place.conversation): place.position}


async def test_a_reset_before_the_first_message_keeps_the_marker() -> None:
    """A conversation without messages has no position, and is new anyway."""
    house = House()
    await house.said("reset", place=DIRECT)
    assert await house.said("reset", place=replace(DIRECT, position="")) == WORDS.reset_done
    assert set(house.store.positions.values()) == {DIRECT.position}


@pytest.mark.parametrize("place", [CHANNEL, PAGE, HOME])
async def test_a_reset_explains_itself_where_each_mention_starts_a_conversation(place: Place) -> None:
    """Nothing is stored."""
    house = House()
    assert await house.said("reset", place=place) == WORDS.reset_needless
    assert house.store.positions == {}


async def test_stop_says_how_many_answers_it_stopped() -> None:
    """It stops those of the place, with the permissions of the Stop button."""
    house = House()
    assert await house.said("stop", place=THREAD) == WORDS.stop_nothing
    house.inbox.stoppable = 3
    assert await house.said("stop", place=THREAD) == "Stopped answers: 3"
    assert house.inbox.stopped_places == [THREAD, THREAD]


# ------------------------------------------------------------------------------------------------ usage and privacy

FIGURES = UsageFigures(3, 12_000, 4_000, 345, Decimal("0.01234"))


async def test_usage_shows_own_figures_and_limits() -> None:
    """Nobody but an admin sees those of others."""
    house = House()
    house.usage.own = Period(FIGURES, replace(FIGURES, questions=40, cost=Decimal("12.5"), unpriced=2))
    house.usage.quotas = (
        UsageLimit("user", "questions", "day", Decimal(3), Decimal(4)),
        UsageLimit("workspace", "money", "month", Decimal("12.5"), Decimal(100)),
    )
    house.usage.everyone = Period(month=UsageFigures(questions=987))
    house.usage.tops = {SubjectKind.USER: (("U7", FIGURES),), SubjectKind.CHANNEL: (("C7", FIGURES),)}
    text = await house.said("usage")
    assert "Today: questions 3, tokens 12,345, cost $0.0123" in text
    assert "This month: questions 40, tokens 12,345, cost $12.50" in text
    assert "Model calls without a known price: 2" in text
    assert "Limit for you, today: 3 of 4 questions" in text
    assert "Limit for everyone here, this month: 12.50 of 100.00 US dollars" in text
    assert "987" not in text
    everything = await house.said("usage", by=ADMIN)
    assert "questions 987" in everything
    assert "U7: questions 3" in everything
    assert "C7: questions 3" in everything
    with_names = replace(CHANNEL, person_format="<@{id}>", channel_format="<#{id}>")
    named = await house.run("usage", by=ADMIN, place=with_names)
    assert isinstance(named, Notice)
    assert "<@U7>: questions 3" in named.text
    assert "<#C7>: questions 3" in named.text
    assert named.names == ("U7", "C7")
    house.usage.tops = {SubjectKind.USER: (("<!here>", FIGURES),)}
    assert "<!here>" not in await house.said("usage", by=ADMIN, place=with_names)


async def test_privacy_lists_what_is_stored_and_for_how_long() -> None:
    """Each kind with its period, and the two buttons; the deletion asks first."""
    house = House()
    house.personal.kept = (Retention("journal", 7), Retention("settings", 0), Retention("unknown", 1))
    response = await house.run("privacy")
    assert isinstance(response, Notice)
    assert WORDS.privacy_journal.format(period="for 7 days") in response.text
    assert WORDS.privacy_settings.format(period=WORDS.period_unlimited) in response.text
    assert len(response.text.split("- ")) == 3
    export, forget = response.actions
    assert forget.confirm
    assert forget.danger
    assert not export.danger


async def test_an_export_is_a_private_file() -> None:
    """It holds the person's data alone."""
    house = House()
    house.personal.data = {ME: b'{"settings": []}', person("slack", "U2"): b"{}"}
    response = await house.send("privacy:export")
    assert isinstance(response, Notice)
    assert response.file is not None
    assert (response.file.name, response.file.data) == ("tickertape-data.json", b'{"settings": []}')


async def test_forgetting_is_confirmed_in_words() -> None:
    """They say what stays: counters without a name, and messages on the platform."""
    house = House()
    assert await house.told("privacy:forget") == WORDS.forgotten
    assert house.personal.forgotten == [ME]


# ------------------------------------------------------------------------------------------------ page and greeting


async def test_the_own_page_shows_status_settings_usage_and_first_steps() -> None:
    """With buttons to change one's settings and for one's data."""
    panel = await House().handlers.home(DANA, HOME)
    text = "\n".join(panel.sections)
    for part in (WORDS.home_status, "**Model**: GPT-5", "Today: questions 0", WORDS.home_steps):
        assert part in text
    assert [action.label for action in panel.actions] == [WORDS.change_own, WORDS.export_data, WORDS.forget_me]


async def test_a_person_is_greeted_once() -> None:
    """With the operator's words, if there are any; never if the operator does not want it."""
    house = House()
    assert "`/tickertape help`" in await house.handlers.welcome(DANA, CHANNEL)
    assert await house.handlers.welcome(DANA, DIRECT) == ""
    assert await House(welcome_text="Hi!").handlers.welcome(DANA, CHANNEL) == "Hi!"
    silent = House(welcome=False)
    assert await silent.handlers.welcome(DANA, CHANNEL) == ""
    assert silent.store.contacts == set()


def test_arguments_offer_models_and_personas() -> None:
    """For menus and completion on the platforms, by name and label."""
    handlers = House().handlers
    assert [choice.value for choice in handlers.models] == ["gpt-5", "gpt-5-mini", "fast"]
    assert [choice.value for choice in handlers.choices("models")] == [":default", "gpt-5", "gpt-5-mini", "fast"]
    labels = [choice.label for choice in handlers.choices("personas")]
    assert labels == ["Default: none", "Pirate", "Patient teacher"]
    assert handlers.choices("colours") == ()


def test_the_longest_lists_fit_into_a_menu() -> None:
    """Discord takes 25 options: the operator's longest lists, with the default and one's own words."""
    most = ModelCatalog([ModelInfo(f"m{number}", f"M {number}", "m") for number in range(1 + MOST_ENTRIES)])
    personas = tuple(Persona(f"p{number}", f"P {number}", "x") for number in range(MOST_ENTRIES))
    house = House(catalog=most, controls=Controls(personas=personas, free_text=FreeText.EVERYONE))
    form = asyncio.run(house.send("settings:edit:user:"))
    assert isinstance(form, Form)
    assert [len(each.choices) for each in form.fields] == [25, 25, 0, 3]


# ------------------------------------------------------------------------------------------------------------ any text


@settings(max_examples=60)
@given(
    command=st.sampled_from([*CALLS, "x"]) | st.text(max_size=50), typed=st.text(), place=st.sampled_from(list(PLACES))
)
def test_any_words_are_answered_privately(command: str, typed: str, place: str) -> None:
    """No failure, no mention of strangers, and at most a few messages."""
    text = asyncio.run(House().said(command, typed + "<@U7> <!here> @everyone", place=PLACES[place]))
    assert text
    assert text != WORDS.not_now
    assert len(text) < 3_000
    assert not re.search(r"(?<!\\)(?:<[@!]|@everyone)", text)


@settings(max_examples=60)
@given(
    id_=st.sampled_from(["settings:save:user", "settings:save:channel", "settings:edit:user:", "privacy:forget"])
    | st.text(),
    values=st.dictionaries(st.sampled_from([*PreferenceName, "persona_text"]) | st.text(), st.text()),
)
def test_any_form_is_answered_privately(id_: str, values: dict[str, str]) -> None:
    """Whatever arrives, the store holds only offered names and bounded words."""
    house = House()
    response = asyncio.run(house.handlers.submit(FormSubmitted(id_, ADMIN, CHANNEL, values)))
    assert isinstance(response, Form) or (response.text and len(response.text) < 3_000)
    for stored in house.store.values.values():
        assert stored.keys() <= set(PreferenceName)
        assert all(len(value) <= PERSONA_LENGTH + 10 for value in stored.values())
