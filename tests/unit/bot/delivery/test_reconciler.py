"""A page yields the one next write that makes what is shown more like what is wanted."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bot.delivery.reconciler import Page, Wanted, Write
from bot.ports import Body, Controls, Verb


def want(*texts: str) -> list[Wanted]:
    return [Wanted(Body("", text), len(text)) for text in texts]


def settle(page: Page, wanted: list[Wanted], platform: dict[str, str], fails: Callable[[], str] = lambda: "") -> int:
    """Make writes until none is due, on a platform that is a dict of messages by id; return how many were made."""
    keys = {message.removeprefix("m-"): message for message in platform}
    for number in range(1000):
        write = page.next(wanted)
        if write is None:
            return number
        fault = fails()
        if fault == "lost before":
            page.unanswered(write)
            continue
        apply(page, write, platform, keys, answered=fault != "lost after")
    raise AssertionError("the page never settles")


def apply(page: Page, write: Write, platform: dict[str, str], keys: dict[str, str], *, answered: bool) -> None:
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
        page.unanswered(write)
    elif write.verb is Verb.POST:
        page.posted(write, message)
    elif write.verb is Verb.EDIT:
        page.edited(write)
    else:
        page.deleted(write)


def test_messages_are_mended_in_order_then_added() -> None:
    """An earlier message is finished before the next is posted; nothing is due when all is as wanted."""
    page, platform = Page("k" * 24), dict[str, str]()
    settle(page, want("one"), platform)
    write = page.next(want("one!", "two"))
    assert write is not None
    assert (write.verb, write.body) == (Verb.EDIT, Body("", "one!"))
    settle(page, want("one!", "two"), platform)
    assert list(platform.values()) == ["one!", "two"]
    assert page.next(want("one!", "two")) is None


def test_what_is_stable_does_not_show() -> None:
    """The same text, cut into stable and tail elsewhere, is no reason to write; other controls are."""
    page, platform = Page("k" * 24), dict[str, str]()
    settle(page, [Wanted(Body("ab", "c"), 3)], platform)
    assert page.next([Wanted(Body("abc"), 3)]) is None
    assert page.next([Wanted(Body("abc", controls=Controls.STOP), 3)]) is not None


def test_surplus_messages_are_taken_away_from_the_end() -> None:
    """A later attempt with fewer messages leaves none of the earlier one's."""
    page, platform = Page("k" * 24), dict[str, str]()
    settle(page, want("one", "two", "three"), platform)
    settle(page, want("uno"), platform)
    assert list(platform.values()) == ["uno"]


def test_a_post_whose_answer_was_lost_is_found_out_before_anything_is_taken_away() -> None:
    """Else a message that nobody knows of would stay for ever under a shorter answer."""
    page, platform = Page("k" * 24), dict[str, str]()
    settle(page, want("one", "two"), platform)
    write = page.next(want("one", "two", "three"))
    assert write is not None
    apply(page, write, platform, {}, answered=False)
    settle(page, want("uno"), platform)
    assert list(platform.values()) == ["uno"]


def test_a_post_after_a_delete_has_a_key_of_its_own() -> None:
    """Else the platform would take it for the deleted one; and no key is longer than Discord's nonce may be."""
    page, platform = Page("k" * 24), dict[str, str]()
    keys = []
    for texts in (("one", "two"), ("one",), ("one", "deux")):
        write = page.next(want(*texts))
        while write is not None:
            keys.append((write.verb, write.key))
            apply(page, write, platform, {message[2:]: message for message in platform}, answered=True)
            write = page.next(want(*texts))
    posted = [key for verb, key in keys if verb is Verb.POST]
    assert len(posted) == len(set(posted)) == 3
    assert all(len(key) <= 25 for key in posted)


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), min_size=1, max_size=6),
    st.lists(st.sampled_from(["", "", "lost before", "lost after"]), max_size=12),
)
def test_whatever_is_lost_the_page_ends_as_wanted(versions: list[list[str]], faults: list[str]) -> None:
    """Answers that are lost, of writes that happened or did not, leave neither a doubled nor a missing message."""
    page, platform, pending = Page("k" * 24), dict[str, str](), list(faults)
    for version in versions:
        settle(page, want(*version), platform, lambda: pending.pop() if pending else "")
    assert list(platform.values()) == versions[-1]
    assert list(page.messages) == list(platform)


def test_what_was_posted_and_not_written_down_is_looked_for_in_the_end() -> None:
    """An answer that is made again and needs fewer messages than there are leaves none behind."""
    page = Page("k" * 24, ["m1"])
    edit = page.next(want("whole"))
    assert edit is not None
    page.edited(edit)
    assert page.next(want("whole")) is None
    probe = page.probe()
    assert probe == Write(Verb.POST, 1, f"{'k' * 20}1", lookup=True)
    page.posted(probe, "m2")
    assert page.next(want("whole")) == Write(Verb.DELETE, 1, f"{'k' * 20}1", "m2")


def test_a_look_that_finds_nothing_is_not_made_again() -> None:
    """Nor is one that was not answered taken for a message."""
    page = Page("k" * 24, [])
    probe = page.probe()
    assert probe is not None
    page.unanswered(probe)
    assert page.probe() == probe
    page.complete()
    assert page.probe() is None
    assert Page("k" * 24).probe() is None


def test_an_answer_goes_on_without_what_an_earlier_process_took_away() -> None:
    """The journal still names it; but the first message, or one of our own, was deleted by a reader."""
    page = Page("k" * 24, ["m1", "m2"])
    first = page.next(want("one", "two"))
    assert first is not None
    assert not page.gone(first)
    page.edited(first)
    second = page.next(want("one", "two"))
    assert second is not None
    assert page.gone(second)
    assert page.next(want("one", "two")) == Write(
        Verb.POST, 1, f"{'k' * 20}2", body=want("two")[0].body, covers=3, lookup=True
    )


def test_buttons_are_taken_away_after_the_words() -> None:
    """What a reader waits for is written first; in the end nothing is left to press."""
    page, stop = Page("k" * 24), Controls.STOP
    post = page.next([Wanted(Body("one", controls=stop), 3)])
    assert post is not None
    page.posted(post, "m1")
    wanted = want("one", "two")
    further = page.next(wanted)
    assert further is not None
    assert further.verb is Verb.POST
    page.posted(further, "m2")
    assert page.next(wanted) == Write(Verb.EDIT, 0, post.key, "m1", wanted[0].body, 3)
