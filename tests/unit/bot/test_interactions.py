"""The service passes each event to its part."""

from __future__ import annotations

from bot.interactions.ports import NoInteractions
from bot.interactions.service import InteractionService
from bot.interactions.values import FormSubmitted, Notice, Place, Response
from tests.support.fakes import DANA

HERE = Place("memory", "W", "C")


class NamedPart(NoInteractions):
    """Responds to every form with its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def submit(self, event: FormSubmitted) -> Response:
        return Notice(self.name)


async def test_a_form_goes_to_the_part_that_showed_it() -> None:
    """The prefix of a form's id chooses the part."""
    service = InteractionService(feedback=NamedPart("feedback"), commands=NamedPart("commands"))
    ids = ("feedback:why", "settings:save", "", "feedbackless")
    responses = [await service.submit(FormSubmitted(id_, DANA, HERE)) for id_ in ids]
    assert responses == [Notice("feedback"), Notice("commands"), Notice("commands"), Notice("commands")]
