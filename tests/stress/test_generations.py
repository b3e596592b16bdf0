"""Processes sharing a journal: overlaps, kills, suspensions, and removed or truncated files."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import resource
import shutil
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from adapters.journal import JournalOptions, SqliteJournal
from adapters.journal.fallback import JournalFallback
from adapters.journal.file_state import LOG_SUFFIXES, FileId, files_lock, identify, sibling
from adapters.journal.liveness import NO_OWNER, LivenessMonitor
from adapters.journal.operations import Accept, AddMessage, End, Operation, UpdateEvent
from adapters.journal.process_lock import LockState, ProcessId, ProcessLock, inspect_lock, lock_file, lock_file_owners
from adapters.journal.sql import connect
from adapters.journal.statements import APPLICATION_ID, SCHEMA, SCHEMA_VERSION
from bot.conversation import Ending, TurnKey
from tests.stress.generations import Generation, Outcome, count, generation, overlap

BEAT = 0.2  # seconds; short, for quick tests
HANG_SECONDS = 60.0  # turns that are not written again by then never are
AT = datetime.now(UTC).timestamp()  # recent, because old turns are purged


def now() -> datetime:
    return datetime.now(UTC)


def key(number: int) -> TurnKey:
    return TurnKey("slack", "T", "C", str(number))


# ------------------------------------------------------------------------------------------------------- overlapping


@pytest.mark.sockets(seconds=60)
@pytest.mark.parametrize("kill_every", [0, 2])
async def test_overlapping_generations_lose_nothing(tmp_path: Path, kill_every: int) -> None:
    """Every acknowledged write is in the file, the file is intact, and no process writes into a deleted one."""
    outcome = await overlap(tmp_path / "turns.db", generations=4, rate=150, seconds=0.4, kill_every=kill_every)
    assert outcome.is_sound, (str(outcome), outcome.lost[:5], outcome.deleted)
    assert outcome.acknowledged > 100
    extra = [path for path in files(tmp_path) if path.suffix != ".db" and not path.name.endswith(("-wal", "-shm"))]
    assert all(path.stat().st_size <= 4096 for path in extra)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def remove_lock_files(folder: Path) -> None:
    for path in folder.glob("*-owner-*"):
        path.unlink()


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds, within the test's own time-out."""
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.02)


# ---------------------------------------------------------------------------------------------------------- ownership


def state(heartbeat: int | None, *, held: bool) -> LockState:
    return LockState(held, None if heartbeat is None else bytes([heartbeat]))


@pytest.mark.parametrize(
    ("seen", "running", "dead"),
    [
        ([state(1, held=True)] * 6, False, False),  # suspended, or its disk hangs
        ([state(1, held=False)] * 6, False, True),  # killed
        ([state(1, held=False)] * 6, True, False),  # running, by the process table
        ([state(None, held=False)] * 6, False, True),  # killed, without a lock file
        ([state(None, held=False)] * 6, True, False),  # suspended, without a lock file
        ([state(1, held=True), state(None, held=False), *[state(n, held=True) for n in (2, 3, 4, 5)]], False, False),
        ([state(n, held=False) for n in range(6)], False, False),  # heartbeats without a lock
        ([state(1, held=True)] * 5 + [state(None, held=False)], False, True),
        ([state(1, held=False)] * 2, False, False),  # not observed for long enough
    ],
)
def test_the_rule_of_death(seen: Sequence[LockState], dead: bool, running: bool) -> None:
    """An owner is dead if its lock is free, its heartbeat stopped for two intervals, and it does not run."""
    states = iter(seen)
    current = seen[0]

    def inspect(owner: str) -> LockState:
        return current

    monitor = LivenessMonitor(1.0, inspect, is_running=lambda owner: running)
    for second, current in enumerate(states):  # noqa: B007 (`inspect` reads it)
        monitor.observe(["a"], float(second))
    assert monitor.is_dead("a", len(seen) - 1.0) is dead


def test_an_owner_that_let_go_is_dead_at_once() -> None:
    """A released turn is free at once; an unknown owner is observed first."""
    monitor = LivenessMonitor(1.0, lambda owner: state(1, held=False), is_running=lambda owner: False)
    assert monitor.is_dead(NO_OWNER, 0.0)
    assert not monitor.is_dead("stranger", 0.0)
    assert not monitor.is_dead("stranger", 1.9)
    assert monitor.is_dead("stranger", 2.0)


def test_a_lock_file_comes_back_with_the_next_heartbeat(tmp_path: Path) -> None:
    """A removed or replaced lock file is created and locked again; a release removes it."""
    journal = tmp_path / "turns.db"
    owner = ProcessLock(journal)
    first = inspect_lock(journal, owner.name)
    assert first.held
    for spoil in (Path.unlink, lambda path: (path.unlink(), path.write_bytes(b""))):
        spoil(lock_file(journal, owner.name))
        assert not inspect_lock(journal, owner.name).held
        owner.heartbeat()
        sign = inspect_lock(journal, owner.name)
        assert sign.held
        assert sign.heartbeat != first.heartbeat
    assert lock_file_owners(journal) == [owner.name]
    assert lock_file(journal, owner.name).stat().st_size <= 4096
    owner.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.sockets(seconds=20)
async def test_a_request_between_two_heartbeats_delays_none(tmp_path: Path) -> None:
    """A lock file is created again with the next heartbeat, even if the journal is always used just before one."""
    file, numbers = tmp_path / "turns.db", itertools.count()
    async with SqliteJournal(file, now, JournalOptions(heartbeat_seconds=BEAT)) as journal:
        remove_lock_files(tmp_path)
        while not lock_file_owners(file):
            assert await journal.accept(key(next(numbers)), "text")


def test_a_process_is_known_by_its_name() -> None:
    """The current process is running; a process of another start time or another machine is not."""
    mine = ProcessId.current()
    if mine is None:
        pytest.skip("this system has no /proc")
    assert mine.is_running
    assert not ProcessId(mine.host, mine.pid, mine.started + 1).is_running
    assert not ProcessId("elsewhere", mine.pid, mine.started).is_running
    assert ProcessId.parse(f"0123.{mine.host}.{mine.pid}.{mine.started}") == mine
    for name in ("0123456789abcdef", "", "a.b.c", "a.b.c.d", "a.b.1.2.3"):
        assert ProcessId.parse(name) is None


async def taken(journal: SqliteJournal) -> bool:
    return bool(await journal.unfinished("slack"))


@pytest.mark.sockets(seconds=60)
@pytest.mark.parametrize("lock_files", ["kept", "removed"])
async def test_a_suspended_process_keeps_its_turns_and_a_killed_one_does_not(tmp_path: Path, lock_files: str) -> None:
    """SIGSTOP frees no turns, with or without a lock file; kill -9 frees them within a few heartbeats."""
    file = tmp_path / "turns.db"
    options = JournalOptions(heartbeat_seconds=BEAT)
    async with generation(file, "G", 50, BEAT) as child, SqliteJournal(file, now, options) as journal:
        await until(lambda: len(child.said("posted")) > 10)
        child.process.send_signal(signal.SIGSTOP)
        if lock_files == "removed":
            remove_lock_files(tmp_path)
        for _ in range(50):  # ten heartbeats
            assert not await taken(journal)
            await asyncio.sleep(BEAT / 5)
        child.process.send_signal(signal.SIGCONT)
        before = len(child.said("posted"))
        await until(lambda: len(child.said("posted")) > before + 10)
        assert not await taken(journal)
        child.process.kill()
        await child.process.wait()
        if lock_files == "removed":
            remove_lock_files(tmp_path)
        await until(lambda: taken(journal))
    assert [path.name for path in files(tmp_path)] == [file.name]


@pytest.mark.sockets(seconds=60)
@pytest.mark.parametrize("what", ["lock files", "removed ", "removed -wal", "folder"])
async def test_no_live_turn_is_taken_whatever_is_removed(tmp_path: Path, what: str) -> None:
    """A live process keeps its turns after repeated removals of lock files, the journal, its log and its folder."""
    file, chance = tmp_path / "sub" / "turns.db", random.Random(1)
    make_folder(file.parent)
    options = JournalOptions(heartbeat_seconds=BEAT, retry_seconds=BEAT)
    async with generation(file, "G", 40, BEAT) as child, SqliteJournal(file, now, options) as journal:
        await until(lambda: len(child.said("posted")) > 10)
        for _ in range(6):
            await act(what, file, [child], chance)
            for _ in range(3):
                await asyncio.sleep(BEAT / 2)
                assert not await taken(journal)
        before = len(child.said("ended"))
        await until(lambda: len(child.said("ended")) > before)


def make_folder(folder: Path) -> None:
    folder.mkdir()


# ------------------------------------------------------------------------------------------------------------- damage


def texts_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def rows(file: Path) -> dict[str, bool]:
    """The turns in the file, and whether each is unfinished."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return {
            message: bool(live) for message, live in connection.execute("SELECT message, event IS NOT NULL FROM turns")
        }


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def replace_by_copy(path: Path) -> None:
    if path.exists():
        copy = path.with_name("copy")
        shutil.copyfile(path, copy)
        copy.rename(path)


def cut(path: Path) -> None:
    if path.exists():
        os.truncate(path, 0)


def halve(path: Path) -> None:
    if path.exists():
        os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    if path.exists():
        path.write_bytes(b"a log that went to the wrong place\n" * 1_000)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "removed": remove,
    "replaced": replace_by_copy,
    "emptied": cut,
    "halved": halve,
    "overwritten": overwrite,
}
# Truncating the index, which is mapped into memory, would kill every process with an open journal (SIGBUS).
CASES = [(suffix, how) for suffix in ("", "-wal") for how in DAMAGES] + [("-shm", "removed"), ("-shm", "replaced")]


@pytest.mark.parametrize("scrubbed", [False, True])
@pytest.mark.parametrize(("suffix", "how"), CASES)
def test_damaged_files_are_written_again(tmp_path: Path, suffix: str, how: str, *, scrubbed: bool) -> None:
    """Within two heartbeats all live turns are in an intact file, and no ended turn is unfinished again."""
    file = tmp_path / "turns.db"
    fallback = JournalFallback(file, JournalOptions(), now)
    fallback.write([Accept(key(number), f"text {number}", AT) for number in range(40)], 0.0)
    fallback.write([AddMessage(key(1), "m1"), AddMessage(key(1), "m2"), UpdateEvent(key(2), "kept")], 0.1)
    fallback.write([End(key(number), Ending.DONE) for number in range(20, 40)], 0.2)
    if scrubbed:
        fallback.maintain(0.3)
    DAMAGES[how](file.with_name(file.name + suffix))
    reported = []
    for at in (2.5, 4.7):
        fallback.maintain(at)
        reported.append(fallback.degraded or fallback.recovering)
    live = {message for message, unfinished in rows(file).items() if unfinished}
    assert live == {str(number) for number in range(20)}
    fallback.maintain(9.0)
    assert not fallback.degraded
    assert not fallback.recovering
    if suffix == "" and how in {"removed", "replaced", "emptied"}:
        assert reported[0]  # /readyz shows it until the next heartbeat
    fallback.write([End(key(3), Ending.DONE)], 9.1)
    fallback.close()
    following = JournalFallback(file, JournalOptions(), now)
    records = {record.key: record for record in following.claim("slack", 0.0)}
    assert set(records) == {key(number) for number in range(20)} - {key(3)}
    assert records[key(1)].messages == ("m1", "m2")
    assert records[key(2)].event == "kept"
    assert following.write([Accept(key(30), "again", AT)], 0.0) == [False]
    following.close()


def test_a_folder_that_is_removed_comes_back(tmp_path: Path) -> None:
    """The folder, the file and the lock file are created again, with the live turns."""
    file = tmp_path / "a" / "b" / "turns.db"
    file.parent.mkdir(parents=True)
    fallback = JournalFallback(file, JournalOptions(), now)
    fallback.write([Accept(key(1), "text", AT)], 0.0)
    shutil.rmtree(tmp_path / "a")
    fallback.maintain(2.5)
    fallback.maintain(4.6)
    assert rows(file) == {"1": True}
    assert len(lock_file_owners(file)) == 1
    fallback.close()


def test_claimed_turns_are_restored_too(tmp_path: Path) -> None:
    """Turns claimed from another process are restored like the process's own."""
    file = tmp_path / "turns.db"
    first = JournalFallback(file, JournalOptions(), now)
    first.write([Accept(key(1), "text", AT), AddMessage(key(1), "m1")], 0.0)
    first.close()
    second = JournalFallback(file, JournalOptions(), now)
    assert [record.key for record in second.claim("slack", 0.0)] == [key(1)]
    file.unlink()
    second.maintain(2.5)
    second.close()
    third = JournalFallback(file, JournalOptions(), now)
    (record,) = third.claim("slack", 0.0)
    assert (record.key, record.event, record.messages) == (key(1), "text", ("m1",))
    third.close()


def test_turns_lost_from_an_intact_file_are_restored(tmp_path: Path) -> None:
    """A restored backup, or a log lost by another process, leaves no visible damage."""
    file = tmp_path / "turns.db"
    fallback = JournalFallback(file, JournalOptions(), now)
    fallback.write([Accept(key(number), "text", AT) for number in range(4)], 0.0)
    with closing(sqlite3.connect(file)) as other:
        before = other.execute("SELECT event FROM turns WHERE message = '3'").fetchone()
        fallback.write([End(key(3), Ending.DONE)], 0.1)
        other.execute("DELETE FROM turns WHERE message = '1'")
        other.commit()
        fallback.maintain(2.5)
        recovering = fallback.recovering
        assert recovering
        assert rows(file) == {"0": True, "1": True, "2": True, "3": False}
        other.execute("UPDATE turns SET event = ?, ending = NULL WHERE message = '3'", before)
        other.commit()
    fallback.maintain(5.0)
    assert rows(file) == {"0": True, "1": True, "2": True, "3": False}
    fallback.maintain(8.0)
    assert not fallback.recovering
    fallback.close()


class OtherProcess(logging.Handler):
    """Holds the files' lock, and replaces the damaged file after a journal has logged the damage."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._entered, self._told = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._recover)
        self.recovered: FileId | None = None

    def __enter__(self) -> Self:
        logging.getLogger("adapters.journal.file_recovery").addHandler(self)
        self._thread.start()
        assert self._entered.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        logging.getLogger("adapters.journal.file_recovery").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._told.set()

    def _recover(self) -> None:
        new = self._file.with_name("new")
        with closing(connect(new)) as connection:
            connection.executescript(
                f"{SCHEMA}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}"
            )
        with files_lock(self._file):
            self._entered.set()
            self._told.wait(10)
            new.rename(self._file)
            for suffix in LOG_SUFFIXES:
                sibling(self._file, suffix).unlink(missing_ok=True)
            self.recovered = identify(self._file)


@pytest.mark.parametrize("damage", ["emptied ", "removed -wal"])
def test_a_file_recovered_by_another_process_stays(tmp_path: Path, damage: str) -> None:
    """A file replaced while this process waited for the lock stays in place."""
    file = tmp_path / "turns.db"
    fallback = JournalFallback(file, JournalOptions(), now)
    fallback.write([Accept(key(1), "text", AT)], 0.0)
    fallback.maintain(0.1)
    how, _, suffix = damage.partition(" ")
    DAMAGES[how](sibling(file, suffix))
    with OtherProcess(file) as other:
        fallback.maintain(2.5)
    assert identify(file) == other.recovered
    assert rows(file) == {"1": True}
    assert not list(tmp_path.glob("*corrupt*"))
    fallback.close()


def test_a_replaced_file_is_not_mixed_with_the_old_log(tmp_path: Path) -> None:
    """The log of the old file is not applied to a backup put in its place."""
    file = tmp_path / "turns.db"
    fallback = JournalFallback(file, JournalOptions(), now)
    fallback.write([Accept(key(number), "text", AT) for number in range(50)], 0.0)
    fallback.write([End(key(number), Ending.DONE) for number in range(50)], 0.1)
    with closing(sqlite3.connect(tmp_path / "backup")) as backup, closing(sqlite3.connect(file)) as original:
        original.backup(backup)
    fallback.write([Accept(key(number), "text " * 900, AT) for number in range(50, 90)], 0.2)
    (tmp_path / "backup").rename(file)
    fallback.maintain(2.5)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert {message for message, live in rows(file).items() if live} == {str(number) for number in range(50, 90)}
    fallback.close()


ACTIONS = ("start", "stop", "kill", "disk full", "lock files", "folder", *(f"{how} {suffix}" for suffix, how in CASES))


async def act(action: str, file: Path, live: list[Generation], chance: random.Random) -> list[Generation]:
    """Perform an action on the processes or their files; returns the ended processes."""
    if action in {"stop", "kill"}:
        if len(live) < 2:
            return []
        ended = live.pop(chance.randrange(len(live)))
        ended.process.send_signal(signal.SIGKILL if action == "kill" else signal.SIGTERM)
        await ended.process.wait()
        return [ended]
    if action == "disk full":
        pid = chance.choice(live).process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        await asyncio.sleep(2 * BEAT)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    elif action == "lock files":
        for path in file.parent.glob("*-owner-*"):
            remove(path)
    elif action == "folder":
        shutil.rmtree(file.parent, ignore_errors=True)
    else:
        how, _, suffix = action.partition(" ")
        DAMAGES[how](file.with_name(file.name + suffix))
    return []


async def play(schedule: Sequence[str], seed: int, folder: Path) -> None:
    """Run a schedule under load, then check the live turns of every surviving process."""
    file, chance, numbers = folder / "sub" / "turns.db", random.Random(seed), itertools.count()
    file.parent.mkdir()
    live: list[Generation] = []
    async with AsyncExitStack() as stack:

        async def start() -> None:
            live.append(await stack.enter_async_context(generation(file, f"G{next(numbers)}", 60, BEAT)))

        await start()
        await start()
        for action in schedule:
            if action == "start" and len(live) < 5:
                await start()
            elif action != "start":
                await act(action, file, live, chance)
            await asyncio.sleep(chance.random() * 2 * BEAT)

        why = ""

        def written_again() -> bool:
            nonlocal why
            try:
                outcome = Outcome(len(live))
                count(outcome, file, live)
            except sqlite3.Error as error:
                why = repr(error)
                return False
            lost = {line for line in outcome.lost if line.startswith("accepted")}
            ended = {f"accepted {one}" for each in live for one in each.said("ended")}
            why = f"{outcome}: {sorted(lost - ended)[:5]}"
            return outcome.integrity == "ok" and not (lost - ended)

        try:
            async with asyncio.timeout(HANG_SECONDS):
                await until(written_again)
        except TimeoutError:
            raise AssertionError(
                [(each.name, [line for line in each.lines if "ed G" not in line]) for each in live]
            ) from None
        for each in live:
            await until(lambda each=each: not each.deleted_files(file.parent))
            before = len(each.said("ended"))
            await until(lambda each=each, before=before: len(each.said("ended")) > before)


@pytest.mark.sockets(seconds=600)
def test_any_schedule_of_processes_and_damage() -> None:
    """Live turns are restored after any order of starts, ends, kills and damage."""

    @settings(
        max_examples=int(os.environ.get("TICKERTAPE_SCHEDULES", "6")),  # noqa: TID251 (the runner's, and no setting)
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.lists(st.sampled_from(ACTIONS), min_size=2, max_size=6), st.integers(0, 1_000))
    def every(schedule: list[str], seed: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                asyncio.run(play(schedule, seed, Path(folder)))
            except* (TimeoutError, AssertionError) as group:
                raise AssertionError(f"{schedule} {seed}") from group

    every()


# ------------------------------------------------------------------------------------------------------------ privacy


@pytest.mark.parametrize("seed", range(3))
def test_no_text_outlives_its_turn(tmp_path: Path, seed: int) -> None:
    """One heartbeat after the end of a turn, its text is in no file, also beside live texts of any length."""
    chance, file, at = random.Random(seed), tmp_path / "turns.db", 0.0
    fallback = JournalFallback(file, JournalOptions(), now)
    live: list[int] = []
    for number in range(600):
        at += 0.01
        text = f"<private-{number}-{'x' * chance.choice([10, 300, 900, 2_000, 5_000, 9_000])}-{number}-private>"
        operations: list[Operation] = [Accept(key(number), text, AT)]
        live.append(number)
        if chance.random() < 0.4:
            other = chance.choice(live)
            operations.append(
                UpdateEvent(key(other), f"<private-{other}-{'y' * chance.choice([10, 4_000])}-{other}-private>")
            )
        while len(live) > chance.choice([3, 20, 60]):
            ended = live.pop(chance.randrange(len(live)))
            operations.append(End(key(ended), Ending.DONE))
        fallback.write(operations, at)
    fallback.maintain(at + 2)
    kept = texts_in(tmp_path)
    for number in set(range(600)) - set(live):
        assert b"private-%d-" % number not in kept
        assert b"-%d-private" % number not in kept
    assert all(b"private-%d-" % number in kept for number in live)
    fallback.close()


@pytest.mark.sockets(seconds=60)
async def test_no_text_outlives_a_process(tmp_path: Path) -> None:
    """After kill -9, another process and the next start leave only unfinished texts."""
    file = tmp_path / "turns.db"
    options = JournalOptions(heartbeat_seconds=BEAT)
    # The child hardly ever truncates the log.
    async with generation(file, "G", 100, 30.0) as child, SqliteJournal(file, now, options):
        await until(lambda: len(child.said("ended")) > 30)
        child.process.kill()
        await child.process.wait()

        def is_clean() -> bool:
            kept = texts_in(tmp_path)
            return not any(b"private-G-%s-" % message.encode() in kept for _, message in child.said("ended"))

        await until(is_clean)
    async with generation(file, "H", 100, 30.0) as child:
        await until(lambda: len(child.said("ended")) > 30)
        child.process.kill()
        await child.process.wait()
    assert any(b"private-H-%s-" % message.encode() in texts_in(tmp_path) for _, message in child.said("ended"))
    async with SqliteJournal(file, now):
        kept = texts_in(tmp_path)
        assert not any(b"private-H-%s-" % message.encode() in kept for _, message in child.said("ended"))


def test_an_identity_belongs_to_the_file_and_not_to_its_name(tmp_path: Path) -> None:
    """A renamed file keeps its identity, and a new file at its path has another."""
    one, other = tmp_path / "one", tmp_path / "other"
    assert identify(one) is None
    one.touch()
    found = identify(one)
    one.rename(other)
    one.touch()
    assert identify(other) == found
    assert identify(one) != found


async def ages_after(file: Path, wall: datetime) -> list[float]:
    async with SqliteJournal(file, lambda: wall) as journal:
        return sorted(await journal.recent_calls("slack/T/chat.update", 60.0))


@pytest.mark.sockets(seconds=30)
async def test_the_use_of_a_rate_limit_is_known_to_the_next_process(tmp_path: Path) -> None:
    """Calls of the last minute are returned with their ages, from all processes; older ones are not."""
    file, wall = tmp_path / "turns.db", now()
    async with SqliteJournal(file, lambda: wall) as journal:
        journal.record_call("slack/T/chat.update")
        wall += timedelta(seconds=30)
        journal.record_call("slack/T/chat.update")
        journal.record_call("slack/T/users.info")
        assert await journal.recent_calls("slack/T/chat.update", 60.0) == [30.0, 0.0]
    assert await ages_after(file, wall + timedelta(seconds=10)) == [10.0, 40.0]
    assert await ages_after(file, wall + timedelta(seconds=31)) == [31.0]
    async with SqliteJournal(tmp_path / "no" / "turns.db", now) as broken:
        broken.record_call("slack/T/chat.update")
        assert not await broken.recent_calls("slack/T/chat.update", 60.0)
