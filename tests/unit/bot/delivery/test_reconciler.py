"""The reconciler yields the next write from posted to desired messages."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bot.conversation import TurnKey
from bot.delivery.reconciler import Reconciler
from bot.delivery.writes import DesiredMessage, Write
from bot.ports import Body, Controls, Verb


def want(*texts: str) -> list[DesiredMessage]:
    return [DesiredMessage(Body("", text), len(text)) for text in texts]


def settle(
    reconciler: Reconciler,
    desired: list[DesiredMessage],
    platform: dict[str, str],
    fails: Callable[[], str] = lambda: "",
) -> int:
    """Make writes until none is due, on a platform of messages by id; return their number."""
    keys = {message.removeprefix("m-"): message for message in platform}
    for number in range(1000):
        write = reconciler.next(desired)
        if write is None:
            return number
        fault = fails()
        if fault == "lost before":
            reconciler.outcome_unknown(write)
            continue
        apply(reconciler, write, platform, keys, answered=fault != "lost after")
    raise AssertionError("the reconciler never settles")


def apply(
    reconciler: Reconciler, write: Write, platform: dict[str, str], keys: dict[str, str], *, answered: bool
) -> None:
    message = write.message
    if write.verb is Verb.DELETE:
        platform.pop(message, None)
    elif write.verb is Verb.EDIT:
        assert write.body is not None
        platform[message] = write.body.text
    else:
        assert write.body is not None
        if write.key not in keys:
            keys[write.key] = f"m-{write.key}"
            platform[keys[write.key]] = write.body.text
        message = keys[write.key]
    if not answered:
        reconciler.outcome_unknown(write)
    elif write.verb is Verb.POST:
        reconciler.posted(write, message)
    elif write.verb is Verb.EDIT:
        reconciler.edited(write)
    else:
        reconciler.deleted(write)


def test_messages_are_mended_in_order_then_added() -> None:
    """An earlier message is finished before the next is posted; no write is due once all is as desired."""
    reconciler, platform = Reconciler("k" * 24), dict[str, str]()
    settle(reconciler, want("one"), platform)
    write = reconciler.next(want("one!", "two"))
    assert write is not None
    assert (write.verb, write.body) == (Verb.EDIT, Body("", "one!"))
    settle(reconciler, want("one!", "two"), platform)
    assert list(platform.values()) == ["one!", "two"]
    assert reconciler.next(want("one!", "two")) is None


def test_what_is_stable_does_not_show() -> None:
    """The same text, cut into stable and tail elsewhere, is no reason to write; other controls are."""
    reconciler, platform = Reconciler("k" * 24), dict[str, str]()
    settle(reconciler, [DesiredMessage(Body("ab", "c"), 3)], platform)
    assert reconciler.next([DesiredMessage(Body("abc"), 3)]) is None
    assert reconciler.next([DesiredMessage(Body("abc", controls=Controls.STOP), 3)]) is not None


def test_surplus_messages_are_taken_away_from_the_end() -> None:
    """A later attempt with fewer messages leaves none of the earlier one's."""
    reconciler, platform = Reconciler("k" * 24), dict[str, str]()
    settle(reconciler, want("one", "two", "three"), platform)
    settle(reconciler, want("uno"), platform)
    assert list(platform.values()) == ["uno"]


def test_a_post_whose_answer_was_lost_is_found_out_before_anything_is_taken_away() -> None:
    """Otherwise an unknown message would stay for ever under a shorter answer."""
    reconciler, platform = Reconciler("k" * 24), dict[str, str]()
    settle(reconciler, want("one", "two"), platform)
    write = reconciler.next(want("one", "two", "three"))
    assert write is not None
    apply(reconciler, write, platform, {}, answered=False)
    settle(reconciler, want("uno"), platform)
    assert list(platform.values()) == ["uno"]


def test_a_post_after_a_delete_has_a_key_of_its_own() -> None:
    """Else the platform would take it for the deleted one; and no key is longer than Discord's nonce may be."""
    reconciler, platform = Reconciler("k" * 24), dict[str, str]()
    keys = []
    for texts in (("one", "two"), ("one",), ("one", "deux")):
        write = reconciler.next(want(*texts))
        while write is not None:
            keys.append((write.verb, write.key))
            apply(reconciler, write, platform, {message[2:]: message for message in platform}, answered=True)
            write = reconciler.next(want(*texts))
    posted = [key for verb, key in keys if verb is Verb.POST]
    assert len(posted) == len(set(posted)) == 3
    assert all(len(key) <= 25 for key in posted)


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), min_size=1, max_size=6),
    st.lists(st.sampled_from(["", "", "lost before", "lost after"]), max_size=12),
)
def test_whatever_is_lost_the_page_ends_as_wanted(versions: list[list[str]], faults: list[str]) -> None:
    """Lost responses, of writes made or not, leave neither a duplicate nor a missing message."""
    reconciler, platform, pending = Reconciler("k" * 24), dict[str, str](), list(faults)
    for version in versions:
        settle(reconciler, want(*version), platform, lambda: pending.pop() if pending else "")
    assert list(platform.values()) == versions[-1]
    assert list(reconciler.messages) == list(platform)


def test_what_was_posted_and_not_written_down_is_looked_for_in_the_end() -> None:
    """A recovered answer with fewer messages than before leaves none behind."""
    reconciler = Reconciler("k" * 24, ["m1"])
    edit = reconciler.next(want("whole"))
    assert edit is not None
    reconciler.edited(edit)
    assert reconciler.next(want("whole")) is None
    lookup_write = reconciler.lookup_write()
    assert lookup_write == Write(Verb.POST, 1, f"{'k' * 20}1", lookup=True)
    reconciler.posted(lookup_write, "m2")
    assert reconciler.next(want("whole")) == Write(Verb.DELETE, 1, f"{'k' * 20}1", "m2")


def test_a_look_that_finds_nothing_is_not_made_again() -> None:
    """Nor is an unanswered look-up taken for a message."""
    reconciler = Reconciler("k" * 24, [])
    lookup_write = reconciler.lookup_write()
    assert lookup_write is not None
    reconciler.outcome_unknown(lookup_write)
    assert reconciler.lookup_write() == lookup_write
    reconciler.end_lookups()
    assert reconciler.lookup_write() is None
    assert Reconciler("k" * 24).lookup_write() is None


def test_an_answer_goes_on_without_what_an_earlier_process_took_away() -> None:
    """The journal still names it; but the first message, or one of our own, was deleted by a reader."""
    reconciler = Reconciler("k" * 24, ["m1", "m2"])
    first = reconciler.next(want("one", "two"))
    assert first is not None
    assert not reconciler.drop_missing(first)
    reconciler.edited(first)
    second = reconciler.next(want("one", "two"))
    assert second is not None
    assert reconciler.drop_missing(second)
    assert reconciler.next(want("one", "two")) == Write(
        Verb.POST, 1, f"{'k' * 20}2", body=want("two")[0].body, covers=3, lookup=True
    )


def test_buttons_are_taken_away_after_the_words() -> None:
    """Text is written first; at the end no button is left."""
    reconciler, stop = Reconciler("k" * 24), Controls.STOP
    post = reconciler.next([DesiredMessage(Body("one", controls=stop), 3)])
    assert post is not None
    reconciler.posted(post, "m1")
    desired = want("one", "two")
    further = reconciler.next(desired)
    assert further is not None
    assert further.verb is Verb.POST
    reconciler.posted(further, "m2")
    assert reconciler.next(desired) == Write(Verb.EDIT, 0, post.key, "m1", desired[0].body, 3)


# -------------------------------------------------------------------------------------------------- an earlier answer


@given(
    st.integers(1, 4),
    st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5), min_size=1, max_size=5),
    st.lists(st.sampled_from(["", "", "lost before", "lost after", "missing", "detach"]), max_size=12),
)
def test_an_earlier_answer_gives_way_to_exactly_the_new_one(
    count: int, versions: list[list[str]], faults: list[str]
) -> None:
    """Whatever is lost, deleted or not editable: the page ends as wanted, with no old text and no surplus message."""
    platform = {f"m-{number}": "old" for number in range(count)}
    reconciler, pending = Reconciler("k" * 24, replaced=list(platform)), list(faults)
    for version in versions:
        is_final = version is versions[-1]
        for _ in range(100):
            write = reconciler.next(want(*version), is_final=is_final)
            if write is None:
                break
            assert is_final or write.verb is not Verb.DELETE or platform.get(write.message) != "old"
            fault = pending.pop() if pending else ""
            if write.verb is Verb.EDIT and reconciler.is_replaced(write.message) and fault in {"missing", "detach"}:
                if fault == "missing":
                    del platform[write.message]
                    assert reconciler.drop_missing(write)
                else:
                    reconciler.detach(write.index)
            elif fault == "lost before":
                reconciler.outcome_unknown(write)
            elif fault != "missing" or write.verb is not Verb.EDIT:
                keys = {message.removeprefix("m-"): message for message in platform}
                apply(reconciler, write, platform, keys, answered=fault != "lost after")
        else:
            raise AssertionError("the reconciler never settles")
    assert [platform[message] for message in reconciler.messages] == versions[-1]
    assert len(platform) == len(versions[-1])


def test_an_earlier_answer_stays_until_there_is_text() -> None:
    """Without text nothing is due; once the answer has no text for good, the notice goes behind the old messages."""
    reconciler = Reconciler("k" * 24, replaced=["m1", "m2"])
    assert reconciler.next(want(), is_final=False) is None
    assert (reconciler.is_empty, reconciler.shows_replaced, reconciler.first_verb) == (True, True, Verb.EDIT)
    reconciler.keep_replaced()
    post = reconciler.next(want("a notice"))
    assert post is not None
    assert (post.verb, post.key) == (Verb.POST, f"{'k' * 20}2")
    reconciler.posted(post, "m3")
    assert reconciler.next(want("a notice")) is None
    assert reconciler.messages == ("m1", "m2", "m3")


def test_without_edits_an_earlier_answer_is_deleted_after_the_new_one() -> None:
    """New messages come first."""
    reconciler = Reconciler("k" * 24, replaced=["m1", "m2"], edits=False)
    platform = {"m1": "old", "m2": "old"}
    assert reconciler.first_verb is Verb.POST
    verbs = []
    while (write := reconciler.next(want("new"))) is not None:
        verbs.append(write.verb)
        apply(reconciler, write, platform, {}, answered=True)
    assert verbs == [Verb.POST, Verb.DELETE, Verb.DELETE]
    assert list(platform.values()) == ["new"]


def test_generations_post_under_keys_of_their_own() -> None:
    """A platform must not take a new answer's post for one of the old answer."""
    keys = []
    for generation in range(3):
        key = TurnKey("p", "W", "C", "1", generation)
        write = Reconciler(key.digest).next(want("text"))
        assert write is not None
        keys.append(write.key)
    assert len(set(keys)) == 3
