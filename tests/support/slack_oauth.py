"""Parts of installations by OAuth for tests: several processes, a browser, and an app's tokens."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from typing_extensions import override

from adapters.slack.oauth.api import OAuthApi
from adapters.slack.oauth.installations import Installations
from adapters.slack.oauth.options import OAuthOptions
from adapters.slack.oauth.values import Installation, InstallationStore
from bot.backoff import Backoff
from bot.conversation import TurnKey
from bot.ownership.access import SoleOwner
from bot.ownership.holder import LaneHolder
from bot.ownership.lanes import Lane
from bot.ownership.telemetry import NoOwnershipRecorder, Rotation
from tests.servers.slack_oauth import CLIENT_ID, CLIENT_SECRET, REDIRECT_URL, SlackOAuth

PUBLIC_URL = "https://bot.example.com"


def options_for(server: SlackOAuth, **changes: object) -> OAuthOptions:
    """Options of an app at a loopback server."""
    made = OAuthOptions(CLIENT_ID, CLIENT_SECRET, PUBLIC_URL, server.api_url, unsaved=Backoff(0.1, 0.5))
    return replace(made, **changes)  # type: ignore[arg-type]  # by name


@dataclass
class Won(LaneHolder):
    """Records lanes won and lost."""

    lanes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @override
    def lane_of(self, key: TurnKey) -> Lane | None:
        return Lane("slack", key.workspace)

    @override
    def lane_won(self, lane: Lane, session: str = "") -> None:
        self.lanes.append(lane.name)

    @override
    def lane_lost(self, lane: Lane) -> None:
        self.lost.append(lane.name)


class Recorded(NoOwnershipRecorder):
    """Counts rotations."""

    def __init__(self) -> None:
        self.rotations: Counter[Rotation] = Counter()

    @override
    def token_rotated(self, rotation: Rotation) -> None:
        self.rotations[rotation] += 1


@dataclass
class Process:
    """One process with installations."""

    installations: Installations
    api: OAuthApi
    lanes: SoleOwner
    won: Won
    options: OAuthOptions
    recorder: Recorded


@asynccontextmanager
async def process(store: InstallationStore, options: OAuthOptions, seed: int = 1) -> AsyncIterator[Process]:
    """A process that owns the lanes announced to it."""
    lanes, won = SoleOwner(), Won()
    lanes.attach({"slack": won})
    async with AsyncExitStack() as stack:
        api = OAuthApi(options)
        stack.push_async_callback(api.close)
        recorder = Recorded()
        opened = Installations(store, api, options, lanes, recorder, random_=random.Random(seed))
        yield Process(await stack.enter_async_context(opened), api, lanes, won, options, recorder)


async def install(server: SlackOAuth, process: Process, id_: str = "T1") -> Installation:
    """Install the app without a browser."""
    address = process.options.authorize_url.with_query(
        client_id=CLIENT_ID, redirect_uri=REDIRECT_URL, scope="chat:write", state="s"
    )
    code = server.agree(str(address), id_).partition("code=")[2].partition("&")[0]
    made = await process.api.exchange(code)
    installed = replace(made, bot_id=await process.api.bot_id(made.tokens.access))
    await process.installations.begin(installed)
    return installed
