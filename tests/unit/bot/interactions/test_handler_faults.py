"""The handlers when a port fails: at every call, for every command, button and form; and in a flood."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.conversation import Author
from bot.interactions.commands import COMMANDS, Kind
from bot.interactions.values import CommandInvoked, Form, FormSubmitted, Notice, Place
from bot.records import RecordsUnavailable, person
from tests.support.fakes import DANA
from tests.support.handlers import ADMIN, CHANNEL, WORDS, House

THREAD = Place("slack", "T1", "C1", "slack/T1/C1/5", ("C1",), position="1700000000.000100")
CALLS = [each.name for each in COMMANDS if each.kind is Kind.CALL]

EVENTS = {
    **{command: CommandInvoked(command, ADMIN, THREAD) for command in CALLS},
    "choosing a model": CommandInvoked("model", DANA, THREAD, {"name": "fast"}),
    "choosing a persona": CommandInvoked("persona", DANA, THREAD, {"name": "pirate"}),
    "opening a form": FormSubmitted("settings:edit:user:", DANA, THREAD),
    "saving a form": FormSubmitted("settings:save:user", DANA, THREAD, {"model": "fast", "reasoning": "shown"}),
    "saving for a channel": FormSubmitted("settings:save:channel", ADMIN, THREAD, {"model": "fast"}),
    "exporting": FormSubmitted("privacy:export", DANA, THREAD),
    "forgetting": FormSubmitted("privacy:forget", DANA, THREAD),
}


@dataclass
class Fault:
    """Makes one call of any port fail: the one with this number."""

    at: int
    failure: Exception
    calls: list[str] = field(default_factory=list)


class Faulty:
    """A port whose calls are counted, and fail when told to."""

    def __init__(self, port: Any, fault: Fault) -> None:
        self._port = port
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.ismethod(found):
            return found

        def called(*arguments: Any, **options: Any) -> Any:
            self._fault.calls.append(name)
            if len(self._fault.calls) == self._fault.at:
                raise self._fault.failure
            return found(*arguments, **options)

        return called


def faulty(fault: Fault) -> tuple[House, House]:
    """Handlers on ports with a fault, and the house with the same ports in order."""
    sound = House()
    ports = (Faulty(port, fault) for port in (sound.store, sound.usage, sound.personal, sound.inbox))
    store, usage, personal, inbox = ports
    return House(store=store, usage=usage, personal=personal, inbox=inbox), sound  # type: ignore[arg-type]  # doubles of doubles


async def run(house: House, event: CommandInvoked | FormSubmitted) -> Notice | Form:
    handlers = house.handlers
    return await (handlers.invoke(event) if isinstance(event, CommandInvoked) else handlers.submit(event))


@pytest.mark.parametrize("failure", [RecordsUnavailable("the disk is full"), RuntimeError("secret detail")], ids=repr)
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
async def test_a_failure_at_any_call_is_one_plain_line(
    event: CommandInvoked | FormSubmitted, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The person may try again: the second attempt does everything, once."""
    counting = Fault(0, failure)
    whole, sound = faulty(counting)
    expected = await run(whole, event)
    assert expected != Notice(WORDS.not_now)
    assert counting.calls or event in (EVENTS["help"], EVENTS["privacy"])  # these two ask no port
    for number in range(1, len(counting.calls) + 1):
        broken, after = faulty(Fault(number, failure))
        with caplog.at_level(logging.WARNING):
            assert await run(broken, event) == Notice(WORDS.not_now)
        assert caplog.records
        caplog.clear()
        assert await run(broken, event) == expected
        assert after.store.values == sound.store.values
        assert after.store.audit == sound.store.audit
        assert after.store.positions == sound.store.positions


async def test_a_flood_of_commands_is_answered_to_each() -> None:
    """Every command of a hundred people gets its own response, and every setting its one audit entry."""
    house = House()
    handlers = house.handlers
    people = [f"U{number}" for number in range(100)]

    async def everything(id_: str) -> list[Notice | Form]:
        by = Author(id_, id_)
        events = [CommandInvoked(command, by, CHANNEL) for command in CALLS]
        events.append(CommandInvoked("model", by, CHANNEL, {"name": "fast"}))
        return [await handlers.invoke(event) for event in events]

    responses = await asyncio.gather(*map(everything, people))
    texts = [each.text for row in responses for each in row if isinstance(each, Notice)]
    assert len(texts) == len(people) * (len(CALLS) + 1)
    assert all(texts)
    assert WORDS.not_now not in texts
    assert len(house.store.audit) == len(people)
    assert all(house.store.values[person("slack", id_)] == {"model": "fast"} for id_ in people)
