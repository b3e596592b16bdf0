"""The handlers of commands with everything in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.access import AccessRules
from bot.conversation import Author
from bot.interactions.handlers import CommandHandlers, HandlerOptions, HandlerPorts
from bot.interactions.values import CommandInvoked, FormSubmitted, Notice, Place, Response
from bot.models import ModelCatalog, ModelInfo
from bot.preferences import Controls, FreeText, Persona
from bot.prompt import PromptConfig, PromptOverride
from bot.stored_choices import PreferenceRules
from bot.strings import Strings
from tests.support.fakes import DANA
from tests.support.inbox import RecordingInbox
from tests.support.records import FakePersonalData, FakePreferences, FakeUsage

WORDS = Strings()
ADMIN = Author("U2", "Ada", manages=True)

CHANNEL = Place("slack", "T1", "C1", channel_ids=("C1",), position="1700000000.000100", command_prefix="/tickertape ")

CATALOG = ModelCatalog(
    [
        ModelInfo("gpt-5", "GPT-5", "gpt-5"),
        ModelInfo("gpt-5-mini", "GPT-5 mini", "gpt-5-mini"),
        ModelInfo("fast", "Fast_and *cheap*", "llama"),
    ]
)
PERSONAS = (Persona("pirate", "Pirate", "Arr."), Persona("teacher", "Patient teacher", "Explain."))


@dataclass
class House:
    """The handlers with stores in memory, and short ways to use them."""

    controls: Controls = field(default_factory=lambda: Controls(personas=PERSONAS, free_text=FreeText.EVERYONE))
    access: AccessRules = field(default_factory=AccessRules)
    catalog: ModelCatalog = CATALOG
    welcome: bool = True
    welcome_text: str = ""
    store: FakePreferences = field(default_factory=FakePreferences)
    usage: FakeUsage = field(default_factory=FakeUsage)
    personal: FakePersonalData = field(default_factory=FakePersonalData)
    inbox: RecordingInbox = field(default_factory=RecordingInbox)
    by_channel: dict[str, PromptOverride] = field(default_factory=dict)

    @property
    def handlers(self) -> CommandHandlers:
        ports = HandlerPorts(self.store, self.usage, self.personal, self.inbox)
        return CommandHandlers(ports, HandlerOptions(self.rules, WORDS, self.welcome, self.welcome_text))

    @property
    def rules(self) -> PreferenceRules:
        prompting = PromptConfig(PromptOverride("Be brief."), self.by_channel)
        return PreferenceRules(self.catalog, prompting, self.controls, self.access)

    async def run(self, command: str, typed: str = "", by: Author = DANA, place: Place = CHANNEL) -> Response:
        arguments = {"name": typed} if typed else {}
        return await self.handlers.invoke(CommandInvoked(command, by, place, arguments))

    async def said(self, command: str, typed: str = "", by: Author = DANA, place: Place = CHANNEL) -> str:
        response = await self.run(command, typed, by, place)
        assert isinstance(response, Notice)
        return response.text

    async def send(self, id_: str, by: Author = DANA, place: Place = CHANNEL, **values: str) -> Response:
        return await self.handlers.submit(FormSubmitted(id_, by, place, values))

    async def told(self, id_: str, by: Author = DANA, place: Place = CHANNEL, **values: str) -> str:
        response = await self.send(id_, by, place, **values)
        assert isinstance(response, Notice)
        return response.text
