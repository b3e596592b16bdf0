"""The whole program with its state in PostgreSQL: outages at the start and later, two processes, missing tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_program import DiscordPlace, SlackPlace, numbered
from tests.servers.discord import DiscordDouble
from tests.servers.faulty_link import faulty_link
from tests.servers.openai import Answer, OpenAIDouble
from tests.servers.postgres_pooler import pooler
from tests.servers.slack import SlackDouble
from tests.support.postgres import read_rows, run_script
from tests.support.process import bot
from tests.support.slack import OVER_HTTP, for_program, transport_of
from tests.support.waiting import until

pytestmark = pytest.mark.sockets(seconds=90)

WORDS = numbered(60)
OPEN = "SELECT count(*) FROM tickertape.turns WHERE event IS NOT NULL"


def environment(model: OpenAIDouble, url: str, *places: DiscordPlace | SlackPlace) -> dict[str, str]:
    named = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "x", "OPENAI_MODEL": "m", "JOURNAL_URL": url}
    for place in places:
        named |= place.environment
    return named


def whole(place: DiscordPlace | SlackPlace, question: str, channel: int = 0) -> bool:
    return " ".join(place.answers(question, channel)).split() == WORDS.split()


async def test_a_database_without_tables_is_one_line_and_code_2(bare_database: str, tmp_path: Path) -> None:
    """The line names the command; no platform is connected, and no password is told."""
    url = bare_database.replace("tickertape@", "tickertape:hush-hush@")
    async with OpenAIDouble() as model, bot(environment(model, url), folder=tmp_path) as running:
        assert await running.process.wait() == 2
    assert "run `tickertape migrate`" in running.lines[-1]
    assert not any("Traceback" in line or "hush" in line for line in running.lines)


async def test_it_waits_for_a_database_at_the_start(database: str) -> None:
    """Until then it is not ready, says so, and takes no question; then all is as usual."""
    double = DiscordDouble()
    async with OpenAIDouble(default=Answer(WORDS)) as model, double.running(), faulty_link(database) as (url, link):
        link.refuse()
        place = DiscordPlace(double)
        async with bot(environment(model, url, place)) as running:
            await running.says("waiting for the journal")
            assert not double.gateway.connected
            link.heal()
            await place.until_connected()
            question = place.ask("why?")
            await until(lambda: whole(place, question))
            assert await running.stop() == 0
    assert await read_rows(database, OPEN) == [(0,)]


@pytest.mark.parametrize("platform", ["discord", "slack", OVER_HTTP])
async def test_an_outage_neither_loses_nor_doubles_an_answer(platform: str, database: str) -> None:
    """A live answer goes on; a question asked meanwhile is answered once, after the outage."""
    double = DiscordDouble() if platform == "discord" else for_program(transport_of(platform))
    answer = Answer(WORDS, words_per_second=60)
    async with OpenAIDouble(default=answer) as model, double.running(), faulty_link(database) as (url, link):
        place = DiscordPlace(double) if isinstance(double, DiscordDouble) else SlackPlace(double)
        if isinstance(double, SlackDouble):
            double.requests.retry_seconds = (0.0, *(2.0,) * 30)
        async with bot(environment(model, url, place)) as running:
            await place.until_connected()
            first = place.ask("one?")
            received = await model.wait_for(1)
            await until(lambda: len(received.sent) > 5)
            link.refuse()
            await running.says("No question is taken")
            second = place.ask("two?", place=1)
            await until(lambda: whole(place, first))
            link.heal()
            if platform == "slack":  # over the socket the double repeats an event on command
                await running.says("could not be written to the journal")
                await running.says("the journal works again")
                assert isinstance(double, SlackDouble)
                await double.redeliver_unacknowledged()
            await until(lambda: whole(place, second, 1))
            assert await running.stop() == 0
        assert len(model.requests) == 2
        assert not any("Traceback" in line for line in running.lines)
    rows = await read_rows(database, "SELECT ending FROM tickertape.turns")
    assert [row[0] for row in rows] == ["done", "done"]


async def test_two_processes_answer_each_question_once(database: str) -> None:
    """One of them has Discord's events, and one of them is behind a pooler; each question is answered once."""
    double = DiscordDouble()
    async with OpenAIDouble(default=Answer(WORDS, words_per_second=200)) as model, double.running():
        place = DiscordPlace(double)
        async with (
            pooler(database) as (url, _),
            bot(environment(model, database, place)) as one,
            bot(environment(model, url, place)) as other,
        ):
            for process in (one, other):
                await process.says("started")
            await place.until_connected()
            questions = [(place.ask("why?", place=number), number) for number in range(4)]
            await until(lambda: all(place.answers(*each) for each in questions))
            await until(lambda: all(whole(place, *each) for each in questions))
            assert [await each.stop() for each in (one, other)] == [0, 0]
        assert len(model.requests) == 4


async def test_a_survivor_completes_the_answers_of_a_killed_process(database: str) -> None:
    """It takes them over within seconds, in their own messages."""
    double = DiscordDouble()
    async with OpenAIDouble(default=Answer(WORDS, words_per_second=20)) as model, double.running():
        place = DiscordPlace(double)
        named = environment(model, database, place)
        async with bot(named) as dying:
            await place.until_connected()
            async with bot(named) as survivor:
                await survivor.says("started")  # before the questions: a slow start may outlast their answers
                questions = [(place.ask("why?", place=number), number) for number in range(4)]
                await until(lambda: all(place.answers(*each) for each in questions))
                dying.process.kill()
                line = await survivor.says("recovering unfinished turns")
                await until(lambda: all(whole(place, *each) for each in questions))
                assert await survivor.stop() == 0
        assert "turns=4" in line
    assert await read_rows(database, OPEN) == [(0,)]


async def test_the_bot_needs_no_right_to_change_tables(database: str) -> None:
    """A user with rows alone is enough; only `migrate` needs more."""
    await run_script(
        database,
        "DO $$ BEGIN CREATE USER humble; EXCEPTION WHEN duplicate_object THEN END $$",
        "GRANT USAGE ON SCHEMA tickertape TO humble; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tickertape TO humble; "
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA tickertape TO humble",
    )
    double = DiscordDouble()
    async with OpenAIDouble(default=Answer(WORDS)) as model, double.running():
        place = DiscordPlace(double)
        async with bot(environment(model, database.replace("tickertape@", "humble@"), place)) as running:
            await place.until_connected()
            question = place.ask("why?")
            await until(lambda: whole(place, question))
            assert await running.stop() == 0
    assert not any("ERROR" in line.upper().split() for line in running.lines)


async def test_two_processes_share_limits_and_figures(database: str) -> None:
    """Of six questions to both, exactly as many are answered as the limit has room for; the export shows each once."""
    double = DiscordDouble()
    async with OpenAIDouble(default=Answer(WORDS, words_per_second=200)) as model, double.running():
        place = DiscordPlace(double)
        named = environment(model, database, place) | {"TICKERTAPE_QUOTA_QUESTIONS": "4"}
        async with bot(named) as one, bot(named) as other:
            for process in (one, other):
                await process.says("started")
            await place.until_connected()
            dana = double.world.user("Dana")
            channels = [double.world.channel(double.world.guild()) for _ in range(6)]
            for channel in channels:
                double.say(channel, f"<@{double.world.bot}> why?", author=dana)
            await until(lambda: len(model.requests) == 4)
            assert [await each.stop() for each in (one, other)] == [0, 0]
        assert len(model.requests) == 4
        async with bot({"JOURNAL_URL": database}, "usage", "--csv") as export:
            assert await export.process.wait() == 0
    header, *rows = [line for line in export.lines if "," in line]
    assert header.startswith("at,platform,workspace,channel,user")
    assert [row.split(",")[4] for row in rows] == [dana] * 4
