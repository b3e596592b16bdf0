"""Settings made in chat on their way into a turn."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from bot.conversation import History, Message, Role, Text, Turn
from bot.models import ModelCatalog, ModelInfo
from bot.preferences import Controls, FreeText, Persona, own_words
from bot.prompt import PromptConfig, PromptOverride, is_before, messages_after
from bot.records import RecordsUnavailable, channel_subjects, person, user_subject
from bot.stored_choices import PreferenceRules, StoredChoices
from bot.turns.hooks import TurnChoices, TurnHooks
from tests.support.core import running_core
from tests.support.fakes import DANA, FakeChannel, ScriptedModel, turn, words
from tests.support.records import FakePreferences

CATALOG = ModelCatalog([ModelInfo("big", "The big one", "vendor/big-2"), ModelInfo("small", "Small", "small")])
RULES = PreferenceRules(
    CATALOG,
    PromptConfig(PromptOverride("Be brief on {date}.")),
    Controls(personas=(Persona("pirate", "Pirate", "Speak like a pirate."),), free_text=FreeText.EVERYONE),
)


async def chosen(store: FakePreferences, asked: Turn | None = None, rules: PreferenceRules = RULES) -> TurnChoices:
    return await StoredChoices(store, rules).choices(asked or turn())


async def test_without_settings_nothing_is_chosen() -> None:
    """A turn keeps the operator's model, prompt and display."""
    assert await chosen(FakePreferences()) == TurnChoices()


async def test_the_settings_of_the_person_and_the_channel_reach_the_turn() -> None:
    """The channel's persona adds to the operator's prompt; the person's model and display fill the rest."""
    store, asked = FakePreferences(), turn()
    by = user_subject(asked, DANA)
    await store.write(channel_subjects(asked)[0], {"persona": "pirate"}, by=by)
    await store.write(
        by, {"model": "small", "persona": own_words("Be kind.", by_admin=False), "reasoning": "shown"}, by=by
    )
    assert await chosen(store) == TurnChoices("small", "Be brief on {date}.\n\nSpeak like a pirate.", reasoning=True)
    assert (await chosen(store, turn(direct=True))).system == "Be brief on {date}.\n\nBe kind."
    assert store.reads == 2  # one query for each turn


async def test_the_model_of_a_channels_table_is_known_to_quotas() -> None:
    """They reserve by the choices: a dearer model in the table has its own price and limit."""
    channel = channel_subjects(turn())[0].id
    rules = replace(RULES, prompting=PromptConfig(PromptOverride(), {channel: PromptOverride(model="small")}))
    assert (await chosen(FakePreferences(), rules=rules)).model == "small"


@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (RecordsUnavailable("the disk is full"), 0),  # the store has its own line
        (ValueError("a bug"), 2),
    ],
)
async def test_a_broken_store_means_the_defaults(
    failure: Exception, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Questions are answered, and the log has a bug once each time the store breaks."""
    store = FakePreferences(failure=failure)
    source = StoredChoices(store, RULES)
    with caplog.at_level(logging.ERROR):
        for broken in (True, True, False, True):
            store.broken = broken
            assert await source.choices(turn()) == TurnChoices()
    assert len(caplog.records) == lines


@pytest.mark.parametrize(
    ("ids", "marker", "kept"),
    [
        (["1700000000.000100", "1700000000.000200", "1700000001.000001"], "1700000000.000200", [2]),  # Slack
        (["999999999999999999", "1000000000000000000"], "999999999999999999", [1]),  # Discord
        (["ab12-9", "ab12-10", "ab12-11"], "ab12-9", [1, 2]),  # the playground
        (["ab12-9", "cd34-1"], "cd34-5", [0]),  # ... after a restart: ids of another run have no order
        (["9", "m", ""], "10", [1, 2]),
        (["1", "2"], "", [0, 1]),
        (["1", "2"], "later", [0, 1]),
        (["1", "2"], "9" * 5000, [0, 1]),
    ],
)
def test_a_reset_hides_the_messages_before_it(ids: list[str], marker: str, kept: list[int]) -> None:
    """By the order of ids on each platform; an id without an order is kept."""
    history = History(tuple(Message(Role.USER, (Text(id_),), "Kim", id_) for id_ in ids), truncated=True)
    after = messages_after(history, marker)
    assert [message.id for message in after.messages] == [ids[index] for index in kept]
    assert after.truncated is (len(kept) == len(ids))


def test_ids_without_a_common_order_come_before_nothing() -> None:
    """Neither a word nor a number too long for one is a position."""
    assert not any(is_before(*pair) for pair in [("a", "b"), ("1", "b"), ("", "1"), ("1", "1"), ("٣", "9")])


async def test_a_question_from_before_the_reset_keeps_its_conversation() -> None:
    """Asked again, it is answered with the messages that it had; later ones start anew."""
    store = FakePreferences()
    await store.reset("memory", "c", "20", by=person("memory", "U1"))
    assert (await chosen(store, turn("19"))).history_after == ""
    assert (await chosen(store, turn("21"))).history_after == "20"
    assert (await chosen(store, turn("21", conversation="d"))).history_after == ""


async def test_a_model_learns_nothing_from_before_a_reset() -> None:
    """The prompt of the next question begins after the marker, with the persona and the model chosen in chat."""
    store, model = FakePreferences(), ScriptedModel(words(3))
    by = person("memory", "U1")
    await store.reset("memory", "c", "20", by=by)
    await store.write(by, {"model": "small", "persona": "pirate"}, by=by)
    past = History(tuple(Message(Role.USER, (Text(f"said {id_}"),), "Kim", str(id_)) for id_ in (10, 20, 30)))
    channel = FakeChannel(past=past)
    async with running_core(model, hooks=TurnHooks(StoredChoices(store, RULES))) as core:
        core.turns.accept(turn("40"), channel)
        await core.idle()
    ((_, prompt),) = model.calls
    assert [message.text for message in prompt.messages] == ["Kim: said 30", "Dana: why?"]
    assert (prompt.model, prompt.system.endswith("Speak like a pirate.")) == ("small", True)
