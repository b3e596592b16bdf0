"""Two processes of one Slack app, over real sockets: every workspace has one owner, whoever receives its payloads."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.slack.messages.views import FORM_CALLBACK
from bot.interactions.values import VoteCast
from bot.ownership.lanes import Lane
from tests.servers.slack import SlackDouble
from tests.servers.slack_interactive import View
from tests.support.fakes import answer_of, said, words
from tests.support.inbox import PATIENCE
from tests.support.slack import soon
from tests.support.slack_processes import MemoryTokens, cluster
from tests.support.waiting import until

pytestmark = [pytest.mark.sockets, pytest.mark.transports("socket", "http")]

LANE = Lane("slack", "T1")


async def test_the_owner_answers_what_another_process_receives() -> None:
    """An event at another process is acknowledged, and answered once, by the owner of its workspace."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), cluster(double, said("The answer.")) as processes:
        double.say(dm, "hello", author=ann)
        await soon(double, lambda: double.answers(dm) == ["The answer."])
        await double.settled()
        assert processes.answers() == {"owner": 1, "other": 0}
        assert double.limited == []


@pytest.mark.transports("http")
async def test_the_same_event_at_both_processes_is_answered_once() -> None:
    """Slack may repeat an event at another process: both deliveries get a 200, and one is answered."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), cluster(double, said("The answer.")) as processes:
        double.say(dm, "hello", author=ann)
        await double.settled()
        (first,) = double.deliveries.envelopes
        for name in ("owner", "other", "owner"):
            processes.send_to(name)
            await double.redeliver(first)
        await double.settled()
        await soon(double, lambda: double.answers(dm) == ["The answer."])
        await processes["owner"].turns.idle()
        assert [envelope.responses for envelope in double.deliveries.envelopes if envelope.event == first.event] == [
            ["200"]
        ] * 4
        assert processes.answers() == {"owner": 1, "other": 0}


@pytest.mark.transports("http")
async def test_an_event_is_acknowledged_only_once_the_inbox_has_it() -> None:
    """Without the engine, an event of another's workspace gets a 503; its repetition is taken in."""
    double = SlackDouble()
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), cluster(double, said("The answer.")) as processes:
        processes["other"].connection.is_away = True
        double.say(dm, "hello", author=ann)
        await soon(double, lambda: any(each.responses for each in double.deliveries.envelopes))
        (refused,) = double.deliveries.envelopes
        assert refused.responses == ["503"]
        processes["other"].connection.is_away = False
        await double.redeliver(refused)
        await soon(double, lambda: double.answers(dm) == ["The answer."])
        assert processes.answers() == {"owner": 1, "other": 0}


async def test_events_without_work_are_not_passed_on() -> None:
    """Edits of our own messages, and kinds we do not use, are acknowledged where they arrive; the rest is passed on."""
    double, script = SlackDouble(), words(240)
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), cluster(double, script) as processes:
        asked = double.say(dm, "hello", author=ann)
        await soon(double, lambda: double.answers(dm) == [answer_of(script).strip()])
        item = {"type": "message", "channel": dm, "ts": asked}
        double.event({"type": "reaction_added", "user": ann, "reaction": "heart", "item": item})
        await double.settled()
        kinds = [envelope.event.get("subtype", "") for envelope in double.deliveries.envelopes]
        assert kinds.count("message_changed") > 2
        posts = len([kind for kind in kinds if kind != "message_changed"]) - 1  # but for the reaction
        assert processes.shared.engine.tables.arrived == posts
        assert processes.answers() == {"owner": 1, "other": 0}


async def test_a_press_at_another_process_stops_the_answer() -> None:
    """The stop button of an answer works, whichever process gets the press."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), cluster(double, words(2_000)) as processes:
        root = double.say(channel, "<@UBOT> tell me all", author=ann)
        owner = processes["owner"].turns
        await soon(double, lambda: any("word2 " in text for text in double.answers(channel, root)))
        (message,) = [each for each in double.shown(channel, root) if each.author == "UBOT"]
        pressed = await double.press(channel, message.ts, "tickertape_stop", author=ann)
        async with asyncio.timeout(PATIENCE):
            await owner.idle()
        assert pressed.acked
        assert "word1999" not in "".join(double.answers(channel, root))


async def test_a_vote_at_another_process_reaches_the_owner() -> None:
    """A vote is the owner's, and its process does what follows from it."""
    double = SlackDouble()
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), cluster(double, said("The answer.")) as processes:
        root = double.say(channel, "<@UBOT> hello", author=ann)
        await soon(double, lambda: double.answers(channel, root) == ["The answer."])
        await processes["owner"].turns.idle()
        (message,) = [each for each in double.shown(channel, root) if each.author == "UBOT"]
        await double.press(channel, message.ts, "tickertape_vote", author=ann)
        owner, other = processes["owner"].interactions, processes["other"].interactions
        await until(lambda: any(isinstance(event, VoteCast) for event in owner.events), seconds=PATIENCE)
        assert other.events == []


async def test_an_answer_goes_on_after_its_process_was_killed() -> None:
    """The next owner completes the same message, and Slack's limits hold."""
    double, script = SlackDouble(), words(240)
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), cluster(double, script) as processes:
        double.say(dm, "hello", author=ann)
        await soon(double, lambda: any("word20 " in text for text in double.answers(dm)))
        await processes["owner"].kill()
        await soon(double, lambda: double.answers(dm) == [answer_of(script).strip()])
        assert processes.answers() == {"owner": 1, "other": 1}
        assert double.limited == []


async def test_an_answer_goes_on_though_its_turn_is_found_before_its_lane() -> None:
    """The engine has given the lane; until its response comes, the looks for unfinished turns already find the turn."""
    double, script = SlackDouble(), words(240)
    ann, dm = double.world.user("Ann"), double.world.channel("im")
    async with double.running(), cluster(double, script) as processes:
        double.say(dm, "hello", author=ann)
        await soon(double, lambda: any("word20 " in text for text in double.answers(dm)))
        processes["other"].connection.delays["take"] = 0.5  # and more looks: they are 0.2 s apart
        await processes["owner"].kill()
        await soon(double, lambda: double.answers(dm) == [answer_of(script).strip()])
        assert processes.answers() == {"owner": 1, "other": 1}


async def test_events_during_a_stop_go_to_the_next_owner() -> None:
    """A stopping process gives its idle lanes up at once; events that still reach it are answered by the next owner."""
    double = SlackDouble()
    double.sockets.spreads = True
    ann, dms = double.world.user("Ann"), [double.world.channel("im") for _ in range(4)]
    async with double.running(), cluster(double, said("The answer.")) as processes:
        processes.send_to("owner")
        await processes["owner"].stop(5.0)
        for dm in dms:
            double.say(dm, "hello", author=ann)
        for dm in dms:
            await soon(double, lambda dm=dm: double.answers(dm) == ["The answer."])  # type: ignore[misc]  # bound now
        await double.settled()
        assert processes.answers() == {"owner": 0, "other": 4}


async def test_a_stop_reaches_the_answers_of_a_stopping_process() -> None:
    """A stopping process finishes its answers, and a reader can still stop one."""
    double = SlackDouble()
    double.sockets.spreads = True
    ann, channel = double.world.user("Ann"), double.world.channel()
    async with double.running(), cluster(double, words(4_000)) as processes:
        processes.send_to("owner")
        root = double.say(channel, "<@UBOT> tell me all", author=ann, once=True)
        await soon(double, lambda: any("word2 " in text for text in double.answers(channel, root)))
        owner = next(each for each in processes.processes.values() if each.model.calls)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(owner.stop(PATIENCE))
            await until(lambda: not owner.lanes.owns(LANE), seconds=PATIENCE)
            (message,) = [each for each in double.shown(channel, root) if each.author == "UBOT"]
            for _ in range(2):  # one for each process
                await double.press(channel, message.ts, "tickertape_stop", author=ann)
            await until(stopping.done, seconds=PATIENCE)
        assert "word3999" not in "".join(double.answers(channel, root))
        assert sum(processes.answers().values()) == 1


async def test_two_workspaces_with_tokens_of_their_own() -> None:
    """Each workspace is answered with its own token, by the one owner of both."""
    double = SlackDouble()
    second = double.neighbour("T2", "xoxb-second")
    people = [(each, each.world.user("Ann"), each.world.channel("im")) for each in double.workspaces]
    async with double.running(), cluster(double, said("Yes."), MemoryTokens(double, second)) as processes:
        for workspace, user, dm in people:
            workspace.say(dm, "hello", author=user)
        for workspace, _, dm in people:
            await soon(double, lambda workspace=workspace, dm=dm: workspace.answers(dm) == ["Yes."])  # type: ignore[misc]  # bound now
        assert processes.answers() == {"owner": 2, "other": 0}
        assert double.refused == second.refused == []


@pytest.mark.transports("http")
async def test_whoever_receives_a_form_names_its_empty_inputs() -> None:
    """Slack shows them at once, so the form does not wait for the owner; a filled one is the owner's."""
    double = SlackDouble()
    ann = double.world.user("Ann")
    blocks = [{"type": "input", "block_id": "why", "element": {"type": "plain_text_input", "action_id": "why"}}]
    inputs: dict[str, Any] = {
        "type": "modal",
        "blocks": blocks,
        "callback_id": FORM_CALLBACK,
        "private_metadata": '{"id": "form"}',
    }
    view = View("V1", ann, inputs)
    async with double.running(), cluster(double, said("Yes.")) as processes:
        processes["other"].connection.is_away = True
        double.interactive.views.append(view)
        await double.interactive.submit(view)
        await soon(double, lambda: bool(view.errors))
        assert list(view.errors) == ["why"]
        processes["other"].connection.is_away = False
        await double.interactive.submit(view, why="because")
        owner = processes["owner"].interactions
        await until(lambda: owner.events != [], seconds=PATIENCE)
        assert processes["other"].interactions.events == []
