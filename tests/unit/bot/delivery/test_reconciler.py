"""The reconciler yields the next write from posted to desired messages."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bot.delivery.reconciler import DesiredMessage, Reconciler, Write
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
