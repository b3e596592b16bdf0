"""The sweep: a whole reply with fault k at call n, for every k and every n, until none fires.

`tests.stress.fault_injection.judge` checks each reply: the whole answer once or an honest notice, no surplus message,
no control, no failure's text, no open stream, no provoked 429, and an ended turn in the journal.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from bot.conversation import Finish, FinishReason, Refusal
from bot.errors import (
    ConnectFailed,
    Failure,
    Forbidden,
    InvalidRequest,
    ModelRejected,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    RejectionReason,
    ServiceError,
)
from tests.conftest import WHOLE_REPLIES
from tests.servers.openai_scripts import Manner
from tests.stress.fault_injection import (
    REFUSED,
    SECRET,
    WORDS,
    Fault,
    InAttempts,
    Injected,
    Play,
    Scene,
    World,
    after,
    before,
    fails,
    instead,
    killed_after,
    killed_before,
    play,
    play_in,
    slow,
    slow_answer,
    terminated_after,
    terminated_before,
)

WRITES = frozenset({"post", "edit", "delete"})
DELTA = frozenset({"delta"})
JOURNAL = frozenset({"accept", "posted", "ended", "drop", "unfinished"})
EVERYTHING = WRITES | DELTA | JOURNAL | {"find", "history", "attached", "working"}


def model(name: str, play: Play, *, whole: bool = True) -> Fault:
    return Fault(name, DELTA, play, whole)


def declined(reason: RejectionReason) -> Failure:
    return ModelRejected(SECRET, reason=reason)


MODEL = [
    model("broken", before(lambda: ServiceError(f"500 {SECRET}"))),
    model("unreachable", before(lambda: ConnectFailed(SECRET))),
    model("limited", before(lambda: RateLimited(SECRET, retry_after=2.0))),
    model("limited without a time", before(lambda: RateLimited(SECRET))),
    model("limited for long", before(lambda: RateLimited(SECRET, retry_after=4000.0)), whole=False),
    model("stale connection", before(lambda: ServiceError(SECRET, retry_after=0.0))),
    model("reset", before(lambda: OutcomeUnknown(SECRET))),
    model("silence", slow(4000.0)),
    model("slow", slow(15.0)),
    model("silent end", instead(None)),
    model("length", instead(Finish(FinishReason.LENGTH)), whole=False),
    model("filtered", instead(Finish(FinishReason.FILTERED)), whole=False),
    model("bug", before(lambda: ZeroDivisionError(SECRET)), whole=False),
    *(model(f"declined: {why.value}", before(partial(declined, why)), whole=False) for why in RejectionReason),
]
EMPTY = model("empty", instead(Finish(FinishReason.STOP)))
REFUSES = model("refuses", instead(Refusal(REFUSED)))

PLATFORM = [
    Fault("limited", WRITES, before(lambda: RateLimited(SECRET, retry_after=3.0))),
    Fault("limited everywhere", WRITES, before(lambda: RateLimited(SECRET, retry_after=1.0, is_global=True))),
    Fault("limited without a time", WRITES, before(lambda: RateLimited(SECRET))),
    Fault("broken", WRITES | {"find"}, before(lambda: ServiceError(f"503 {SECRET}"))),
    Fault("stale connection", WRITES | {"find"}, before(lambda: ServiceError(SECRET, retry_after=0.0))),
    Fault("unanswered, not done", WRITES | {"find"}, before(lambda: OutcomeUnknown(SECRET))),
    Fault("unanswered, done", WRITES | {"find"}, after(lambda: OutcomeUnknown(SECRET))),
    Fault("hangs, not done", WRITES | {"find"}, slow(4000.0)),
    Fault("hangs, done", WRITES | {"find"}, slow_answer(4000.0)),
    Fault("slow", WRITES | {"find", "history", "attached"}, slow(5.0)),
    Fault("gone", WRITES, before(lambda: NotFound(SECRET)), closed=True),
    Fault("forbidden", WRITES, before(lambda: Forbidden(SECRET)), closed=True),
    Fault("unacceptable", WRITES, before(lambda: InvalidRequest(SECRET)), whole=False),
    Fault("bug", WRITES | {"find"}, before(lambda: ZeroDivisionError(SECRET)), closed=True),
    Fault("history fails", frozenset({"history"}), before(lambda: ServiceError(SECRET)), whole=False),
    Fault(
        "a bug in reading", frozenset({"history", "attached"}), before(lambda: ZeroDivisionError(SECRET)), whole=False
    ),
    Fault("hint breaks", frozenset({"working"}), before(lambda: ZeroDivisionError(SECRET))),
]

JOURNALS = [
    Fault("journal fails", JOURNAL, before(lambda: OSError(f"no space left on device {SECRET}")), forgets=True),
    Fault("journal fails, done", JOURNAL, after(lambda: OSError(SECRET)), forgets=True),
    Fault("message not noted", frozenset({"posted"}), before(lambda: OSError(SECRET))),
    Fault("message noted, and fails", frozenset({"posted"}), after(lambda: OSError(SECRET))),
    Fault("journal slow", JOURNAL, slow(2.0)),
    Fault("journal answers late", JOURNAL, slow_answer(2.0)),
]

DEATHS = [
    Fault("killed before", EVERYTHING, killed_before, kills=True),
    Fault("killed after", EVERYTHING, killed_after, kills=True),
]
SIGNALS = [
    Fault("told to stop before", EVERYTHING, terminated_before, kills=True),
    Fault("told to stop after", EVERYTHING, terminated_after, kills=True),
]

SHORT = Scene("short", chunks=(2,))
ONE = Scene("one message")
MANY = Scene("many messages", limit=140)
SHORTER = Scene("then shorter", chunks=(8, 3), limit=140)
LONGER = Scene("then longer", chunks=(4, 10), limit=140)
AGAIN = Scene("attempts of any length", retries=(3, 10, 2), limit=140)
TOGETHER = Scene("three at once", questions=3, shared=True, limit=140)
FORGETFUL = Scene("a journal in memory", durable=False, limit=140)
FILED = Scene("a rest in a file", chunks=(10,), limit=140, uploads=10_000, max_messages=2)
FILED_ONCE = Scene("a rest, then none", chunks=(10, 2), limit=140, uploads=10_000, max_messages=2)
NOT_FILED = Scene("then without files", chunks=(9, 12), limit=140, uploads=150, max_messages=3)

THINKING = Scene("thinking aloud", chunks=(3,), thoughts=12, limit=140)

PICKY = Scene("a picky server", chunks=(4,), limit=140, picky=True)

# Servers with dialects other than OpenAI's.
HEALTHY_WORDS = ("end_turn", "stop_sequence", "eos", "eos_token", "COMPLETE", "STOP", "a_word_that_nobody_knows")
# Each has two deltas a word, and a sweep costs their square: few words, though two messages for the first.
SERVERS = [
    Scene(
        "a finish reason with each chunk", (3,), words=5, limit=105, manner=Manner(finish_each=True, usage_each=True)
    ),
    Scene("text behind the finish reason", (2,), words=4, limit=140, manner=Manner(reasons=("stop", "stop"))),
    Scene("signs of life", (2,), words=4, limit=140, manner=Manner(quiet=3.0, alive_by="encrypted")),
    Scene("mislabelled", (3,), limit=140, manner=Manner(plain=True)),
    *(Scene(f"ends with {word}", (1,), words=4, finish=word, manner=Manner()) for word in HEALTHY_WORDS),
]
CUT_WORDS = ("length", "MAX_TOKENS", "model_length", "content_filter", "SAFETY", "refusal")
FAILED_WORDS = ("error", "abort", "network_error", "insufficient_system_resource", "OTHER")

SCENES = [SHORT, ONE, MANY, SHORTER, LONGER, AGAIN, TOGETHER, FORGETFUL, THINKING, FILED, FILED_ONCE, NOT_FILED, PICKY]
# Scenes for journal faults; other kinds of writing make no difference to the journal.
JOURNALLED = [SHORT, MANY, SHORTER, AGAIN, TOGETHER, FORGETFUL, FILED]
STOPPED = [ONE, *JOURNALLED, THINKING]  # SIGTERM is like a kill with time to mark live answers


@pytest.fixture(autouse=True)
def played(record_property: Callable[[str, object], None]) -> Iterator[list[int]]:
    """The number of whole replies of each test, reported to the process that sums them up."""
    counts: list[int] = []
    logging.disable(logging.CRITICAL)  # a hundred thousand unread lines
    yield counts
    logging.disable(logging.NOTSET)
    record_property(WHOLE_REPLIES, sum(counts))


def swept(
    scene: Scene, fault: Fault, times: int = 1, *, kind: type[Injected] = Injected, drain_seconds: float = 1.0
) -> tuple[int, list[str]]:
    """Inject a fault at call 0, 1, 2 ... until it does not fire; returns the number of runs, and the problems."""
    wrong = []
    for number in itertools.count():
        injected = kind(fault, number, times)
        if problem := fails(scene, injected, drain_seconds=drain_seconds):
            wrong.append(problem)
        if not injected.fired:
            return number + 1, wrong
    raise AssertionError


def check(played: list[int], outcome: tuple[int, list[str]], scene: Scene) -> None:
    count, wrong = outcome
    played.append(count * scene.questions)
    assert not wrong, f"{len(wrong)} of {played[-1]}:\n" + "\n".join(wrong[:8])


@pytest.mark.parametrize("times", [1, 2, 3, 4])
@pytest.mark.parametrize("fault", MODEL, ids=lambda fault: fault.name)
def test_whatever_the_model_does(fault: Fault, times: int, played: list[int]) -> None:
    """At every chunk of the first attempts; the fourth is the call without streaming."""
    fault = replace(fault, whole=fault.whole and times < 4)
    for scene in {1: [MANY, PICKY], 2: [AGAIN], 3: [MANY, THINKING]}.get(times, [MANY]):
        check(played, swept(scene, fault, times, kind=InAttempts), scene)


@pytest.mark.parametrize("scene", SERVERS, ids=lambda scene: scene.name)
def test_whatever_the_server_does(scene: Scene, played: list[int]) -> None:
    """The same at every delta of servers with other dialects; without a fault, one call is enough."""
    for fault in MODEL:
        if not (fault.name == "silence" and scene.manner is not None and scene.manner.finish_each):
            check(played, swept(scene, fault, kind=InAttempts), scene)
    assert play(scene).asked == 1


@pytest.mark.parametrize("word", CUT_WORDS + FAILED_WORDS)
def test_whatever_word_an_answer_ends_with(word: str, played: list[int]) -> None:
    """A cut or failed answer never counts as whole; a failed one is requested again."""
    played.append(1)
    scene = Scene("ends", chunks=(2,), finish=word, manner=Manner())
    world = World(scene)
    play_in(world)
    assert world.asked == (1 if word in CUT_WORDS else 4)
    (place,) = world.places.values()
    lines = (WORDS.length, WORDS.filtered, WORDS.cut.partition(" (ref")[0])
    assert sum(line in place.text for line in lines) == 1


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_empty_answer_is_asked_for_again(times: int, played: list[int]) -> None:
    """An answer without text is requested again."""
    played.append(1)
    assert not fails(MANY, InAttempts(EMPTY, 0, times))


@pytest.mark.parametrize("chunk", range(9))
def test_a_refusal_stands_in_the_place_of_what_was_said(chunk: int, played: list[int]) -> None:
    """A refusal at any chunk replaces the shown text."""
    played.append(1)
    end = model("end", instead(Finish(FinishReason.STOP)))
    assert not fails(MANY, InAttempts(REFUSES, chunk), InAttempts(end, chunk + 1))


@pytest.mark.parametrize("times", [1, 3, 50])
@pytest.mark.parametrize("fault", PLATFORM, ids=lambda fault: fault.name)
def test_whatever_the_platform_does(fault: Fault, times: int, played: list[int]) -> None:
    """At every post, edit, delete, look-up and read, once, thrice and for minutes."""
    for scene in {1: SCENES, 3: [MANY, AGAIN], 50: [ONE]}[times]:
        # In the end the bot gives up on the platform, and no notice can be written.
        faulty = replace(fault, closed=fault.closed or times == 50 or (times > 1 and not fault.whole))
        check(played, swept(scene, faulty, times), scene)


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize("fault", JOURNALS, ids=lambda fault: fault.name)
def test_whatever_the_journal_does(fault: Fault, times: int, played: list[int]) -> None:
    """A journal that fails or is slow costs no answer."""
    for scene in JOURNALLED if times == 1 else [MANY, FORGETFUL]:
        check(played, swept(scene, fault, times), scene)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
@pytest.mark.parametrize("fault", DEATHS, ids=lambda fault: fault.name)
def test_killed_and_started_again(fault: Fault, scene: Scene, played: list[int]) -> None:
    """After a kill before or after any call of a port, the next process completes the existing messages."""
    check(played, swept(scene, fault), scene)


@pytest.mark.parametrize("drain_seconds", [0.0, 1.0])
@pytest.mark.parametrize("scene", STOPPED, ids=lambda scene: scene.name)
@pytest.mark.parametrize("fault", SIGNALS, ids=lambda fault: fault.name)
def test_told_to_stop_and_started_again(fault: Fault, scene: Scene, drain_seconds: float, played: list[int]) -> None:
    """After SIGTERM at any call of a port, answers are finished, or marked and completed by the next process."""
    check(played, swept(scene, fault, drain_seconds=drain_seconds), scene)


@pytest.mark.parametrize("fault", JOURNALS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scene", [ONE, SHORTER], ids=lambda scene: scene.name)
def test_delivered_again_where_the_journal_fails(fault: Fault, scene: Scene, played: list[int]) -> None:
    """During and after an answer, a repeated event is recognised even if the journal missed the first."""
    again = replace(scene, delivered_again=True)
    check(played, swept(again, fault, 1), again)
    check(played, swept(again, fault, 100), again)


ANY = [*MODEL, *PLATFORM, *JOURNALS, *DEATHS, *SIGNALS]
SEED = 20261122


def pair(random_: random.Random) -> tuple[Injected, ...]:
    """Two faults at random calls, the second perhaps in a restarted process."""
    one, other = random_.sample(ANY, 2)
    while one.kills != other.kills and (one.forgets or other.forgets):
        one, other = random_.sample(ANY, 2)  # a write missed by the journal is unknown after a death
    return tuple(Injected(fault, random_.randrange(40), process=random_.choice([0, 0, 1])) for fault in (one, other))


@pytest.mark.parametrize("part", range(4))
def test_two_faults(part: int, played: list[int]) -> None:
    """Random pairs of faults break no promise kept under single faults."""
    random_, wrong, count = random.Random(SEED + part), [], 120
    for _ in range(count):
        scene = random_.choice(SCENES)
        played.append(scene.questions)
        if problem := fails(scene, *pair(random_), drain_seconds=random_.choice([0.0, 1.0])):
            wrong.append(problem)
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:8])
