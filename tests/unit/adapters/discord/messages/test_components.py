"""The controls of an answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.messages.components import components, ids_in, question_name, split_question_name
from bot.interactions.values import Choice
from bot.ports import Controls

FINAL = Controls.RETRY | Controls.FEEDBACK


def test_each_control_names_its_question() -> None:
    """A live answer shows one button, an ended one three in a row; none shows nothing."""
    assert ids_in(components(Controls.STOP, "77")) == {"stop:77"}
    [row] = components(FINAL, "77")
    assert [button["custom_id"] for button in row["components"]] == ["retry:77", "up:77", "down:77"]
    assert components(Controls.NONE, "77") == []


def test_models_to_try_again_with_are_a_selection() -> None:
    """The second row offers them by their labels, at most 25, and only with "try again"."""
    models = [Choice(f"model-{number}", f"Model {number}") for number in range(30)]
    _, row = components(FINAL, "77", models)
    [selection] = row["components"]

    assert (selection["type"], selection["custom_id"], len(selection["options"])) == (3, "retry_with:77", 25)
    assert selection["options"][0] == {"label": "Model 0", "value": "model-0"}
    assert len(components(Controls.STOP, "77", models)) == 1


@given(st.sampled_from(["4", "5"]), st.from_regex(r"[0-9]{1,20}", fullmatch=True))
def test_a_question_is_found_by_its_name(channel: str, question: str) -> None:
    """A question in another channel than its answer is found there."""
    name = question_name(channel, question, shown_in="4")

    assert split_question_name(name, shown_in="4") == (channel, question)
    assert all(len(one) <= 100 for one in ids_in(components(FINAL, name)))


@given(st.recursive(st.none() | st.text(), lambda below: st.lists(below) | st.dictionaries(st.text(), below)))
def test_any_json_has_ids_or_none(rows: object) -> None:
    """Components of any shape are read without an error."""
    assert isinstance(ids_in(rows), frozenset)
