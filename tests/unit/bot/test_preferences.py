"""Which setting made in chat applies: the operator's limits, the channel, the person, the default."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.models import ModelCatalog, ModelInfo
from bot.preferences import (
    PERSONA_LENGTH,
    Controls,
    Effective,
    EffectivePreferences,
    FreeText,
    Persona,
    PreferenceName,
    Source,
    StoredPreferences,
    own_words,
    resolve,
)

MODEL, PERSONA, REASONING = PreferenceName
CATALOG = ModelCatalog([ModelInfo("big", "The big one", "vendor/big-2"), ModelInfo("small", "Small", "small")])
PIRATE = Persona("pirate", "Pirate", "Speak like a pirate.")
KIND = own_words("Be kind.", by_admin=False)
DEFAULTS: EffectivePreferences = {
    MODEL: Effective("big"),
    PERSONA: Effective(""),
    REASONING: Effective("hidden", Source.CHANNEL_TABLE),
}
OPEN = Controls(personas=(PIRATE,), free_text=FreeText.EVERYONE)


def only(**chosen: frozenset[PreferenceName] | FreeText) -> Controls:
    return Controls(**{"personas": (PIRATE,), **chosen})  # type: ignore[arg-type]  # tests name what they change


@pytest.mark.parametrize(
    ("controls", "channels", "user", "name", "expected"),
    [
        # Nothing set: the default with its own source.
        (OPEN, [], {}, MODEL, Effective("big")),
        (OPEN, [{}], {}, REASONING, Effective("hidden", Source.CHANNEL_TABLE)),
        # The person's own setting, then the channel's above it; the narrowest channel first.
        (OPEN, [], {"model": "small"}, MODEL, Effective("small", Source.USER)),
        (OPEN, [{"model": "big"}], {"model": "small"}, MODEL, Effective("big", Source.CHANNEL)),
        (OPEN, [{}, {"model": "big"}], {"model": "small"}, MODEL, Effective("big", Source.CHANNEL)),
        (OPEN, [{"model": "small"}, {"model": "big"}], {}, MODEL, Effective("small", Source.CHANNEL)),
        (OPEN, [{"persona": "pirate"}], {"model": "small"}, MODEL, Effective("small", Source.USER)),
        # The operator has removed it.
        (OPEN, [], {"model": "gone"}, MODEL, Effective("big")),
        (OPEN, [{"model": "gone"}], {"model": "small"}, MODEL, Effective("small", Source.USER)),
        (OPEN, [{"persona": "gone"}], {"persona": "pirate"}, PERSONA, Effective("pirate", Source.USER)),
        (OPEN, [], {"reasoning": "sideways"}, REASONING, Effective("hidden", Source.CHANNEL_TABLE)),
        # The operator has fixed it for people, or for channels.
        (only(users=frozenset()), [], {"model": "small"}, MODEL, Effective("big")),
        (only(users=frozenset()), [{"model": "small"}], {}, MODEL, Effective("small", Source.CHANNEL)),
        (only(channels=frozenset()), [{"model": "small"}], {}, MODEL, Effective("big")),
        (only(channels=frozenset({PERSONA})), [{"model": "small"}], {}, MODEL, Effective("big")),
        # Own words, where they are allowed.
        (
            OPEN,
            [],
            {"persona": KIND},
            PERSONA,
            Effective("text:Be kind.", Source.USER),
        ),
        (
            only(free_text=FreeText.ADMINS),
            [],
            {"persona": KIND},
            PERSONA,
            Effective(""),
        ),
        (
            only(free_text=FreeText.ADMINS),
            [{"persona": own_words("Be kind.", by_admin=True)}],
            {},
            PERSONA,
            Effective("admin:Be kind.", Source.CHANNEL),
        ),
        (
            only(free_text=FreeText.NOBODY),
            [{"persona": KIND}],
            {},
            PERSONA,
            Effective(""),
        ),
        (OPEN, [], {"persona": own_words(" ", by_admin=False)}, PERSONA, Effective("")),
        (OPEN, [], {"persona": own_words("x" * (PERSONA_LENGTH + 1), by_admin=True)}, PERSONA, Effective("")),
    ],
)
def test_the_value_that_applies(
    controls: Controls,
    channels: list[dict[str, str]],
    user: dict[str, str],
    name: PreferenceName,
    expected: Effective,
) -> None:
    """The operator's limits first, then the channel, the person and the default; each value has its source."""
    stored = StoredPreferences(channels, user)
    assert resolve(stored, controls, CATALOG, DEFAULTS)[name] == expected


def test_an_admins_own_words_apply_to_the_admin() -> None:
    """Where only admins may describe a persona, theirs applies to their own answers; no message tells who is one."""
    stored = StoredPreferences((), {"persona": own_words("Be kind.", by_admin=True)})
    controls = only(free_text=FreeText.ADMINS)
    assert resolve(stored, controls, CATALOG, DEFAULTS)[PERSONA].source is Source.USER


stored_values = st.dictionaries(st.one_of(st.sampled_from(list(PreferenceName)), st.text()), st.text())


@settings(max_examples=40)
@given(channels=st.lists(stored_values, max_size=3), user=stored_values)
def test_any_stored_text_gives_a_usable_setting(channels: list[dict[str, str]], user: dict[str, str]) -> None:
    """Whatever the store returns, every model is offered, and a persona has bounded words or none."""
    effective = resolve(StoredPreferences(channels, user), OPEN, CATALOG, DEFAULTS)
    assert CATALOG.find(effective[MODEL].value) is not None
    assert len(OPEN.persona_prompt(effective[PERSONA].value)) <= PERSONA_LENGTH
    assert effective[REASONING].value in {"shown", "hidden"}
